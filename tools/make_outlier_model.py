#!/usr/bin/env python3
"""Writes a model that computes the same and whose activations have outliers: a few channels, a power of two larger.

    tools/make_outlier_model.py ../shared/models/english-3m build/outliers              # three channels, 64 times as large
    tools/make_outlier_model.py MODEL OUT --channels 6 --factor 32

In every block of a llama-shaped checkpoint the chosen channels of both norms' weights, and rows of `up` with their biases, are multiplied by the
factor, and the columns of the matrices that read them divided by it: exponents change and nothing else, so the float model's
outputs stay to the bit where products are exact. What rounds activations sees the outliers. Needs Python alone.
"""
import argparse
import array
import json
import pathlib
import shutil
import struct

# dtype: array type, bits of exponent and mantissa
DTYPES = {"BF16": ("H", 8, 7), "F16": ("H", 5, 10), "F32": ("I", 8, 23)}


def times_power(value, exponent, shape, name):
    """The number that `value` encodes times 2^exponent; zeros stay zeros."""
    _, bits, mantissa = shape
    top = (1 << bits) - 1
    old = value >> mantissa & top
    if value & ((1 << (bits + mantissa)) - 1) == 0:
        return value
    if old in (0, top) or not 0 < old + exponent < top:
        raise SystemExit(f"{name}: a weight cannot be multiplied by 2^{exponent} without being rounded")
    return value + (exponent << mantissa)


class Tensors:
    def __init__(self, path):
        data = bytearray(path.read_bytes())
        length = struct.unpack("<Q", data[:8])[0]
        self.header, self.body = json.loads(data[8:8 + length]), memoryview(data)[8 + length:]
        self.data, self.path = data, path

    def scale(self, name, places, exponent):
        """Multiplies the elements at places(shape) by 2^exponent."""
        entry = self.header[name]
        if entry["dtype"] not in DTYPES:
            raise SystemExit(f"{self.path}: {name} is {entry['dtype']}, expected {', '.join(DTYPES)}")
        kind = DTYPES[entry["dtype"]]
        begin, end = entry["data_offsets"]
        values = array.array(kind[0])
        values.frombytes(self.body[begin:end])
        for place in places(entry["shape"]):
            values[place] = times_power(values[place], exponent, kind, name)
        self.body[begin:end] = values.tobytes()


def rows(channels):
    """Elements of rows; of a vector, its elements."""
    return lambda shape: [c * (shape[1:] or [1])[0] + i for c in channels for i in range((shape[1:] or [1])[0])]


def columns(channels):
    return lambda shape: [r * shape[1] + c for r in range(shape[0]) for c in channels]


def spread(width, count):
    return [(2 * i + 1) * width // (2 * count) for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="directory with one model.safetensors")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--channels", type=int, default=3, help="of each input")
    parser.add_argument("--factor", type=int, default=64, help="a power of two")
    arguments = parser.parse_args()
    exponent = arguments.factor.bit_length() - 1
    if arguments.factor != 1 << exponent or exponent < 1:
        parser.error(f"--factor {arguments.factor}: a power of two from 2 on")
    config = json.loads((arguments.model / "config.json").read_text())
    if config.get("model_type") != "llama":
        parser.error(f"{arguments.model}: model_type is {config.get('model_type')!r}, expected 'llama'")
    most = min(config["hidden_size"], config["intermediate_size"])
    if not 1 <= arguments.channels <= most:
        parser.error(f"--channels {arguments.channels}: 1 to {most}, the narrower of the inputs")
    tensors = Tensors(arguments.model / "model.safetensors")
    hidden = spread(config["hidden_size"], arguments.channels)
    inner = spread(config["intermediate_size"], arguments.channels)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for norm, readers in (("input_layernorm", [f"self_attn.{x}_proj" for x in "qkv"]),
                              ("post_attention_layernorm", ["mlp.gate_proj", "mlp.up_proj"])):
            tensors.scale(f"{at}{norm}.weight", rows(hidden), exponent)
            for reader in readers:
                tensors.scale(f"{at}{reader}.weight", columns(hidden), -exponent)
        for part in ("weight", "bias"):
            if f"{at}mlp.up_proj.{part}" in tensors.header:
                tensors.scale(f"{at}mlp.up_proj.{part}", rows(inner), exponent)
        tensors.scale(f"{at}mlp.down_proj.weight", columns(inner), -exponent)
    arguments.out.mkdir(parents=True)
    for file in arguments.model.iterdir():
        if file.is_file() and file.name != tensors.path.name:
            shutil.copyfile(file, arguments.out / file.name)
    (arguments.out / tensors.path.name).write_bytes(tensors.data)


if __name__ == "__main__":
    main()
