#!/usr/bin/env python3
"""Random blocks of every ggml type that bitloom decodes, and what PyPI gguf makes of them.

Writes OUT/ggml.safetensors: per type NAME the tensors NAME.blocks (U8, [blocks, bytes]) and NAME.values (F32, [blocks, elements]).
Codes and sub-block scales are random bytes; the half-precision scales are finite: of both signs, many subnormal, zeros of
both signs. MXFP4 has one block for each of the 256 scale bytes.

usage: io_ggml.py [--out DIR]        (gguf 0.19, safetensors 0.8, numpy)
"""

import argparse
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, dequantize
from safetensors.numpy import save_file

# Offsets of the half-precision fields in a block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0],
}
DENSE = {"F64": np.float64, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64}


def random_halves(rng, count):
    """Finite halves: a third of ordinary size, a third any, a third subnormal or zero."""
    ordinary = (rng.standard_normal(count) * 0.05).astype(np.float16).view(np.uint16)
    anything = rng.integers(0, 0x7C00, count, dtype=np.uint16)
    tiny = rng.integers(0, 0x400, count, dtype=np.uint16)
    tiny[::5] = 0
    sign = rng.integers(0, 2, count, dtype=np.uint16) << 15
    kind = rng.integers(0, 3, count)
    return np.where(kind == 0, ordinary, np.where(kind == 1, anything | sign, tiny | sign)).astype("<u2")


def random_blocks(rng, name):
    elements, size = GGML_QUANT_SIZES[Type[name]]
    count = 256 if name in ("MXFP4", "F16") else 64 if elements == 32 else 24
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in HALVES[name]:
        blocks[:, offset:offset + 2] = random_halves(rng, count).reshape(-1, 1).view(np.uint8)
    if name == "MXFP4":
        blocks[:, 0] = np.arange(256)
    return blocks


def dense_blocks(rng, name):
    """256 values, extremes among them; for BF16 and F32 any bits that are no NaN."""
    if name in ("BF16", "F32"):
        kind = np.uint16 if name == "BF16" else np.uint32
        bits = rng.integers(0, np.iinfo(kind).max + 1, 256, dtype=kind)
        top = 0x7F80 if name == "BF16" else 0x7F800000
        bits = np.where((bits & top) == top, bits & np.array(~top & np.iinfo(kind).max, kind), bits)
        return bits.astype(kind).reshape(-1, 1).view(np.uint8)
    kind = DENSE[name]
    if name == "F64":
        values = rng.standard_normal(256) * 10.0 ** rng.integers(-44, 38, 256)
    else:
        limits = np.iinfo(kind)
        values = rng.integers(limits.min, limits.max, 256, dtype=kind, endpoint=True)
        values[:3] = limits.min, limits.max, 0
    return values.astype(kind).reshape(-1, 1).view(np.uint8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/io", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240607)
    tensors = {}
    for name in HALVES:
        blocks = random_blocks(rng, name)
        tensors[name + ".blocks"] = blocks
        with np.errstate(over="ignore"):
            tensors[name + ".values"] = dequantize(blocks, Type[name])
    for name in ["BF16", "F32", *DENSE]:
        blocks = dense_blocks(rng, name)
        tensors[name + ".blocks"] = blocks
        # gguf leaves F64 and the integers to numpy.
        values = blocks.view(DENSE[name]).astype(np.float32) if name in DENSE else dequantize(blocks, Type[name])
        tensors[name + ".values"] = values
    for name, values in tensors.items():
        assert not name.endswith(".values") or not np.isnan(values).any(), name
    save_file(tensors, out / "ggml.safetensors")


if __name__ == "__main__":
    main()
