#!/usr/bin/env python3
"""Small GGUF files by PyPI gguf's own writer, and what its reader finds in them.

Writes OUT/all_types.gguf (every metadata type, arrays, alignment 64), OUT/split-0000I-of-00002.gguf, and OUT/gguf.json: per
file the metadata, and per tensor type, row-major shape and the SHA-256 of its values as fp32.

usage: io_gguf.py [--out DIR]        (gguf 0.19, numpy)
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFReader, GGUFValueType as Value, GGUFWriter, dequantize, quantize


def add_metadata(writer):
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 4294967295)
    writer.add_int32("test.i32", -2147483648)
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_int64("test.i64", -2**63)
    writer.add_bool("test.true", True)
    writer.add_bool("test.false", False)
    writer.add_string("test.text", "naïve 日本 🙂\n\"quoted\"")
    arrays = {
        "u8": (Value.UINT8, [0, 1, 255]), "i8": (Value.INT8, [-128, 127]), "u16": (Value.UINT16, [65535]),
        "i16": (Value.INT16, [-32768, 5]), "u32": (Value.UINT32, [1, 4294967295]), "i32": (Value.INT32, [-1, 7, 9]),
        "f32": (Value.FLOAT32, [0.5, -1e10, 1e-40]), "f64": (Value.FLOAT64, [1e300, -0.25]),
        "u64": (Value.UINT64, [2**64 - 1]), "i64": (Value.INT64, [-2**63]), "bool": (Value.BOOL, [True, False, True]),
        "text": (Value.STRING, ["", "a", "▁the", "\n", "日本"]),
    }
    for name, (kind, values) in arrays.items():
        writer.add_key_value(f"test.array.{name}", values, Value.ARRAY, sub_type=kind)


def add_tensors(writer, rng, kinds):
    for name, kind, shape in kinds:
        values = rng.standard_normal(shape).astype(np.float32)
        writer.add_tensor(name, quantize(values, kind), raw_dtype=None if kind in (Type.F32, Type.F16) else kind)


def write_all(path, rng):
    writer = GGUFWriter(path, "test")
    writer.add_custom_alignment(64)
    add_metadata(writer)
    add_tensors(writer, rng, [
        ("norm", Type.F32, (5,)), ("half", Type.F16, (3, 7)), ("brain", Type.BF16, (2, 9)), ("q41", Type.Q4_1, (3, 64)),
        ("q80", Type.Q8_0, (2, 3, 32)), ("q50", Type.Q5_0, (4, 32)), ("mx", Type.MXFP4, (1, 96)),
    ])
    finish(writer)


def write_split(path, rng):
    writer = GGUFWriter(path, "test", split_max_tensors=2)
    writer.add_string("general.name", "split in two")
    add_tensors(writer, rng, [("a", Type.F32, (2, 3)), ("b", Type.Q4_0, (2, 32)), ("c", Type.F16, (4,))])
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(paths):
    metadata, tensors = {}, []
    for i, path in enumerate(paths):
        reader = GGUFReader(path)
        if i == 0:
            metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
        for tensor in reader.tensors:
            values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
            tensors.append({"name": tensor.name, "type": tensor.tensor_type.name,
                            "shape": [int(n) for n in reversed(tensor.shape)],
                            "sha256": hashlib.sha256(values.tobytes()).hexdigest()})
    return {"metadata": metadata, "tensors": tensors}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/io", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    write_all(out / "all_types.gguf", rng)
    write_split(out / "split.gguf", rng)
    result = {"all_types": describe([out / "all_types.gguf"]),
              "split": describe([out / f"split-0000{i}-of-00002.gguf" for i in (1, 2)])}
    (out / "gguf.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
