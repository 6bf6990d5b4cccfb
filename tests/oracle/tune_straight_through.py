#!/usr/bin/env python3
"""Gradients of weights that are rounded straight through, and of what their groups share, by torch's autograd in fp64.

int3   LSQ (1902.08153): W = s round(clamp(w / s, -4, 3)), the round's gradient 1; d s is that of the step size, without
       the factor 1 / sqrt(N Q_max)
e2m1,  FP8 Quantization's quantizer (2208.09225; papers' floating-point page, 7.2) at M = 1 and 2, with a learned clip c
e3m2   for each group: b = 2^E - log2 c + log2(2 - 2^-M) - 1, x^ = s round(clamp(w, -c, c) / s), s of the detached
       exponent

Writes OUT/straight_through.txt. Every line is a name and its numbers: rows, cols, group; g [rows, cols] = dL/dW; for each
format w [rows, cols], range [rows, groups] (the step size, or c), and rounded, dw, drange: W and gradients of sum g W. No
w lies between the outermost level and half a step beyond it, nor near a tie.

usage: tune_straight_through.py [--out DIR]        (numpy 2, torch)
"""

import argparse
import pathlib

import numpy as np
import torch

ROWS, COLS, GROUP = 4, 24, 8


class RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return torch.round(x)

    @staticmethod
    def backward(_, grad):
        return grad


round_ste = RoundStraightThrough.apply


def lsq(w, s):
    return s * round_ste(torch.clamp(w / s, -4, 3))


def minifloat(exponent, mantissa):
    def rounded(x, c):
        b = 2**exponent - torch.log2(c) + np.log2(2 - 2.0**-mantissa) - 1
        xc = torch.minimum(torch.maximum(x, -c), c)
        p = torch.clamp(torch.floor(torch.log2(torch.abs(xc)) + b), min=1).detach()
        s = 2 ** (p - mantissa - b)
        return s * round_ste(xc / s)

    return rounded


# Of each the greatest level on both sides, and half the outermost steps.
FORMATS = {"int3": (lsq, (-4, 3), 0.5), "e2m1": (minifloat(2, 1), (-6, 6), 1), "e3m2": (minifloat(3, 2), (-28, 28), 2)}


def is_left_out(u, levels, half):
    """Between the outermost level and half a step beyond it, or near a tie, which is a multiple of 1/32 in all formats."""
    beyond = np.maximum(u - levels[1], levels[0] - u)
    to_tie = np.abs(32 * u - np.round(32 * u))
    return ((beyond > 0) & (beyond < 1.05 * half)) | (to_tie < 0.02)


def weights(rng, levels, half):
    """In units of what their group shares: some are beyond the range on both sides."""
    u = np.full((ROWS, COLS), levels[1] + half / 2)
    while (left_out := is_left_out(u, levels, half)).any():
        u[left_out] = rng.standard_normal(left_out.sum()) * levels[1] / 1.2
    assert (u > levels[1]).any() and (u < levels[0]).any()
    return u


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/tune")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(47))
    g = rng.standard_normal((ROWS, COLS)).astype(np.float32).astype(np.float64)
    lines = {"rows": [ROWS], "cols": [COLS], "group": [GROUP], "g": g.ravel()}
    for name, (rounding, levels, half) in FORMATS.items():
        steps = rng.uniform(0.02, 0.2, (ROWS, COLS // GROUP)).astype(np.float16).astype(np.float64)
        unit = np.repeat(steps, GROUP, axis=1)
        start = (weights(rng, levels, half) * unit).astype(np.float32).astype(np.float64)
        w = torch.tensor(start, requires_grad=True)
        shared = torch.tensor(steps if rounding is lsq else steps * levels[1], requires_grad=True)
        of_weight = torch.repeat_interleave(shared, GROUP, dim=1)
        rounded = rounding(w, of_weight)
        (torch.tensor(g) * rounded).sum().backward()
        for suffix, values in (("w", w), ("range", shared), ("rounded", rounded), ("dw", w.grad), ("drange", shared.grad)):
            lines[f"{name}_{suffix}"] = values.detach().numpy().ravel()
    text = "".join(f"{name} {' '.join(repr(float(x)) for x in values)}\n" for name, values in lines.items())
    (out / "straight_through.txt").write_text(text)


if __name__ == "__main__":
    main()
