"""Golden files for src/tokenize: what the package tokenizers makes of models that are no BPE, and of what belongs to them.

Writes to --out (default tests/golden/tokenize), of the strings of strings.jsonl (which must lie there) every 8th:
  models.json  as synthetic.json: small models by name, and tokenizers, each a model's name and the parts around it
  models.crc   per string a little-endian u32: crc32 of the ids (little-endian u32 each, with special tokens), then of
               decode(ids) in UTF-8 with special tokens skipped; tokenizer after tokenizer in sorted order
  bert_classes.json  what BertNormalizer removes, as runs [first, last] of code points
"""

import argparse
import base64
import collections
import json
import pathlib
import random
import struct
import tempfile
import zlib

import sentencepiece
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

GOLDEN = pathlib.Path("tests/golden/tokenize")
DEMO = pathlib.Path("assets/demo")
SPACE = "\u2581"


def train_models(texts):
    """Trained once and kept, as the trainers break ties by the order of hashes."""
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=700, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    scores = dict(reversed(json.loads(unigram.to_str())["model"]["vocab"]))  # special tokens are there twice
    scores = [(t, scores.pop(t)) for t in ["<pad>", "</s>", "<unk>"]] + sorted(scores.items(), key=lambda p: (-p[1], p[0]))
    word_piece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    word_piece.normalizer = normalizers.BertNormalizer()
    word_piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    word_piece.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=700, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=120, show_progress=False))
    words = sorted(w for w, _ in collections.Counter(w for t in texts for w in t.split()).most_common(150))
    return {
        "unigram": {"type": "Unigram", "unk_id": 2, "vocab": [[t, round(s, 6)] for t, s in scores], "byte_fallback": False},
        "word_piece": json.loads(word_piece.to_str())["model"],
        "word_level": {"type": "WordLevel", "unk_token": "[UNK]",
                       "vocab": {t: i for i, t in enumerate(dict.fromkeys(["[UNK]", ".", ",", "'", "s", *words]))}},
    }


def derived(kept):
    """Models made of the trained ones."""
    unigram = kept["unigram"]["vocab"]
    bytes_ = [[f"<0x{b:02X}>", 0.0] for b in range(256)]
    rng = random.Random(5)
    return {
        # many sums are equal
        "unigram_ties": {**kept["unigram"], "vocab": [[t, float(round(s / 4) * 4)] for t, s in unigram]},
        "unigram_flat": {**kept["unigram"], "vocab": [[t, -1.0] for t, _ in unigram]},
        "unigram_positive": {**kept["unigram"], "vocab": [[t, 100.0 + rng.randrange(8)] for t, _ in unigram] + [["\U0001f600\U0001fae0", 100.0]]},
        "unigram_twice": {**kept["unigram"], "vocab": [*unigram, ["<unk>", 0.0], ["a", -3.0]]},
        "unigram_bytes": {**kept["unigram"], "vocab": unigram[:3] + bytes_ + unigram[3:], "byte_fallback": True},
        "unigram_some_bytes": {**kept["unigram"], "vocab": unigram + bytes_[128:160], "byte_fallback": True},
        "word_piece_short": {**kept["word_piece"], "max_input_chars_per_word": 7},
        "word_piece_plain": {**kept["word_piece"], "continuing_subword_prefix": ""},
        "untyped": {k: v for k, v in kept["word_piece"].items() if k != "type"},
    }


