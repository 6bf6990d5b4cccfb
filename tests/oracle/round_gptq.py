#!/usr/bin/env python3
"""Golden codes of the GPTQ procedure (Frantar et al., 2023), re-derived from the paper's Algorithm 1 and the structure of
the authors' program, in fp64 with numpy: Cholesky, inverse from it, upper Cholesky of the inverse; lazy updates in
blocks; groups; activation order with static groups. Weights and inputs are such that no code lies near a tie, so any
correct implementation must give the same ones.

The authors fit a group's scale on weights that lack the updates of the block in progress when the group begins inside a
block. Here blocks are as long as groups then, which leaves nothing to lack.
"""

import argparse
import pathlib

import numpy as np
from safetensors.numpy import save_file

ROWS, COLS, TOKENS = 12, 160, 200
SEED = 664  # the first that passes
MARGIN = 2e-4  # least distance of any rounding from a tie, in steps

# name -> bits, symmetric, group (0: the whole row), block, activation order, static groups
CASES = {
    "int4-row-f32": (4, True, 0, 128, False, False),
    "int4-row-asym-f32": (4, False, 0, 128, False, False),
    "int4-row-f32 actorder": (4, True, 0, 128, True, False),
    "int4-g32-f32": (4, True, 32, 32, False, False),
    "int3-g32-asym-f32": (3, False, 32, 32, False, False),
    "int4-g32-f32 actorder static": (4, True, 32, 128, True, True),
}


class Rounder:
    """Rounds and remembers how near to a tie it came."""

    def __init__(self):
        self.margin = np.inf

    def round(self, x):
        self.margin = min(self.margin, float(np.min(np.abs(np.abs(x - np.floor(x)) - 0.5))))
        return np.round(x)


def find_params(w, bits, symmetric, rounder):
    """Scale and zero of each row of w: the range with zero in it, cut into 2^bits - 1 steps."""
    most = 2**bits - 1
    low, high = np.minimum(w.min(axis=1), 0), np.maximum(w.max(axis=1), 0)
    if symmetric:
        high = np.maximum(np.abs(low), high)
        low = -high
    scale = (high - low) / most
    zero = np.full_like(scale, (most + 1) / 2) if symmetric else rounder.round(-low / scale)
    return scale, zero


def gptq(w, h, bits, symmetric, group, block, actorder, static, rounder):
    """levels [rows, cols] (code - zero), scales [rows, groups]."""
    w, h = w.copy(), h.copy()
    rows, cols = w.shape
    width = group or cols
    order = np.argsort(-np.diag(h), kind="stable") if actorder else np.arange(cols)
    params = {}
    if static or not group:
        for g in range(0, cols, width):
            params[g // width] = find_params(w[:, g : g + width], bits, symmetric, rounder)
    w, h = w[:, order], h[order][:, order]
    h[np.diag_indices(cols)] += 0.01 * np.mean(np.diag(h))
    lower = np.linalg.cholesky(h)
    inverse = np.linalg.inv(lower).T @ np.linalg.inv(lower)
    upper = np.linalg.cholesky(inverse).T
    levels = np.zeros_like(w)
    for begin in range(0, cols, block):
        end = min(cols, begin + block)
        errors = np.zeros((rows, end - begin))
        for j in range(begin, end):
            if group and not static and j % group == 0:
                params[j // group] = find_params(w[:, j : j + group], bits, symmetric, rounder)
            scale, zero = params[order[j] // width]
            codes = np.clip(rounder.round(w[:, j] / scale) + zero, 0, 2**bits - 1)
            levels[:, j] = codes - zero
            error = (w[:, j] - scale * levels[:, j]) / upper[j, j]
            w[:, j + 1 : end] -= np.outer(error, upper[j, j + 1 : end])
            errors[:, j - begin] = error
        w[:, end:] -= errors @ upper[begin:end, end:]
    result = np.zeros_like(levels)
    result[:, order] = levels
    return result, np.stack([params[g][0] for g in range(len(params))], axis=1)


def make_data(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(TOKENS, COLS))
    x[:, 1:] += 0.8 * x[:, :-1]
    x = (x * rng.uniform(0.4, 2, size=COLS)).astype(np.float16)
    return (0.05 * rng.normal(size=(ROWS, COLS))).astype(np.float32), x


def solve(seed):
    w, x = make_data(seed)
    h = x.astype(np.float64).T @ x.astype(np.float64) * 2 / TOKENS
    rounder, tensors = Rounder(), {"w": w, "x": x}
    for name, case in CASES.items():
        levels, scales = gptq(w.astype(np.float64), h, *case, rounder)
        if rounder.margin < MARGIN:
            return None
        tensors[f"{name}.levels"] = np.ascontiguousarray(levels.astype(np.int8))
        tensors[f"{name}.scales"] = np.ascontiguousarray(scales.astype(np.float32))
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/round")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    tensors = solve(SEED)
    assert tensors, f"seed {SEED} brings a code near a tie"
    save_file(tensors, out / "gptq.safetensors")


if __name__ == "__main__":
    main()
