#!/usr/bin/env python3
"""Writes a llama-shaped, sharded bf16 checkpoint of any size, to see that memory stays bounded on models that do not fit.

    tools/make_big_model.py build/big --size 8G
    tools/make_big_model.py build/big70 --shape 70b --layers 3      # blocks as wide as those of a 70B model
    tools/make_big_model.py build/big1b --shape 1.1b --gaussian     # a whole model to measure speed on

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


# hidden, ffn, heads, heads with keys and values, layers
SHAPES = {"70b": (8192, 28672, 64, 8, 3), "1.1b": (2048, 5632, 32, 4, 22)}


def shape_of(size):
    """(hidden, layers): the widest of some usual widths that leaves at least four layers, to fill `size` bytes."""
    for hidden in (4096, 2048, 1024, 512, 256):
        outside, layer = 2 * VOCAB * hidden, layer_values(hidden)
        layers = (size // 2 - outside) // layer
        if layers >= 4:
            return hidden, layers
    raise SystemExit(f"--size {size} is too small; at least {2 * (2 * VOCAB * 256 + 4 * layer_values(256))} bytes")


class Shape:
    """A named shape, or heads of 64, a quarter of them with keys and values, and an MLP of 3.5 times the width."""

    def __init__(self, hidden, layers, named=None):
        self.hidden, self.layers = hidden, layers
        self.mlp, self.heads, self.kv_heads = named[1:4] if named else (hidden * 7 // 2, hidden // 64, hidden // 256)
        self.head_dim = hidden // self.heads

    def layer_tensors(self):
        hidden, mlp, kv = self.hidden, self.mlp, self.kv_heads * self.head_dim
        return [("input_layernorm", [hidden]), ("mlp.down_proj", [hidden, mlp]), ("mlp.gate_proj", [mlp, hidden]),
                ("mlp.up_proj", [mlp, hidden]), ("post_attention_layernorm", [hidden]), ("self_attn.k_proj", [kv, hidden]),
                ("self_attn.o_proj", [hidden, hidden]), ("self_attn.q_proj", [hidden, hidden]), ("self_attn.v_proj", [kv, hidden])]

    def tensors(self):
        yield "model.embed_tokens.weight", [VOCAB, self.hidden]
        for layer in range(self.layers):
            for name, shape in self.layer_tensors():
                yield f"model.layers.{layer}.{name}.weight", shape
        yield "model.norm.weight", [self.hidden]
        yield "lm_head.weight", [VOCAB, self.hidden]

    def config(self):
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": self.hidden,
                "intermediate_size": self.mlp, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "max_position_embeddings": 2048,
                "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
                "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}


def layer_values(hidden):
    return sum(math.prod(shape) for _, shape in Shape(hidden, 1).layer_tensors())


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
    parser.add_argument("--shape", choices=list(SHAPES), help="70b: hidden 8192, ffn 28672, 64 heads, 8 with keys and values; "
                        "1.1b: 2048, 5632, 32, 4")
    parser.add_argument("--layers", type=int, help="with --shape (default 3 of 70b, 22 of 1.1b)")
    parser.add_argument("--gaussian", action="store_true", help="weights without heavy tails")
    parser.add_argument("--shard-size", default="2G", type=parse_size)
    parser.add_argument("--seed", default=1, type=int)
    args = parser.parse_args()

    named = SHAPES.get(args.shape)
    shape = Shape(named[0], args.layers or named[4], named) if named else Shape(*shape_of(args.size))
    args.size = 2 * sum(math.prod(of) for _, of in shape.tensors())
    os.makedirs(args.out, exist_ok=False)
    if shutil.disk_usage(args.out).free < args.size * 1.01:
        raise SystemExit(f"{args.out}: not enough free disk space for {args.size} bytes")
    rng = random.Random(args.seed)
    draw = (lambda: rng.gauss(0.0, 0.02)) if args.gaussian else (lambda: heavy_tailed(rng, 0.02))
    matrices = bf16_bytes([draw() for _ in range(BLOCK_VALUES)])
    norms = bf16_bytes([1.0 + heavy_tailed(rng, 0.02) for _ in range(BLOCK_VALUES)])

    shards = plan_shards(shape.tensors(), args.shard_size)
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        with open(os.path.join(args.out, name), "wb") as file:
            file.write(header_of(shard))
            for tensor, of, size in shard:
                write_tensor(file, size, norms if len(of) == 1 else matrices, rng)
                weight_map[tensor] = name
                total += size
    if len(shards) > 1:
        with open(os.path.join(args.out, "model.safetensors.index.json"), "w") as file:
            json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, file, indent=1)
    with open(os.path.join(args.out, "config.json"), "w") as file:
        json.dump(shape.config(), file, indent=2)
    with open(os.path.join(args.out, "tokens.txt"), "w") as file:
        file.write(" ".join(str(rng.randrange(VOCAB)) for _ in range(TOKENS)) + "\n")
    print(f"{args.out}: {shape.layers} layers of width {shape.hidden}, {total / 2**30:.2f} GiB in {len(shards)} files")


if __name__ == "__main__":
    main()