# SentencePiece's character map: strings that others begin with, marks, what vanishes, grapheme clusters of several lengths
RULES = {"e\u0301": "\u00e9", "e\u0301\u0323": "E!", "t": "T", "th": "XY", "the": "Z", "\r": "  ", "\u200b": "", "\ufb01": "fi",
         "\u00bd": "1/2", "\u0301": "", "\u2163": "IV", "\u1100": "K", "\u1100\u1161": "\uac00", "\u0600": "N", "\u3000": " ",
         "\u00a0": " ", "\U0001f600": ":)", "\u4e00": "\u4e01\u4e02"}


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def message_field(data, wanted):
    """The bytes of a length-delimited field of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 5:
            at += 4
            continue
        size, at = varint(data, at)
        if tag & 7 == 2:
            if tag >> 3 == wanted:
                return data[at:at + size]
            at += size
    raise KeyError(wanted)


def character_map():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        def spelled(text):
            return " ".join(f"{ord(c):04X}" for c in text)
        (folder / "rules.tsv").write_text("".join(f"{spelled(a)}\t{spelled(b)}\n" for a, b in RULES.items()))
        (folder / "text.txt").write_text("hello world\n" * 20)
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / "model"), vocab_size=20, hard_vocab_limit=False,
            normalization_rule_tsv=str(folder / "rules.tsv"), minloglevel=2)
        model = (folder / "model.model").read_bytes()
    return base64.b64encode(message_field(message_field(model, 3), 2)).decode()


def bert(**off):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True} | off


def runs(code_points):
    out = []
    for c in code_points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def bert_classes():
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    code_points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    def removed(**on):
        normalizer = normalizers.BertNormalizer(**off | on)
        return runs(c for c in code_points if normalizer.normalize_str(f"a{chr(c)}b") == "ab")
    return {"controls": removed(clean_text=True), "marks": removed(strip_accents=True)}


def added(content, id_, **flags):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True} | flags


def template(before, after):
    def token(t):
        return {"SpecialToken": {"id": t, "type_id": 0}}

    single = [token(t) for t in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [token(t) for t in after]
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in {**before, **after}.items()}}


def metaspace(scheme="always", **more):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": True, **more}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def tokenizers(charsmap):
    t5 = {"model": "unigram", "pre_tokenizer": metaspace(), "decoder": metaspace(), "post_processor": template({}, {"</s>": 1}),
          "added_tokens": [added("<pad>", 0), added("</s>", 1), added("<unk>", 2)]}
    words = {"model": "word_piece", "pre_tokenizer": {"type": "BertPreTokenizer"},
            "normalizer": bert(), "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "post_processor": template({"[CLS]": 2}, {"[SEP]": 3}),
            "added_tokens": [added(t, i) for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])]}
    bytes_decoder = sequence("decoders", {"type": "ByteFallback"}, metaspace())
    word_level = {"model": "word_level", "pre_tokenizer": {"type": "Whitespace"}}
    return {
        "t5": t5,
        "t5-whole": {**t5, "pre_tokenizer": metaspace(split=False)},
        "t5-not-added": {**t5, "added_tokens": [], "post_processor": None},
        "twice": {**t5, "model": "unigram_twice", "added_tokens": [], "post_processor": None},
        "ties": {**t5, "model": "unigram_ties"},
        "flat": {**t5, "model": "unigram_flat"},
        "positive": {**t5, "model": "unigram_positive"},
        "bytes": {**t5, "model": "unigram_bytes", "added_tokens": [], "post_processor": None, "decoder": bytes_decoder},
        "some-bytes": {**t5, "model": "unigram_some_bytes", "decoder": bytes_decoder},
        "t5-mapped": {**t5, "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap}},
        "t5-mapped-first": {**t5, "pre_tokenizer": metaspace("first"), "normalizer": sequence(
            "normalizers", {"type": "Precompiled", "precompiled_charsmap": charsmap},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE})},
        "xlm-roberta": {**t5, "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap}, "pre_tokenizer": sequence(
            "pretokenizers", {"type": "WhitespaceSplit"}, metaspace())},
        "bert": words,
        "bert-cased": {**words, "normalizer": bert(lowercase=False)},
        "bert-accents": {**words, "normalizer": bert(strip_accents=False)},
        "bert-stripped": {**words, "normalizer": bert(lowercase=False, strip_accents=True, handle_chinese_chars=False)},
        "bert-unclean": {**words, "normalizer": bert(clean_text=False)},
        "bert-first": {**t5, "normalizer": bert(lowercase=False), "pre_tokenizer": metaspace("first")},
        "bert-no-cleanup": {**words, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}},
        "bert-short": {**words, "model": "word_piece_short"},
        "bert-plain": {**words, "model": "word_piece_plain"},
        "bert-untyped": {**words, "model": "untyped"},
        "word-level": word_level,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(GOLDEN))
    parser.add_argument("--train", action="store_true", help="train the models again")
    args = parser.parse_args()
    strings = [json.loads(line) for line in (GOLDEN / "strings.jsonl").read_text().split("\n") if line]
    if args.train:
        kept = train_models([*(DEMO / "calibration.txt").read_text()[:200000].split("\n"),
                             *(s for s in strings if all(ord(c) < 0x180 for c in s))])
    else:
        kept = json.loads((GOLDEN / "models.json").read_text())["models"]
    models_ = {name: kept[name] for name in ("unigram", "word_piece", "word_level")}
    models_ |= derived(models_)
    crcs, described = bytearray(), {}
    for name, parts in sorted(tokenizers(character_map()).items()):
        keys = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
        described[name] = {"version": "1.0", **{k: parts.get(k) for k in keys}, "model": parts["model"], "patch": {},
                           "string_merges": False}
        described[name]["added_tokens"] = described[name]["added_tokens"] or []
        tokenizer = Tokenizer.from_str(json.dumps({k: v for k, v in described[name].items() if k not in ("patch", "string_merges")}
                                                  | {"model": models_[parts["model"]]}))
        for text in strings[::8]:
            ids = tokenizer.encode(text).ids
            decoded = tokenizer.decode(ids) if ids else ""
            crcs += struct.pack("<I", zlib.crc32(decoded.encode(), zlib.crc32(struct.pack(f"<{len(ids)}I", *ids))))
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "models.json").write_text(json.dumps({"models": models_, "tokenizers": described}, ensure_ascii=False,
                                                sort_keys=True) + "\n")
    (out / "models.crc").write_bytes(crcs)
    (out / "bert_classes.json").write_text(json.dumps(bert_classes()) + "\n")


if __name__ == "__main__":
    main()
