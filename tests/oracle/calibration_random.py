"""Golden file for src/calibration/python_random: what CPython's random.Random draws.

Writes to --out (default tests/golden/calibration):
  random.json    per seed the results of a fixed series of calls on one generator, in this order: getrandbits(1 .. 64)
                 in hex, randint(a, b) of "ranges", random() in float.hex(), a shuffled list of 0 .. 19; then the CRC-32
                 of 3000 words getrandbits(32), little-endian
"""

import argparse
import json
import pathlib
import random
import struct
import zlib

SEEDS = [0, 1, 2, 42, 123456, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 0x123456789ABCDEF0, 2**64 - 1]
RANGES = [[0, 0], [0, 1], [-5, 5], [0, 355], [0, 356316], [1, 2**31], [0, 2**32 - 1], [0, 2**32], [-2**62, 2**62]] * 5


def series(seed):
    generator = random.Random(seed)
    out = {"seed": seed}
    out["bits"] = [format(generator.getrandbits(k), "x") for k in range(1, 65)]
    out["integers"] = [generator.randint(a, b) for a, b in RANGES]
    out["reals"] = [generator.random().hex() for _ in range(5)]
    out["shuffled"] = list(range(20))
    generator.shuffle(out["shuffled"])
    out["crc"] = zlib.crc32(struct.pack("<3000I", *(generator.getrandbits(32) for _ in range(3000))))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/calibration")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    golden = {"ranges": RANGES, "series": [series(seed) for seed in SEEDS]}
    (out / "random.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
