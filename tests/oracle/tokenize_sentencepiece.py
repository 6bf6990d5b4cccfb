"""Golden files for src/tokenize: what the package sentencepiece makes of models of every kind.

Writes to --out (default tests/golden/tokenize), for each NAME of MODELS:
  spm_NAME/tokenizer.model  trained once on assets/demo and kept
  spm_NAME.crc              per 8th string of strings.jsonl (which must lie there) a little-endian u32: crc32 of the ids
                            (little-endian u32 each, BOS first), then of decode(ids) in UTF-8 without control symbols
"""

import argparse
import json
import pathlib
import re
import shutil
import struct
import tempfile
import zlib

import sentencepiece

GOLDEN = pathlib.Path("tests/golden/tokenize")
RULES = {"\u00a0": " ", "\u3000": " ", "\t": " ", "\r\n": " ", "\ufb01": "fi", "\u2126": "\u03a9", "e\u0301": "\u00e9", "\u200b": "",
         "\u00bd": "1/2", "\uff21": "A"}
SYMBOLS = {"user_defined_symbols": ["<sep>", "once upon", "ing"], "control_symbols": ["<cls>"]}
MODELS = {
    "unigram": {"byte_fallback": False},
    "unigram_bytes": {"byte_fallback": True, "remove_extra_whitespaces": False},
    "unigram_symbols": {"vocab_size": 400, **SYMBOLS},
    "bpe_symbols": {"model_type": "bpe", "vocab_size": 600, "byte_fallback": True, **SYMBOLS},
    "bpe_suffix": {"model_type": "bpe", "vocab_size": 400, "treat_whitespace_as_suffix": True, "add_dummy_prefix": True},
    "bpe_unused": {"model_type": "bpe", "vocab_size": 500, "remove_extra_whitespaces": False},
    "word": {"model_type": "word", "vocab_size": 300},
    "char": {"model_type": "char", "vocab_size": 80, "add_dummy_prefix": False, **SYMBOLS},
}
UNUSED = 5


def train(path, options):
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = GOLDEN / path.parent.name / path.name
    if kept.exists():
        if path.resolve() != kept.resolve():
            shutil.copyfile(kept, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "text.txt").write_text(pathlib.Path("assets/demo/evaluation.txt").read_text()[:200000])
        def spelled(text):
            return " ".join(f"{ord(c):04X}" for c in text)
        (folder / "rules.tsv").write_text("".join(f"{spelled(a)}\t{spelled(b)}\n" for a, b in RULES.items()))
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), num_threads=1, minloglevel=2,
            normalization_rule_tsv=str(folder / "rules.tsv"), **{"model_type": "unigram", "vocab_size": 700} | options)
        data = (folder / "tokenizer.model").read_bytes()
        path.write_bytes(with_unused(data) if path.parent.name == "spm_bpe_unused" else data)


def with_unused(model):
    """Every third of the merged pieces marked as not to be used. A piece: field 1 of the model; its type: field 3, absent
    for a normal one."""
    out, at, seen = bytearray(), 0, 0
    while model[at] == 0x0A and model[at + 1] < 0x80:
        piece = model[at + 2 : at + 2 + model[at + 1]]
        at += 2 + len(piece)
        if b"\x18" not in piece[-2:-1] and piece[1] > 3:
            seen += 1
            if seen % 3 == 0:
                piece += bytes([0x18, UNUSED])
        out += bytes([0x0A, len(piece)]) + piece
    return bytes(out) + model[at:]


def crcs_of(path, strings):
    """Control and unknown symbols are taken out of the text first, as added tokens are."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    symbols = {sp.id_to_piece(i): i for i in range(sp.vocab_size()) if sp.is_control(i) or sp.is_unknown(i)}
    pattern = re.compile("(" + "|".join(map(re.escape, sorted(symbols, key=len, reverse=True))) + ")")
    out = bytearray()
    for text in strings:
        ids = [sp.bos_id()]
        for part in pattern.split(text):
            ids += [symbols[part]] if part in symbols else sp.encode(part)
        decoded = sp.decode([i for i in ids if i not in set(symbols.values())])
        out += struct.pack("<I", zlib.crc32(decoded.encode("utf-8", "replace"), zlib.crc32(struct.pack(f"<{len(ids)}I", *ids))))
    return bytes(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(GOLDEN))
    out = pathlib.Path(parser.parse_args().out)
    strings = [json.loads(line) for line in (GOLDEN / "strings.jsonl").read_text().split("\n") if line][::8]
    for name, options in MODELS.items():
        model = out / f"spm_{name}" / "tokenizer.model"
        train(model, options)
        (out / f"spm_{name}.crc").write_bytes(crcs_of(model, strings))


if __name__ == "__main__":
    main()
