#!/usr/bin/env python3
"""State dicts by torch.save.

Writes OUT/torch/every_dtype.bin and, by pickle protocol 4, OUT/torch/protocol_4.bin with OUT/torch/every_dtype.json
(per tensor dtype, shape and values, of a complex one none); OUT/torch/training.bin, which is no state dict;
OUT/torch/zip64.bin, whose every size is written in 64 bits, and its OUT/torch/state_dict.pkl; and two models of
tests/golden/forward as their authors publish such: OUT/torch/opt/pytorch_model.bin, with the tied head beside the
embedding, and OUT/torch/gpt2/ in two shards with an index, with the causal masks that older files carry.

usage: io_torch.py [--out DIR]        (torch 2.8, safetensors 0.8)
"""

import argparse
import collections
import io
import json
import pathlib
import zipfile

import torch
from safetensors.torch import load_file

FORWARD = pathlib.Path(__file__).parents[1] / "golden/forward"
NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
         torch.complex64: "C64", torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
         torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
         torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e8m0fnu: "F8_E8M0"}


def every_dtype():
    """As module.state_dict() gives it: ordered, with versions as an attribute."""
    tensors = collections.OrderedDict()
    for i, (dtype, name) in enumerate(NAMES.items()):
        tensors[name] = (torch.arange(6).reshape(2, 3) + i).to(dtype)
    matrix = torch.arange(12.0).reshape(3, 4)
    tensors.update({
        "parameter": torch.nn.Parameter(torch.tensor([1.5, -2.5])), "scalar": torch.tensor(7.25),
        "empty": torch.zeros(0, 4), "shared": matrix, "row": matrix[1], "block": matrix[1:, 1:3],
        "transposed": matrix.t(), "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "position_ids": torch.arange(5).expand((1, -1)), "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    })
    tensors._metadata = {"": {"version": 1}, "layer": {"version": 2}}
    return tensors


def describe(tensors):
    result = {}
    for name, tensor in tensors.items():
        entry = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape)}
        if not tensor.is_complex():
            entry["values"] = tensor.detach().contiguous().to(torch.float64).flatten().tolist()
        result[name] = entry
    return result


def write_zip64(out):
    """Python's zipfile as if 0 bytes were the most that 32 bits can say."""
    matrix, saved = torch.arange(6.0).reshape(2, 3), io.BytesIO()
    torch.save({"matrix": matrix, "transposed": matrix.t(), "parameter": torch.nn.Parameter(torch.ones(3)),
                "scalar": torch.tensor(7, dtype=torch.int32)}, saved)
    zipfile.ZIP64_LIMIT = zipfile.ZIP_FILECOUNT_LIMIT = 0
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(out / "zip64.bin", "w") as wide:
        for entry in source.infolist():
            wide.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
            if entry.filename.endswith(".pkl"):
                (out / "state_dict.pkl").write_bytes(source.read(entry))


def write_models(out):
    opt = load_file(FORWARD / "opt/model.safetensors")
    opt["lm_head.weight"] = opt["model.decoder.embed_tokens.weight"]
    (out / "opt").mkdir(exist_ok=True)
    torch.save(opt, out / "opt/pytorch_model.bin")

    gpt2 = load_file(FORWARD / "gpt2/model.safetensors")
    for i in range(2):
        gpt2[f"transformer.h.{i}.attn.bias"] = torch.tril(torch.ones(64, 64, dtype=torch.uint8)).view(1, 1, 64, 64)
        gpt2[f"transformer.h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    names, weight_map = list(gpt2), {}
    (out / "gpt2").mkdir(exist_ok=True)
    for i, part in enumerate((names[:len(names) // 2], names[len(names) // 2:])):
        shard = f"pytorch_model-0000{i + 1}-of-00002.bin"
        torch.save({name: gpt2[name] for name in part}, out / "gpt2" / shard)
        weight_map.update({name: shard for name in part})
    index = {"metadata": {"total_size": sum(t.nbytes for t in gpt2.values())}, "weight_map": weight_map}
    (out / "gpt2/pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/io", type=pathlib.Path)
    out = parser.parse_args().out / "torch"
    out.mkdir(parents=True, exist_ok=True)
    tensors = every_dtype()
    torch.save(tensors, out / "every_dtype.bin")
    torch.save(tensors, out / "protocol_4.bin", pickle_protocol=4)
    (out / "every_dtype.json").write_text(json.dumps(describe(tensors)) + "\n")
    torch.save({"model": {"x": torch.arange(4.0)}, "epoch": 3}, out / "training.bin")
    write_models(out)
    write_zip64(out)


if __name__ == "__main__":
    main()
