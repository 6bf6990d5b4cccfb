#!/usr/bin/env python3
"""safetensors files by PyPI safetensors, and a text joined as the wikitext dataset's rows are.

Writes OUT/every_dtype.safetensors, OUT/six_bits.safetensors, OUT/sharded/ (two shards, an index, a stale third shard),
OUT/safetensors.json (per file the metadata, and per tensor dtype, shape and SHA-256 of its bytes and, where torch or
numpy can widen it, of its values as fp32), OUT/rows.txt and OUT/rows_joined.txt.

usage: io_safetensors.py [--out DIR]        (safetensors 0.8, torch 2.8, numpy)
"""

import argparse
import hashlib
import json
import pathlib
import struct

import numpy as np
import torch
from safetensors import deserialize
from safetensors.torch import save

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def every_dtype(rng):
    def integers(kind, shape):
        limits = np.iinfo(kind)
        return torch.from_numpy(rng.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True))

    def floats(shape):
        return torch.from_numpy(rng.standard_normal(shape))

    def codes(kind, count=256):
        return torch.arange(count, dtype=torch.uint8).view(kind)

    tensors = {
        "bool": integers(np.uint8, (2, 5)) > 127, "u8": integers(np.uint8, (7,)), "i8": integers(np.int8, (3, 3)),
        "u16": integers(np.uint16, (4,)), "i16": integers(np.int16, (2, 2)), "u32": integers(np.uint32, (3,)),
        "i32": integers(np.int32, (3,)), "u64": integers(np.uint64, (2,)), "i64": integers(np.int64, (2,)),
        "f16": floats((3, 4)).half(), "bf16": floats((2, 3, 4)).bfloat16(), "f32": floats((5, 2)).float(),
        "f64": floats((2, 2)), "c64": torch.complex(floats((2,)).float(), floats((2,)).float()),
        "e4m3": codes(torch.float8_e4m3fn), "e5m2": codes(torch.float8_e5m2),
        "e4m3fnuz": codes(torch.float8_e4m3fnuz), "e5m2fnuz": codes(torch.float8_e5m2fnuz),
        "e8m0": codes(torch.float8_e8m0fnu), "e2m1": codes(torch.float4_e2m1fn_x2, 64).reshape(4, 16),
        "scalar": torch.tensor(1.25), "empty": torch.zeros((0, 4)), "empty_too": torch.zeros((3, 0), dtype=torch.int8),
    }
    # One key only: the package writes several in random order.
    return save(tensors, metadata={"note": "ünïcode \"quoted\""}), tensors


def six_bits():
    """The Python package cannot write F6, so the bytes are laid out here; it reads them back below."""
    header = {"a": {"dtype": "F6_E2M3", "shape": [2, 4], "data_offsets": [0, 6]},
              "b": {"dtype": "F6_E3M2", "shape": [4], "data_offsets": [6, 9]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(range(100, 109))


def values_of(tensor):
    """fp32, or None where torch has no conversion of its own."""
    if tensor is None or tensor.is_complex():
        return None
    if tensor.dtype == torch.float4_e2m1fn_x2:
        packed = tensor.view(torch.uint8).numpy()
        return E2M1[np.stack([packed & 15, packed >> 4], -1)]
    return tensor.numpy().astype(np.float32) if tensor.dtype == torch.uint64 else tensor.float().numpy()


def describe(data, tensors):
    header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    result = {"metadata": header.pop("__metadata__", {}), "tensors": {}}
    assert {name for name, _ in deserialize(data)} == set(header)
    for name, info in deserialize(data):
        entry = {"dtype": info["dtype"], "shape": list(info["shape"]), "offsets": header[name]["data_offsets"],
                 "bytes": hashlib.sha256(bytes(info["data"])).hexdigest()}
        values = values_of(tensors.get(name))
        if values is not None:
            # NaNs have many bit patterns: all become one.
            bits = np.where(np.isnan(values), np.float32(np.nan), values).astype(np.float32)
            entry["values"] = hashlib.sha256(bits.tobytes()).hexdigest()
        result["tensors"][name] = entry
    return result


def write_sharded(out):
    out.mkdir(exist_ok=True)
    first = {"x": torch.arange(6.0).reshape(2, 3), "unlisted": torch.ones(2)}
    second = {"y": torch.arange(4, dtype=torch.int32)}
    stale = {"x": torch.full((2, 3), 9.0)}
    for i, tensors in enumerate([first, second, stale]):
        (out / f"model-0000{i + 1}-of-00002.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    index = {"metadata": {"total_size": 40}, "weight_map": {"x": "model-00001-of-00002.safetensors",
                                                            "y": "model-00002-of-00002.safetensors"}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_rows(out):
    text = " = Title = \n \n First paragraph .\n\n\t\n Second , with trailing space \n = = End = =\nno newline"
    (out / "rows.txt").write_text(text)
    rows = [line if line.strip() else "" for line in text.splitlines(keepends=True)]
    (out / "rows_joined.txt").write_text("\n\n".join(rows))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/io", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    data, tensors = every_dtype(np.random.default_rng(11))
    six = six_bits()
    (out / "every_dtype.safetensors").write_bytes(data)
    (out / "six_bits.safetensors").write_bytes(six)
    result = {"every_dtype": describe(data, tensors), "six_bits": describe(six, {})}
    (out / "safetensors.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    write_sharded(out / "sharded")
    write_rows(out)


if __name__ == "__main__":
    main()
