#!/usr/bin/env python3
"""Writes a llama-shaped, sharded bf16 checkpoint of any size, to see that memory stays bounded on models that do not fit.

    tools/make_big_model.py build/big --size 8G
    tools/make_big_model.py build/big70 --shape 70b --layers 3      # blocks as wide as those of a 70B model

Weights are pseudo-random with heavy tails (Student's t, 5 degrees of freedom), the same bytes for the same arguments; a block of
1 MiB is drawn once and reused from changing offsets, so the disk is the limit, not Python. There is no tokenizer: the
model can be quantized and verified, not talked to; tokens.txt holds random ids to calibrate on (--calib-format tokens).
Needs Python alone.
"""
import argparse
import array
import json
import math
import os
import random
import shutil
import struct
import sys

BLOCK_VALUES = 1 << 19
VOCAB = 32000
TOKENS = 1 << 16


def parse_size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], units[text[-1]]) if text[-1] in units else (text, 1)
    return int(float(number) * unit)


def bf16_bytes(values):
    """fp32 to bf16 by dropping the low half: finite values stay finite."""
    raw = array.array("f", values).tobytes()
    if sys.byteorder != "little":
        raise SystemExit("needs a little-endian machine")
    out = bytearray(len(raw) // 2)
    out[0::2] = raw[2::4]
    out[1::2] = raw[3::4]
    return bytes(out)


def heavy_tailed(rng, scale):
    """Student's t with 5 degrees of freedom: gauss / sqrt(chi^2(5) / 5), cut at 40 scales."""
    x = rng.gauss(0.0, 1.0) / math.sqrt(rng.gammavariate(2.5, 2.0) / 5.0)
    return scale * max(-40.0, min(40.0, x))


def shape_of(size):
    """(hidden, layers): the widest of some usual widths that leaves at least four layers, to fill `size` bytes."""
    for hidden in (4096, 2048, 1024, 512, 256):
        outside, layer = 2 * VOCAB * hidden, layer_values(hidden)
        layers = (size // 2 - outside) // layer
        if layers >= 4:
            return hidden, layers
    raise SystemExit(f"--size {size} is too small; at least {2 * (2 * VOCAB * 256 + 4 * layer_values(256))} bytes")


def head_dim_of(hidden):
    """Of the 70B shape 64 heads, 8 of them with keys and values; else heads of 64, a quarter of them with."""
    return 128 if hidden == 8192 else 64


def layer_tensors(hidden):
    kv, mlp = hidden // (8 if hidden == 8192 else 4), hidden * 7 // 2
    return [("input_layernorm", [hidden]), ("mlp.down_proj", [hidden, mlp]), ("mlp.gate_proj", [mlp, hidden]),
            ("mlp.up_proj", [mlp, hidden]), ("post_attention_layernorm", [hidden]), ("self_attn.k_proj", [kv, hidden]),
            ("self_attn.o_proj", [hidden, hidden]), ("self_attn.q_proj", [hidden, hidden]), ("self_attn.v_proj", [kv, hidden])]


def layer_values(hidden):
    return sum(math.prod(shape) for _, shape in layer_tensors(hidden))


def tensors_of(hidden, layers):
    yield "model.embed_tokens.weight", [VOCAB, hidden]
    for layer in range(layers):
        for name, shape in layer_tensors(hidden):
            yield f"model.layers.{layer}.{name}.weight", shape
    yield "model.norm.weight", [hidden]
    yield "lm_head.weight", [VOCAB, hidden]


def config_of(hidden, layers):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": hidden,
            "intermediate_size": hidden * 7 // 2, "num_hidden_layers": layers, "num_attention_heads": hidden // head_dim_of(hidden),
            "num_key_value_heads": hidden // (1024 if hidden == 8192 else 256), "head_dim": head_dim_of(hidden), "max_position_embeddings": 2048, "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
            "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}


def plan_shards(tensors, shard_bytes):
    shards, filled = [[]], 0
    for name, shape in tensors:
        size = 2 * math.prod(shape)
        if filled and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append((name, shape, size))
        filled += size
    return shards


def header_of(shard):
    entries, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, size in shard:
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_tensor(file, size, block, rng):
    """`size` bytes out of the block, each run from another place in it."""
    while size:
        start = 2 * rng.randrange(BLOCK_VALUES)
        run = block[start:start + size]
        file.write(run)
        size -= len(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--size", default="8G", type=parse_size, help="bytes of weights, about (default 8G)")
    parser.add_argument("--shape", choices=["70b"], help="hidden 8192, ffn 28672, 64 heads, 8 with keys and values")
    parser.add_argument("--layers", type=int, default=3, help="with --shape")
    parser.add_argument("--shard-size", default="2G", type=parse_size)
    parser.add_argument("--seed", default=1, type=int)
    args = parser.parse_args()

    hidden, layers = (8192, args.layers) if args.shape else shape_of(args.size)
    args.size = 2 * sum(math.prod(shape) for _, shape in tensors_of(hidden, layers))
    os.makedirs(args.out, exist_ok=False)
    if shutil.disk_usage(args.out).free < args.size * 1.01:
        raise SystemExit(f"{args.out}: not enough free disk space for {args.size} bytes")
    rng = random.Random(args.seed)
    matrices = bf16_bytes([heavy_tailed(rng, 0.02) for _ in range(BLOCK_VALUES)])
    norms = bf16_bytes([1.0 + heavy_tailed(rng, 0.02) for _ in range(BLOCK_VALUES)])

    shards = plan_shards(tensors_of(hidden, layers), args.shard_size)
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        with open(os.path.join(args.out, name), "wb") as file:
            file.write(header_of(shard))
            for tensor, shape, size in shard:
                write_tensor(file, size, norms if len(shape) == 1 else matrices, rng)
                weight_map[tensor] = name
                total += size
    if len(shards) > 1:
        with open(os.path.join(args.out, "model.safetensors.index.json"), "w") as file:
            json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, file, indent=1)
    with open(os.path.join(args.out, "config.json"), "w") as file:
        json.dump(config_of(hidden, layers), file, indent=2)
    with open(os.path.join(args.out, "tokens.txt"), "w") as file:
        file.write(" ".join(str(rng.randrange(VOCAB)) for _ in range(TOKENS)) + "\n")
    print(f"{args.out}: {layers} layers of width {hidden}, {total / 2**30:.2f} GiB in {len(shards)} files")


if __name__ == "__main__":
    main()
