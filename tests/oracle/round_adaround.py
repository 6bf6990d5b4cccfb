#!/usr/bin/env python3
"""Learned rounding's first iterations on a small layer, from tokens and in fp64: numpy, no moments.

Writes OUT/adaround.txt. Every line is a name and its numbers: tokens, rows, cols, iterations; regularizer, ramp,
beta_start, beta_end, warmup, learning_rate; x and f [tokens, cols] (inputs of the quantized prefix and of the float
model); w, low, step, start, end [rows, cols] (weights, lower levels, distance to the upper ones, alpha before and after).

usage: round_adaround.py [--out DIR]        (numpy 2)
"""

import argparse
import pathlib

import numpy as np

TOKENS, ROWS, COLS, ITERATIONS = 40, 3, 10, 12
REGULARIZER, RAMP, BETA_START, BETA_END, WARMUP, RATE = 2.0, 1.0, 8.0, 2.0, 0.25, 0.05
ZETA, GAMMA = 1.1, -0.1


def run(x, f, w, low, step, alpha):
    """AdaRound's loss with each weight's regularizer in units of mean x_j^2 step^2 / 12, by Adam (epsilon 1e-3)."""
    unit = (x**2).mean(0) * step**2 / 12
    first, second = np.zeros_like(w), np.zeros_like(w)
    begin = int(WARMUP * ITERATIONS)
    for i in range(ITERATIONS):
        sigmoid = 1 / (1 + np.exp(-alpha))
        h = np.clip(sigmoid * (ZETA - GAMMA) + GAMMA, 0, 1)
        dh = np.where((h > 0) & (h < 1), (ZETA - GAMMA) * sigmoid * (1 - sigmoid), 0)
        error = x @ (low + h * step).T - f @ w.T  # [tokens, rows]
        slope = 2 * error.T @ x / TOKENS * step
        if i >= begin:
            t = (i - begin) / (ITERATIONS - begin - 1)
            beta = BETA_START + (BETA_END - BETA_START) * t
            u = 2 * h - 1
            slope += REGULARIZER * t**RAMP * unit * -2 * beta * np.sign(u) * np.abs(u) ** (beta - 1)
        g = slope / unit * dh
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g**2
        rate = RATE * np.sqrt(1 - 0.999 ** (i + 1)) / (1 - 0.9 ** (i + 1))
        alpha = alpha - rate * first / (np.sqrt(second) + 1e-3)
    return alpha


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/round")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(31))

    def single(values):
        return values.astype(np.float32).astype(np.float64)

    x = single(rng.standard_normal((TOKENS, COLS)) @ rng.standard_normal((COLS, COLS)))
    f = single(x + 0.2 * rng.standard_normal((TOKENS, COLS)))
    w = single(0.1 * rng.standard_normal((ROWS, COLS)))
    step = single(0.02 + 0.03 * rng.random((ROWS, COLS)))
    low = single(w - rng.random((ROWS, COLS)) * step)
    start = single(rng.uniform(-2, 2, (ROWS, COLS)))
    end = run(x, f, w, low, step, start)
    lines = {"sizes": [TOKENS, ROWS, COLS, ITERATIONS],
             "options": [REGULARIZER, RAMP, BETA_START, BETA_END, WARMUP, RATE],
             "x": x, "f": f, "w": w, "low": low, "step": step, "start": start, "end": end}
    text = "".join(f"{name} {' '.join(f'{v:.9g}' for v in np.ravel(values))}\n" for name, values in lines.items())
    (out / "adaround.txt").write_text(text)


if __name__ == "__main__":
    main()
