#!/usr/bin/env python3
"""Conversations about sums, to calibrate on: one JSON line each, {"text": ...} with ChatML's marks as SmolLM2 and
Qwen have them. assets/calibration/sums.jsonl is `tools/make_sums.py > assets/calibration/sums.jsonl`; an argument is
another seed than 0."""

import json
import random
import sys

CONVERSATIONS, SUMS, LARGEST = 40, 24, 99


def turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def conversation(rng):
    text = turn("system", "You are a helpful assistant.")
    for _ in range(SUMS):
        a, b = rng.randint(1, LARGEST), rng.randint(1, LARGEST)
        text += turn("user", f"{a}+{b}=") + turn("assistant", f"{a}+{b}={a + b}")
    return text


if __name__ == "__main__":
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    for _ in range(CONVERSATIONS):
        print(json.dumps({"text": conversation(rng)}))
