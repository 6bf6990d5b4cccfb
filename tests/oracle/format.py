"""Golden files for src/format and src/round, from implementations that are not ours.

  minifloat_decode.txt   NAME CODE FP32BITS      every code, by ml_dtypes
  minifloat_cast.txt     NAME FP32BITS CODE      casts of fp32 (nearest even, not saturating), by ml_dtypes; torch agrees
  exmy_round.txt         NAME FP32BITS FP32BITS  rounding to ExMy without reserved codes, by float64 numpy on the formula
  tables.txt             NAME FP32BITS...        NF4 as published, checked against normal quantiles; IQ4_NL by gguf; FP4 of bitsandbytes
  matrices.txt           a matrix, and what it becomes under several schemes: torch (GPTQ's formulas, float8 casts), gguf

Needs numpy, torch, ml_dtypes, gguf.
"""

import argparse
import math
import pathlib
from statistics import NormalDist

import gguf
import ml_dtypes
import numpy as np
import torch

ML_DTYPES = {  # ours -> ml_dtypes
    "e4m3fn": ml_dtypes.float8_e4m3fn,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e4m3b11fnuz": ml_dtypes.float8_e4m3b11fnuz,
    "e4m3-ieee": ml_dtypes.float8_e4m3,
    "e3m4-ieee": ml_dtypes.float8_e3m4,
    "e5m2-ieee": ml_dtypes.float8_e5m2,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
                1.0])
TORCH = {
    "e4m3fn": torch.float8_e4m3fn,
    "e4m3fnuz": torch.float8_e4m3fnuz,
    "e5m2-ieee": torch.float8_e5m2,
    "e5m2fnuz": torch.float8_e5m2fnuz,
}


def bits(x):
    """fp32 bit patterns; any NaN becomes the canonical one."""
    x = np.asarray(x, np.float32)
    return np.where(np.isnan(x), np.uint32(0x7FC00000), x.view(np.uint32))


def hexes(x):
    return " ".join(f"{int(b):08x}" for b in bits(x).ravel())


def width(name):
    return 8 if name[1] in "45" or name == "e3m4-ieee" else (4 if name == "e2m1" else 6)


def decode_lines():
    for name, dtype in ML_DTYPES.items():
        codes = np.arange(1 << width(name), dtype=np.uint8)
        for code, b in zip(codes, bits(codes.view(dtype).astype(np.float32))):
            yield f"{name} {code:02x} {int(b):08x}"


def samples(name, rng):
    """Middles of neighbouring levels and the floats beside them, values beyond the range, random magnitudes."""
    codes = np.arange(1 << width(name), dtype=np.uint8).view(ML_DTYPES[name])
    levels = codes.astype(np.float32)
    levels = np.unique(levels[np.isfinite(levels)]).astype(np.float64)
    picked = rng.choice(len(levels) - 1, min(len(levels) - 1, 40), replace=False)
    middles = ((levels[picked] + levels[picked + 1]) / 2).astype(np.float32)
    beside = [np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(-np.inf))]
    top = np.float32(levels[-1])
    edge = np.array([0.0, -0.0, top, -top, top * 1.03, top * 1.0625, top * 1.07, top * 1.13, top * 1.5, -top * 4, 1e30,
                     np.inf, -np.inf, np.nan], np.float32)
    spread = (rng.choice([-1, 1], 60) * 2.0 ** rng.uniform(math.log2(levels[levels > 0][0]) - 2, math.log2(top) + 1, 60))
    x = np.concatenate([middles, *beside, edge, spread.astype(np.float32)]).astype(np.float32)
    # FP6 and FP4 of ml_dtypes have no NaN and turn it into -0; ours refuses it.
    return x if width(name) == 8 else x[~np.isnan(x)]


def cast_lines(rng):
    for name, dtype in ML_DTYPES.items():
        x = samples(name, rng)
        codes = x.astype(dtype).view(np.uint8)
        if name in TORCH:
            theirs = torch.from_numpy(x).to(TORCH[name]).view(torch.uint8).numpy()
            number = ~np.isnan(x.astype(dtype).astype(np.float32))
            assert (codes[number] == theirs[number]).all(), name
        for value, code in zip(bits(x), codes):
            yield f"{name} {int(value):08x} {code:02x}"


def round_exmy(x, e, m):
    """Section 0.2 of the papers' floating-point page, reserve none, nearest even, saturating."""
    bias = 2 ** (e - 1) - 1
    a = np.abs(x.astype(np.float64))
    p = np.maximum(np.floor(np.log2(np.where(a == 0, 1, a))), 1 - bias)
    p = np.where(a < 2.0 ** p, np.maximum(p - 1, 1 - bias), p)
    z = np.round(a * 2.0 ** (m - p)) * 2.0 ** (p - m)
    top = (2 - 2.0 ** -m) * 2.0 ** (2 ** e - 1 - bias)
    return (np.sign(x) * np.minimum(z, top)).astype(np.float32)


def exmy_lines(rng):
    for total in range(3, 9):
        for e in range(1, total):
            m = total - 1 - e
            top = (2 - 2.0 ** -m) * 2.0 ** (2 ** (e - 1))
            low = 2.0 ** (2 - 2 ** (e - 1) - m)
            x = rng.choice([-1, 1], 60) * 2.0 ** rng.uniform(math.log2(low) - 2, math.log2(top) + 1, 60)
            # Some exact ties: odd multiples of half a step in a random binade.
            steps = low * 2.0 ** rng.integers(0, 2 ** e - 1, 20) * (rng.integers(0, 2 ** (m + 1), 20) + 0.5)
            x = np.concatenate([x, np.minimum(steps, top * 1.5)]).astype(np.float32)
            for value, result in zip(bits(x), bits(np.abs(round_exmy(x, e, m)) * np.sign(x))):
                yield f"e{e}m{m} {int(value):08x} {int(result):08x}"


