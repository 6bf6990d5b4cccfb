#!/usr/bin/env python3
"""Half-quadratic zero points of some groups of weights, in numpy and fp64, from the update equations of HQQ.

Writes OUT/hqq.txt. Every line is a name and its numbers: groups, cols; w [groups, cols]; for every number of bits b and
unit u ("one": residuals as they are, "step": in units of the scale) scale_b_u and zero_b_u [groups], the zero point
with the least sum |w - q| of at most 20 turns, the last turn being the first that does not lessen it by 1e-9 of it.

usage: round_hqq.py [--out DIR]        (numpy 2)
"""

import argparse
import pathlib

import numpy as np

GROUPS, COLS, TURNS = 12, 64, 20
P, BETA, KAPPA = 0.7, 10.0, 1.01


def shrink(x, beta):
    """Generalised soft threshold of |x|^p."""
    magnitude = np.maximum(np.abs(x), 1e-300)
    return np.sign(x) * np.maximum(0, magnitude - magnitude ** (P - 1) / beta)


def solve(w, bits, in_steps):
    """(scale, zero) of one group."""
    most = 2**bits - 1
    scale = (w.max() - w.min()) / most
    zero = -w.min() / scale
    unit = scale if in_steps else 1.0
    best_error, best_zero = np.inf, zero
    for turn in range(TURNS + 1):
        q = np.clip(np.round(w / scale + zero), 0, most)
        r = w - scale * (q - zero)
        error = np.abs(r).sum()
        if error >= best_error * (1 - 1e-9):
            break
        best_error, best_zero = error, zero
        e = unit * shrink(r / unit, BETA * KAPPA**turn)
        zero = np.mean(q - (w - e) / scale)
    return scale, best_zero


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/round")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(43))
    # Heavy tails and sizes up to 1, so that the threshold lets some errors through in both units.
    size = np.geomspace(0.02, 1, GROUPS)[:, None]
    w = (size * (rng.standard_t(4, (GROUPS, COLS)) + 0.3)).astype(np.float32).astype(np.float64)
    lines = {"groups": [GROUPS], "cols": [COLS], "w": w.ravel()}
    for bits in (2, 3, 4):
        for unit in ("one", "step"):
            solved = np.array([solve(row, bits, unit == "step") for row in w])
            lines[f"scale_{bits}_{unit}"] = solved[:, 0]
            lines[f"zero_{bits}_{unit}"] = solved[:, 1]
    text = "".join(f"{name} {' '.join(repr(float(x)) for x in values)}\n" for name, values in lines.items())
    (out / "hqq.txt").write_text(text)


if __name__ == "__main__":
    main()
