#!/usr/bin/env python3
"""Tiny models of additive codebooks, as bitloom stores them and as PyPI aqlm reads them, with transformers' logits.

Writes OUT/aqlm/<name>/: config.json and model.safetensors, a directory of bitloom's (packed here by the layout of
src/format/families/vector/vector_storage.h); layout.json, what the same numbers are in aqlm's layout (dtype, shape and
SHA-256 of every tensor, and quantization_config): transformers has loaded just that and replaced the layers that it
should; golden.safetensors (tokens i32 [batch, T], logits f32 [batch, T, vocab]), what it then computes.

Kernels: aqlm's numba one for 8-bit codes (on one thread, as it adds to shared sums without locks), else its
dequantization, which unwraps codes of fewer bits than their type has.

usage: export_aqlm.py [--out DIR]        (aqlm 1.1, transformers 5.23, torch 2.8; CPU, fp32)
"""

import argparse
import hashlib
import json
import os
import pathlib
import tempfile

os.environ["NUMBA_NUM_THREADS"] = "1"

import aqlm
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

BATCH, LENGTH, VOCAB, HIDDEN, WIDTH, HEADS, KV_HEADS, LAYERS, G = 2, 12, 64, 32, 48, 4, 2, 2, 8
MODELS = {"2x8": (2, 8, False), "1x9": (1, 9, True)}  # codebooks, bits, tied head
DENSE = "model.layers.0.self_attn.o_proj"  # a linear layer that stays as it is
ROLES = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN // HEADS * KV_HEADS, HIDDEN),
         "self_attn.v_proj": (HIDDEN // HEADS * KV_HEADS, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
         "mlp.gate_proj": (WIDTH, HIDDEN), "mlp.up_proj": (WIDTH, HIDDEN), "mlp.down_proj": (HIDDEN, WIDTH)}


def values(rng, *shape):
    """Multiples of 2^-12, whatever the machine's math library."""
    return (np.round(rng.standard_normal(shape) * 2048) / 4096).astype(np.float32)


def packed(codes, bits):
    """[rows, groups, M] as bitloom's bytes, of at most 256 rows: group by group, codebook by codebook, rows' low bits,
    then what is above 8 bits as a little-endian bitstream."""
    out = bytearray()
    for group in codes.transpose(1, 2, 0):
        for of_book in group:
            out += (of_book & 255).astype(np.uint8).tobytes()
            if bits > 8:
                high = ((of_book >> 8)[:, None] >> np.arange(bits - 8)) & 1
                out += np.packbits(high.ravel().astype(np.uint8), bitorder="little").tobytes()
    return np.frombuffer(bytes(out), np.uint8)


def make(rng, books, bits, tied):
    """Tensors in bitloom's and in aqlm's layout, and those of bitloom's that are quantized."""
    ours, theirs, stored = {}, {}, {}
    dense = {"model.embed_tokens.weight": values(rng, VOCAB, HIDDEN), "model.norm.weight": 1 + values(rng, HIDDEN)}
    if not tied:
        dense["lm_head.weight"] = values(rng, VOCAB, HIDDEN)
    for layer in range(LAYERS):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            dense[f"model.layers.{layer}.{norm}.weight"] = 1 + values(rng, HIDDEN)
        for role, (rows, cols) in ROLES.items():
            module = f"model.layers.{layer}.{role}"
            if module == DENSE:
                dense[module + ".weight"] = values(rng, rows, cols)
                continue
            codes = rng.integers(0, 1 << bits, (rows, cols // G, books))
            codebooks = values(rng, books, 1 << bits, G).astype(np.float16)
            scales = (0.25 + np.abs(values(rng, rows))).astype(np.float16)
            stored[module + ".weight"] = {"storage": f"aq{books}x{bits}-g{G}", "shape": [rows, cols]}
            ours |= {module + ".weight.codes": packed(codes, bits), module + ".weight.codebooks": codebooks,
                     module + ".weight.scales": scales}
            signed = aqlm.utils.pack_int_data(torch.from_numpy(codes.copy()), bits).numpy()
            theirs |= {module + ".codes": signed, module + ".codebooks": codebooks[:, :, None, :],
                       module + ".scales": scales[:, None, None, None]}
    return ours | dense, theirs | dense, stored


def logits_of(directory, tokens, quantized):
    """By transformers, in fp32, after a look at which layers it has replaced."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    replaced = {name for name, module in model.named_modules() if isinstance(module, aqlm.QuantizedLinear)}
    assert replaced == {name.removesuffix(".weight") for name in quantized}, replaced
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))).logits.numpy()


def write(out, name, books, bits, tied):
    rng = np.random.Generator(np.random.PCG64(len(name) + bits))
    ours, theirs, stored = make(rng, books, bits, tied)
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=WIDTH, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=64,
                         bos_token_id=1, eos_token_id=2, tie_word_embeddings=tied, architectures=["LlamaForCausalLM"])
    config = json.loads(config.to_json_string(use_diff=False))
    linears = ["lm_head", DENSE]
    names = sorted({name for name in theirs if name.endswith(".weight")} | {"lm_head.weight"} | set(linears))
    quantization = {"quant_method": "aqlm", "num_codebooks": books, "nbits_per_codebook": bits, "in_group_size": G,
                    "out_group_size": 1, "linear_weights_not_to_quantize": names}
    tokens = rng.integers(0, VOCAB, (BATCH, LENGTH)).astype(np.int32)
    with tempfile.TemporaryDirectory() as directory:
        save_file(theirs, f"{directory}/model.safetensors", {"format": "pt"})
        pathlib.Path(directory, "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
        logits = logits_of(directory, tokens, stored)
    folder = out / "aqlm" / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(ours, folder / "model.safetensors")
    own = {"quant_method": "bitloom", "version": 3, "tensors": stored}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": own}, indent=1, sort_keys=True) + "\n")
    dtypes = {"int8": "I8", "int16": "I16", "float16": "F16", "float32": "F32"}
    layout = {name: {"dtype": dtypes[str(tensor.dtype)], "shape": list(tensor.shape),
                     "sha256": hashlib.sha256(tensor.tobytes()).hexdigest()} for name, tensor in theirs.items()}
    (folder / "layout.json").write_text(
        json.dumps({"quantization_config": quantization, "tensors": layout}, indent=1, sort_keys=True) + "\n")
    save_file({"tokens": tokens, "logits": logits.astype(np.float32)}, folder / "golden.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="tests/golden/export")
    out = pathlib.Path(parser.parse_args().out)
    for name, settings in MODELS.items():
        write(out, name, *settings)


if __name__ == "__main__":
    main()
