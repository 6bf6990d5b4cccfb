"""Golden file for src/calibration/samples: the selections that the published scripts' code makes, by CPython's random
and the package tokenizers, of texts that come with bitloom.

Writes to --out (default tests/golden/calibration):
  samples.json    per case its options, the number of tokens, the first ids of the first and last sequence, and the
                  SHA-256 of all: per sequence its length and its ids, each a little-endian u32
"""

import argparse
import hashlib
import json
import lzma
import pathlib
import random
import re
import struct

from tokenizers import Tokenizer

EOS = 1
BUILT_IN = "assets/calibration/mixed.txt.xz"
STORIES = "assets/demo/calibration.txt"
CASES = [  # rule, file, format, samples, length, seed
    ("gptq", BUILT_IN, "plain", 128, 256, 0),
    ("gptq", BUILT_IN, "plain", 32, 2048, 0),
    ("gptq", BUILT_IN, "plain", 16, 2048, 2**32 + 7),
    ("gptq", STORIES, "plain", 64, 256, 1),  # most stories are too short
    ("gptq", STORIES, "plain", 64, 2048, 0),  # all are: one stream
    ("gptq", STORIES, "hf-rows", 64, 512, 3),  # one document
    ("packed", BUILT_IN, "plain", 64, 1024, 0),
    ("packed", STORIES, "plain", 128, 256, 5),
    ("packed", STORIES, "hf-rows", 32, 512, 0),
    ("rows", STORIES, "plain", 128, 200, 0),
    ("rows", BUILT_IN, "plain", 100, 2048, 9),
]


def documents_of(path, text_format):
    raw = pathlib.Path(path).read_bytes()
    text = (lzma.decompress(raw) if path.endswith(".xz") else raw).decode()
    if text_format == "hf-rows":
        lines = text.split("\n")
        rows = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
        return ["\n\n".join("" if row.isspace() else row for row in rows)]
    parts = re.split(r"^<\|endoftext\|>\n", text, flags=re.M)
    return [part.removesuffix("\n") for part in parts if part.strip()]


class Encoded:
    """Documents tokenized when asked for."""

    def __init__(self, tokenizer, documents):
        self.tokenizer, self.documents, self.ids = tokenizer, documents, {}

    def __len__(self):
        return len(self.documents)

    def __getitem__(self, i):
        if i not in self.ids:
            self.ids[i] = self.tokenizer.encode(self.documents[i]).ids
        return self.ids[i]


def joined(encoded, order):
    stream = []
    for i in order:
        stream += ([EOS] if stream else []) + encoded[i]
    return stream


def from_stream(ids, samples, seqlen, seed):  # get_wikitext2 of GPTQ's datautils.py
    random.seed(seed)
    out = []
    for _ in range(samples):
        i = random.randint(0, len(ids) - seqlen - 1)
        out.append(ids[i:i + seqlen])
    return out


def gptq(encoded, samples, seqlen, seed):
    if len(encoded) == 1:
        return from_stream(encoded[0], samples, seqlen, seed)
    if all(len(encoded[i]) <= seqlen for i in range(len(encoded))):
        return from_stream(joined(encoded, range(len(encoded))), samples, seqlen, seed)
    random.seed(seed)
    out = []
    for _ in range(samples):  # get_c4
        while True:
            i = random.randint(0, len(encoded) - 1)
            ids = encoded[i]
            if len(ids) > seqlen:
                break
        i = random.randint(0, len(ids) - seqlen - 1)
        out.append(ids[i:i + seqlen])
    return out


def packed(encoded, samples, seqlen, seed):
    if len(encoded) == 1:
        windows = [encoded[0][i:i + seqlen] for i in range(0, len(encoded[0]) - seqlen + 1, seqlen)]
        random.Random(seed).shuffle(windows)
        return windows[:samples]
    order = list(range(len(encoded)))
    random.Random(seed).shuffle(order)
    stream = joined(encoded, order)
    return [stream[i * seqlen:(i + 1) * seqlen] for i in range(samples)]


def rows(encoded, samples, seqlen, seed):
    order = list(range(len(encoded)))
    random.Random(seed).shuffle(order)
    return [ids[:seqlen] for ids in (encoded[i] for i in order) if len(ids) >= 2][:samples]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/calibration")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file("assets/demo/tokenizer.json")
    encoded, golden = {}, []
    for rule, file, text_format, samples, length, seed in CASES:
        key = (file, text_format)
        if key not in encoded:
            encoded[key] = Encoded(tokenizer, documents_of(file, text_format))
        sequences = {"gptq": gptq, "packed": packed, "rows": rows}[rule](encoded[key], samples, length, seed)
        assert len(sequences) == samples
        data = b"".join(struct.pack(f"<{len(s) + 1}I", len(s), *s) for s in sequences)
        golden.append({"rule": rule, "file": file, "format": text_format, "samples": samples, "length": length,
                       "seed": seed, "tokens": sum(map(len, sequences)), "first": sequences[0][:8],
                       "last": sequences[-1][:8], "ids_sha256": hashlib.sha256(data).hexdigest()})
    (out / "samples.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in golden) + "\n]\n")


if __name__ == "__main__":
    main()
