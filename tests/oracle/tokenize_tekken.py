"""Golden files for src/tokenize: what transformers makes of a tekken.json.

Writes to --out (default tests/golden/tokenize):
  tekken/tekken.json  the bytes and the merges of the model "byte_level" of synthetic.json (which must lie there)
  tekken.crc          per 8th string of strings.jsonl a little-endian u32: crc32 of the ids without special tokens around
                      them (little-endian u32 each), then of decode(ids) in UTF-8 with special tokens skipped
"""

import argparse
import base64
import json
import pathlib
import struct
import zlib

from transformers.integrations.mistral.tokenizer import convert_tekken_tokenizer

GOLDEN = pathlib.Path("tests/golden/tokenize")
PATTERN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
           r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<tool>"]
SPECIAL_COUNT, CUT = 20, 30


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def tekken():
    model = json.loads((GOLDEN / "synthetic.json").read_text())["models"]["byte_level"]
    of = byte_alphabet()
    tokens = [bytes([b]) for b in range(256)]
    tokens += dict.fromkeys(bytes(of[c] for c in a + b) for a, b in model["merges"])
    return {"config": {"pattern": PATTERN, "num_vocab_tokens": len(tokens), "default_num_special_tokens": SPECIAL_COUNT,
                       "default_vocab_size": SPECIAL_COUNT + len(tokens) - CUT, "version": "v3"},
            "vocab": [{"rank": r, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for r, t in enumerate(tokens)],
            "special_tokens": [{"rank": r, "token_str": t, "is_control": True} for r, t in enumerate(SPECIAL)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(GOLDEN))
    out = pathlib.Path(parser.parse_args().out)
    (out / "tekken").mkdir(parents=True, exist_ok=True)
    file = out / "tekken/tekken.json"
    file.write_text(json.dumps(tekken(), separators=(",", ":")) + "\n")
    tokenizer = convert_tekken_tokenizer(str(file))
    crcs = bytearray()
    for text in [json.loads(line) for line in (GOLDEN / "strings.jsonl").read_text().split("\n") if line][::8]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        crcs += struct.pack("<I", zlib.crc32(decoded.encode(), zlib.crc32(struct.pack(f"<{len(ids)}I", *ids))))
    (out / "tekken.crc").write_bytes(crcs)


if __name__ == "__main__":
    main()
