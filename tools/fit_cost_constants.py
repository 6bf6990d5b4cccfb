#!/usr/bin/env python3
"""Fits the constants of the LUT model (src/hardware/cost_model.h) to the figures of src/hardware/cost_constants.json.

Prints the constants to write there and how far each figure is off. The model stands here a second time, in plain Python;
hardware_test holds the file to being the best fit.
"""
import json
import math
import pathlib

DATA = json.loads((pathlib.Path(__file__).resolve().parent.parent / "src/hardware/cost_constants.json").read_text())["luts"]
NAMES = ["multiplier", "exponent", "shifter", "rounding", "area"]


class Number:
    def __init__(self, name):
        if name.startswith("int"):
            self.bits = self.significand = int(name[3:].removesuffix("-narrow"))
            self.exponent, self.top = 0, 2 ** (self.bits - 1) - 1
        else:
            self.exponent, mantissa = int(name[1]), int(name[3])
            self.bits, self.significand = 1 + self.exponent + mantissa, mantissa + 1
            self.top = (2 ** (mantissa + 1) - 1) << (2**self.exponent - 2)


def stages(bits):
    return bits * (bits - 1).bit_length()


def sum_bits(a, b, terms):
    return (a.top * b.top * terms).bit_length() + 1


def multiplier(c, a, b):
    exponent = max(a.exponent, b.exponent)
    return c["multiplier"] * a.significand * b.significand + (c["exponent"] * (exponent + 1) if exponent else 0)


def unit(c, a, b):
    align = c["shifter"] * stages(sum_bits(a, b, 1)) if max(a.exponent, b.exponent) > 1 else 0
    return multiplier(c, a, b) + align + c["adder"] * sum_bits(a, b, DATA["terms"])


def converted(c, a, b):
    return unit(c, a, b) + c["shifter"] * stages(sum_bits(a, b, DATA["terms"])) + c["rounding"]


def ratios(c, cost):
    numbers = [Number(name) for name in DATA["ratio_formats"]]
    integers = [Number(f"int{number.bits}-narrow") for number in numbers]
    return [cost(c, a, a) / unit(c, i, i) for a, i in zip(numbers, integers)]


def value(c, figure):
    a, b = (Number(figure.get(key, "int8-narrow")) for key in ("weights", "acts"))
    return {
        "adder": lambda: c["area"] * c["adder"] * a.bits,
        "multiplier": lambda: c["area"] * multiplier(c, a, b),
        "unit": lambda: c["area"] * unit(c, a, b),
        "least ratio": lambda: min(ratios(c, unit)),
        "greatest ratio": lambda: max(ratios(c, unit)),
        "least ratio converted": lambda: min(ratios(c, converted)),
        "greatest ratio converted": lambda: max(ratios(c, converted)),
    }[figure["of"]]()


def constants(logs):
    return {"adder": 1.0} | {name: math.exp(x) for name, x in zip(NAMES, logs)}


def loss(logs):
    c = constants(logs)
    return sum(math.log(value(c, f) / f["given"]) ** 2 for f in DATA["figures"] if f["fitted"])


def minimize(f, start, step, rounds=4000):
    """Nelder and Mead's simplex."""
    n = len(start)
    simplex = [list(start)] + [[x + step * (i == j) for j, x in enumerate(start)] for i in range(n)]
    for _ in range(rounds):
        simplex.sort(key=f)
        middle = [sum(p[j] for p in simplex[:n]) / n for j in range(n)]
        along = lambda t: [m + t * (m - w) for m, w in zip(middle, simplex[n])]
        best = min((along(t) for t in (1, 2, 0.5, -0.5)), key=f)
        if f(best) < f(simplex[n]):
            simplex[n] = best
        else:
            simplex[1:] = [[(x + y) / 2 for x, y in zip(p, simplex[0])] for p in simplex[1:]]
    return min(simplex, key=f)


def main():
    logs = minimize(loss, [math.log(x) for x in (0.5, 1, 0.1, 5, 20)], 0.3, 600)
    logs = minimize(loss, logs, 0.05, 400)
    c = constants(logs)
    print(json.dumps({name: float(f"{x:.6g}") for name, x in c.items()}))
    for figure in DATA["figures"]:
        ours = value(c, figure)
        what = " ".join([figure["of"], figure.get("weights", ""), figure.get("acts", "")]).strip()
        mark = "" if figure["fitted"] else ", not fitted"
        print(f"{what}: given {figure['given']:g}, ours {ours:.4g}, {100 * (ours / figure['given'] - 1):+.1f} %{mark}")


if __name__ == "__main__":
    main()
