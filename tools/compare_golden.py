"""What differs between two golden files.

Bytes must agree, but for floating point that another processor rounds otherwise: tensors of safetensors files to 1e-5
of their range, numbers of JSON to 1e-5. The tests that read them allow 1e-4.
"""

import json

import numpy
from safetensors.numpy import load_file

TOLERANCE = 1e-5


def json_differences(a, b, place):
    if type(a) is not type(b):
        yield f"{place}: {a!r} and {b!r}"
    elif isinstance(a, dict):
        for key in sorted(a.keys() ^ b.keys()):
            yield f"{place}/{key}: in one of them only"
        for key in a.keys() & b.keys():
            yield from json_differences(a[key], b[key], f"{place}/{key}")
    elif isinstance(a, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from json_differences(x, y, f"{place}/{i}")
    elif isinstance(a, float):
        if abs(a - b) > TOLERANCE * max(abs(a), 1):
            yield f"{place}: {a} and {b}"
    elif a != b:
        yield f"{place}: {a!r} and {b!r}"


def tensor_differences(a, b):
    for name in sorted(a.keys() ^ b.keys()):
        yield f"{name}: in one of them only"
    for name in sorted(a.keys() & b.keys()):
        x, y = a[name], b[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            yield f"{name}: {x.dtype} {x.shape} and {y.dtype} {y.shape}"
        elif x.dtype.kind != "f":
            if not numpy.array_equal(x, y):
                yield f"{name}: values differ"
        elif x.size and not numpy.abs(x - y).max() <= TOLERANCE * numpy.abs(x).max():
            yield f"{name}: differ by up to {numpy.abs(x - y).max()} of {numpy.abs(x).max()}"


def differences(a, b):
    """Lines, none where the files at paths a and b agree."""
    if a.read_bytes() == b.read_bytes():
        return []
    if a.suffix == ".safetensors":
        return tensor_differences(load_file(a), load_file(b))
    if a.suffix == ".json":
        return json_differences(json.loads(a.read_text()), json.loads(b.read_text()), "")
    return ["differs"]