def table_lines():
    ppf = NormalDist().inv_cdf
    offset = 0.9677083
    up = [ppf(p) for p in np.linspace(offset, 0.5, 9)[:-1]]
    down = [-ppf(p) for p in np.linspace(offset, 0.5, 8)[:-1]]
    quantiles = np.array(sorted(up + [0.0] + down))
    # The published constants carry the error of an fp32 quantile function.
    assert np.abs(quantiles / quantiles.max() - NF4).max() < 2e-7
    yield "nf4 " + hexes(NF4)
    yield "iq4nl " + hexes(np.array(gguf.quants.IQ4_NL.kvalues, np.float32))
    fp4 = np.array([0, 0.0625, 2, 3, 4, 6, 8, 12], np.float32) / np.float32(12)
    yield "fp4-bnb " + hexes(np.unique(np.concatenate([-fp4[1:], fp4])))


def groups(w, size):
    for c in range(0, w.shape[1], size):
        yield w[:, c : c + size]


def by_group(w, size, function):
    return torch.cat([function(group) for group in groups(w, size)], dim=1)


def int_symmetric(bits_, scale_dtype):
    def function(g):
        maxq = 2**bits_ - 1
        scale = (2 * g.abs().amax(1, keepdim=True) / maxq).to(scale_dtype).float()
        q = torch.clamp(torch.round(g / scale), -(2 ** (bits_ - 1)), 2 ** (bits_ - 1) - 1)
        return torch.where(scale > 0, scale * q, torch.zeros_like(g))
    return function


def int_asymmetric(bits_, scale_dtype):
    def function(g):
        maxq = 2**bits_ - 1
        low, high = g.amin(1, keepdim=True).clamp(max=0), g.amax(1, keepdim=True).clamp(min=0)
        scale = ((high - low) / maxq).to(scale_dtype).float()
        zero = torch.round(-low / scale)
        q = torch.clamp(torch.round(g / scale) + zero, 0, maxq)
        return torch.where(scale > 0, scale * (q - zero), torch.zeros_like(g))
    return function


def nearest(levels):
    levels = torch.tensor(levels, dtype=torch.float32)
    def function(y):
        return levels[(y.double().unsqueeze(-1) - levels.double()).abs().argmin(-1)]
    return function


def absmax_table(levels, scale_dtype):
    top, snap = max(abs(v) for v in levels), nearest(levels)
    def function(g):
        scale = (g.abs().amax(1, keepdim=True) / top).to(scale_dtype).float()
        return torch.where(scale > 0, scale * snap(torch.where(scale > 0, g / scale, g)), torch.zeros_like(g))
    return function


E2M1 = [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6]


def nvfp4(w):
    s2 = w.abs().max() / torch.tensor(6.0 * 448.0)
    snap = nearest(E2M1)
    def function(g):
        raw = (g.abs().amax(1, keepdim=True) / 6.0) / s2
        scale = raw.clamp(2.0**-9, 448).to(torch.float8_e4m3fn).float() * s2
        return snap(g / scale) * scale
    return by_group(w, 16, function)


def mxfp4(w):
    packed = gguf.quants.quantize(w.numpy(), gguf.GGMLQuantizationType.MXFP4)
    return torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.MXFP4))


def fp8_rows(w):
    scale = (w.abs().amax(1, keepdim=True) / 448.0).half().float()
    return (w / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


def matrix_lines(rng):
    w = (rng.standard_normal((6, 96)) * 2.0 ** rng.uniform(-6, -2, (6, 1))).astype(np.float32)
    w[2, 32:64] = 0  # a zero group
    w[3, 5] = 3.5  # an outlier
    t = torch.from_numpy(w)
    results = {
        "int4-g32-f32": by_group(t, 32, int_symmetric(4, torch.float32)),
        "int4-g40": by_group(t, 40, int_symmetric(4, torch.float16)),
        "int8-row": by_group(t, 96, int_symmetric(8, torch.float16)),
        "int2-g16-bf16": by_group(t, 16, int_symmetric(2, torch.bfloat16)),
        "int3-g32-asym": by_group(t, 32, int_asymmetric(3, torch.float16)),
        "int4-row-asym-f32": by_group(t, 96, int_asymmetric(4, torch.float32)),
        "e2m1-g32": by_group(t, 32, absmax_table(E2M1, torch.float16)),
        "nf4-g64": by_group(t, 64, absmax_table(list(NF4), torch.float16)),
        "e4m3fn-row": fp8_rows(t),
        "nvfp4": nvfp4(t),
        "mxfp4": mxfp4(t),
    }
    yield f"matrix {w.shape[0]} {w.shape[1]} {hexes(w)}"
    for spec, q in results.items():
        yield f"{spec} {hexes(q.numpy() + np.float32(0))}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/format")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "minifloat_decode.txt": decode_lines(),
        "minifloat_cast.txt": cast_lines(np.random.default_rng(1)),
        "exmy_round.txt": exmy_lines(np.random.default_rng(2)),
        "tables.txt": table_lines(),
        "matrices.txt": matrix_lines(np.random.default_rng(3)),
    }
    for name, lines in files.items():
        (out / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
