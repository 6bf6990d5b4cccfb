"""Golden files for src/tokenize: what the packages tokenizers and sentencepiece make of a fixed list of strings.

Writes to --out (default tests/golden/tokenize):
  strings.jsonl    one JSON string per line
  synthetic.json   small tokenizers, each a model's name and the parts around it
  NAME.crc         per string two little-endian u32: crc32 of the ids (little-endian u32 each, with special tokens),
                   crc32 of decode(ids) in UTF-8 with special tokens skipped
  synthetic.crc    the same in one u32 (ids then text), every 4th string, tokenizer after tokenizer in sorted order
  classes.json     character classes as runs [first, last] of code points, crc32 of every character's normal forms;
                   per regex the crc32 of which of the characters it matches ('0', '1')

Needs ../shared and build/models (SmolLM2).
"""

import argparse
import json
import pathlib
import random
import re
import struct
import unicodedata
import zlib

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SHARED = pathlib.Path("../shared")
DEMO = pathlib.Path("assets/demo")
GGUF = pathlib.Path("build/models/SmolLM2-135M-Instruct.Q4_1.gguf")
SPACE = "\u2581"

SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x590, 0x5FF),
    (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE7F), (0xF00, 0xFFF), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x214F),
    (0x2150, 0x218F), (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2460, 0x24FF), (0x2500, 0x25FF), (0x2600, 0x27BF),
    (0x3000, 0x303F), (0x3040, 0x30FF), (0x3130, 0x318F), (0x3200, 0x33FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF), (0x10330, 0x1034F), (0x12000, 0x123FF),
    (0x1D400, 0x1D7FF), (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x20000, 0x2A6DF),
]
MARKS = [chr(c) for c in list(range(0x300, 0x370)) + [0x591, 0x5B0, 0x64B, 0x651, 0x93C, 0x94D, 0xE31, 0x1AB0, 0x20D0,
                                                      0x3099, 0x309A, 0xFE20]]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "👨🏿‍🚀", "1️⃣", "🧑‍💻", "😀", "🫠", "🐻‍❄️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\u200b", "\u180e", "\u0085", "\u2028",
          "\v", "\f", "\u202f", "\ufeff", "\u200d", "\u200c"]
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>",
           "<|padding|>", "|||IP_ADDRESS|||", "<repo_name>", "<0x0A>", "<0xE2>", "[MASK]", "<tool>", "word", "Norm", "<mask>",
           "<bos>", "<eos>", "[CLS]"]
CODE = ["def f(x):\n    return x**2\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}", "#include <vector>\r\n",
        "SELECT * FROM t WHERE a='b';", "x = {'a': [1, 2.5e-3], \"b\": None}", "std::unique_ptr<T>&&", "a->b::c...d",
        "<div class=\"x\">&nbsp;</div>", "if (!p || *p == '\\0') return;", "λx.x→y", "$HOME/.config/*.json",
        "git commit -m \"fix: don't\"", "0xDEADBEEF 0b1010 1_000_000", "@decorator\nclass A(B): pass",
        "\\frac{a}{b}^{2}_{i}", "f\"{x!r:>10}\"", "//// comment ////", "==========", "------>", "????!!!!", "`code`"]
URLS = ["https://www.example.com/a/b?c=d&e=%20f#g", "http://127.0.0.1:8080/", "mailto:o'neil@example.org",
        "ftp://x.y.z/~user/file.tar.gz", "C:\\Users\\me\\file.txt", "user@host:~$ ls -la"]
WORDS = ["I'm", "you'll", "we'VE", "IT'S", "they'd", "don't", "O'Neil's", "'tis", "ſ's", "'ſ", "Straße", "İstanbul", "ǅ",
         "naïve", "e\u0301te\u0301", "Å", "A\u030a", "ﬁne", "①②", "½", "x²", "½½", "٣٤٥", "१२३", "Ⅳ", "一二三", "한국어", "각",
         "日本語", "がぎぐ", "か\u3099", "مرحبا", "שלום", "สวัสดี", "नमस्ते", "Ελλάδα", "Москва", "Việt", "\u1100\u1161\u11a8",
         "\x00", "a\x00b", "\x7f", "\x1b[0m", SPACE, SPACE * 3, f"a{SPACE}b", "\ufffd", "\ufffe", "\U0010ffff", "Ġ", "Ċ",
         "hello", "Hello", "HELLO", "the", " the", "The", "once upon a time", "…", "“quoted”", "—", "€5", "£", "¥100", "%", "_",
         "__init__", "a_b", "CamelCase", "I", "a", "1", "12", "123", "1234", "12345678901234567890", "3.14", "1,000,000"]


def read_excerpts(rng):
    texts = [(DEMO / n).read_text() for n in ("calibration.txt", "evaluation.txt")]
    texts += [(SHARED / "data" / n).read_text() for n in ("calibration-mixed.txt", "tinyshakespeare.txt")]
    texts.append((SHARED / "data/wikitext2/wiki.test.raw").read_text())
    out = []
    for _ in range(3000):
        text = rng.choice(texts)
        begin = rng.randrange(len(text) - 200)
        out.append(text[begin:begin + rng.randrange(1, 90)])
    return out


def random_script(rng):
    first, last = rng.choice(SCRIPTS)
    out = []
    for _ in range(rng.randrange(1, 9)):
        c = chr(rng.randrange(first, last + 1))
        if unicodedata.category(c) != "Cn":
            out.append(c)
        if rng.random() < 0.1:
            out.append(rng.choice(MARKS))
        if rng.random() < 0.15:
            out.append(rng.choice(SPACES))
    return "".join(out)


def assigned():
    return [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]


def random_any(rng, letters):
    return "".join(rng.choice(letters) for _ in range(rng.randrange(1, 5)))


def random_mix(rng):
    kinds = [WORDS, SPACES, EMOJI, SPECIAL, CODE, URLS, WORDS, WORDS, SPACES]
    return "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randrange(1, 6)))


def random_marks(rng):
    base = rng.choice("aeoucAn1 \u0915\u304b\u0e01\u05d0")
    return base + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 5)))


def random_run(rng):
    c = rng.choice([" ", "\n", "\t", "\r\n", "0", "7", "a", "=", ".", SPACE, "\u3000", "é", "ab", " \n", "한"])
    run = c * rng.randrange(1, 40 // len(c.encode()) + 2)
    return rng.choice(["", "x", "9", "\n", "The"]) + run + rng.choice(["", "y", "the", "1", "\n", "!"])


def random_special(rng):
    parts = [rng.choice(SPECIAL) for _ in range(rng.randrange(1, 4))]
    return rng.choice(["", " ", "  ", "a", "é", "\n"]).join(parts) + rng.choice(["", " ", "b", "\n", " x"])


def random_digits(rng):
    return rng.choice(["", " ", "-", "$"]) + "".join(rng.choice("0123456789.,") for _ in range(rng.randrange(1, 14)))


def make_strings():
    rng = random.Random(20240607)
    letters = assigned()
    fixed = [""] + WORDS + SPACES + EMOJI + SPECIAL + CODE + URLS
    fixed += [s + " " for s in WORDS] + [" " + s for s in SPECIAL] + [s + s for s in SPECIAL]
    out = fixed + read_excerpts(rng)
    makers = [(random_script, 5200), (random_mix, 3200), (random_marks, 1100), (random_run, 1700), (random_special, 1500),
              (random_digits, 1100), (lambda r: random_any(r, letters), 3300)]
    for make, count in makers:
        out += [make(rng) for _ in range(count)]
    return out


def crc_ids(ids, start=0):
    return zlib.crc32(struct.pack(f"<{len(ids)}I", *ids), start)


def pairs(encode, decode, strings):
    out = bytearray()
    for text in strings:
        ids = encode(text)
        out += struct.pack("<II", crc_ids(ids), zlib.crc32(decode(ids).encode("utf-8", "replace")))
    return bytes(out)


def tokenizer_pairs(tokenizer, strings):
    return pairs(lambda s: tokenizer.encode(s).ids, lambda ids: tokenizer.decode(ids), strings)


def smollm2():
    """GPT-2 byte-level BPE with single digits, built from the GGUF file's merges."""
    import gguf

    fields = gguf.GGUFReader(str(GGUF)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([t for t, k in zip(tokens, types) if k == 3])
    return tokenizer


def sentencepiece_pairs(path, strings):
    """Control and unknown symbols are taken out of the text first, as added tokens are."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    symbols = {sp.id_to_piece(i): i for i in range(sp.vocab_size()) if sp.is_control(i) or sp.is_unknown(i)}
    pattern = re.compile("(" + "|".join(map(re.escape, sorted(symbols, key=len, reverse=True))) + ")")

    def encode(text):
        ids = [sp.bos_id()]
        for part in pattern.split(text):
            ids += [symbols[part]] if part in symbols else sp.encode(part)
        return ids

    special = set(symbols.values())
    return pairs(encode, lambda ids: sp.decode([i for i in ids if i not in special]), strings)


def llama2c_pairs(path, strings):
    """llama2.c's own encoding: characters, unknown ones as bytes, then the best-scored union first, of equals the leftmost."""
    data = pathlib.Path(path).read_bytes()
    tokens, scores, at = [], [], 4
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        tokens.append(data[at + 8:at + 8 + length])
        scores.append(score)
        at += 8 + length
    ids_of = {t: i for i, t in enumerate(tokens)}
    symbols = {"<unk>": 0, "<s>": 1, "</s>": 2}

    def encode_part(text):
        ids = []
        for c in " " + text.replace(SPACE, " "):
            c = c.encode()
            ids += [ids_of[c]] if c in ids_of else [b + 3 for b in c]
        while True:
            found = [(-scores[ids_of[t]], i) for i, t in enumerate(tokens[a] + tokens[b] for a, b in zip(ids, ids[1:]))
                     if t in ids_of]
            if not found:
                return ids
            i = min(found)[1]
            ids[i:i + 2] = [ids_of[tokens[ids[i]] + tokens[ids[i + 1]]]]

    def encode(text):
        ids = [1]
        for part in re.split("(<unk>|<s>|</s>)", text):
            ids += [symbols[part]] if part in symbols else encode_part(part) if part else []
        return ids

    def decode(ids):
        text = b"".join(bytes([i - 3]) if 3 <= i < 259 else tokens[i] for i in ids if i > 2)
        return text.decode().removeprefix(" ")

    return pairs(encode, decode, strings)


def llama2_tokenizer():
    """Llama-2's tokenizer.model as the tokenizer.json that transformers' converter makes of such a vocabulary: every way
    to cut a piece into two pieces is a merge, by falling score, longer parts first."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(SHARED / "data/tokenizers/llama2/tokenizer.model"))
    vocab = {sp.id_to_piece(i): i for i in range(sp.vocab_size())}
    merges = []
    for piece, i in vocab.items():
        if sp.is_control(i) or sp.is_unknown(i) or sp.is_byte(i):
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocab and right in vocab:
                merges.append((left, right, sp.get_score(i)))
    merges.sort(key=lambda m: (m[2], len(m[0]), len(m[1])), reverse=True)
    document = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(t, i) for i, t in enumerate(["<unk>", "<s>", "</s>"])],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
        "pre_tokenizer": None, "post_processor": template({"<s>": 1}, {}),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
                  "merges": [[a, b] for a, b, _ in merges]}}
    return Tokenizer.from_str(json.dumps(document))


def added(content, id_=0, **flags):
    token = {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True}
    token.update(flags)
    return token


def numbered(tokens, model):
    """Ids as the package gives them: the vocabulary's, else the next free one."""
    next_id = len(model["vocab"])
    out = []
    for token in tokens:
        known = model["vocab"].get(token["content"])
        out.append({**token, "id": next_id if known is None else known})
        next_id += known is None
    return out


def template(before, after):
    def token(t):
        return {"SpecialToken": {"id": t, "type_id": 0}}

    single = [token(t) for t in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [token(t) for t in after]
    special = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in {**before, **after}.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special}


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
         rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")


def train(size, pre, normalizer, texts, **options):
    tokenizer = Tokenizer(models.BPE(**options.pop("model", {})))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False, **options))
    model = json.loads(tokenizer.to_str())["model"]
    model["merges"] = [list(m) for m in model["merges"]]
    return model


def synthetic_models(strings):
    texts = [(DEMO / "calibration.txt").read_text()[:200000]] + strings
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    byte_level = train(800, split, None, texts, initial_alphabet=alphabet, special_tokens=["<|endoftext|>", "<pad>"])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    spm = train(900, pre_tokenizers.Metaspace(prepend_scheme="always"), None, texts, limit_alphabet=200,
                special_tokens=["<unk>", "<s>", "</s>"] + bytes_)
    spm.update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    plain = train(500, pre_tokenizers.Whitespace(), normalizers.Lowercase(), texts, limit_alphabet=120,
                  special_tokens=["[UNK]", "[CLS]", "[SEP]"], model={"unk_token": "[UNK]"})
    suffix = train(400, pre_tokenizers.Whitespace(), normalizers.Lowercase(), texts, limit_alphabet=100,
                   special_tokens=["<unk>"], end_of_word_suffix="</w>", model={"unk_token": "<unk>"})
    prefix = train(400, pre_tokenizers.WhitespaceSplit(), None, texts, limit_alphabet=100, special_tokens=["<unk>"],
                   continuing_subword_prefix="##", model={"unk_token": "<unk>", "fuse_unk": True})
    return {"byte_level": byte_level, "spm": spm, "plain": plain, "suffix": suffix, "prefix": prefix}


def split(regex, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: regex}, "behavior": behavior, "invert": invert}


def sequence(kind, *parts):
    return {"type": "Sequence", {"n": "normalizers", "p": "pretokenizers", "d": "decoders", "o": "processors"}[kind]: list(parts)}


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def metaspace(scheme, **more):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": True, **more}


def synthetic_tokenizers(models_):
    end = added("<|endoftext|>", 0)
    bl = {"model": "byte_level", "decoder": byte_level(True, True), "added_tokens": [end]}
    spm_special = [added(t, i) for i, t in enumerate(["<unk>", "<s>", "</s>"])]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    spm_decoder = sequence("d", back, {"type": "ByteFallback"}, {"type": "Fuse"},
                           {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    spm = {"model": "spm", "added_tokens": spm_special, "decoder": spm_decoder, "post_processor": template({"<s>": 1}, {})}
    plain = {"model": "plain", "added_tokens": [added(t, i) for i, t in enumerate(["[UNK]", "[CLS]", "[SEP]"])]}
    many = [end, added("<tool>", lstrip=True), added("<mask>", rstrip=True, special=False),
            added("word", single_word=True, special=False), added("Norm", normalized=True, special=False),
            added("[MASK]", lstrip=True, rstrip=True), added("  ", special=False),
            added("   ", special=False, normalized=True), added("İ", special=False, normalized=True)]
    spm_added = spm_special + [added("<tool>", special=False, normalized=True), added("<mask>", normalized=True),
                               added("word", special=False, normalized=True, single_word=True)]
    out = {
        "gpt2": {**bl, "pre_tokenizer": byte_level(False, True), "post_processor": byte_level(False, True)},
        "gpt2-prefix-space": {**bl, "pre_tokenizer": byte_level(True, True)},
        "llama3": {**bl, "pre_tokenizer": sequence("p", split(LLAMA3), byte_level()), "patch": {"ignore_merges": True},
                   "post_processor": sequence("o", byte_level(), template({"<|endoftext|>": 0}, {}))},
        "qwen2": {**bl, "normalizer": {"type": "NFC"}, "pre_tokenizer": sequence("p", split(QWEN2), byte_level())},
        "gpt4o": {**bl, "pre_tokenizer": sequence("p", split(GPT4O), byte_level())},
        "cl100k": {**bl, "pre_tokenizer": sequence("p", split(CL100K, "Removed", True), byte_level())},
        "neox-nfkc": {**bl, "normalizer": {"type": "NFKC"}, "pre_tokenizer": byte_level(False, True)},
        "digits-gpt2": {**bl, "pre_tokenizer": sequence(
            "p", {"type": "Digits", "individual_digits": True}, byte_level(False, True))},
        "digits-together": {**bl, "pre_tokenizer": sequence(
            "p", {"type": "Digits", "individual_digits": False}, byte_level())},
        "punctuation": {**bl, "pre_tokenizer": sequence("p", {"type": "Punctuation", "behavior": "Contiguous"}, byte_level())},
        "byte-normalizer": {**bl, "normalizer": sequence("n", {"type": "NFD"}, {"type": "ByteLevel"})},
        "bytes-then-split": {**bl, "pre_tokenizer": sequence("p", byte_level(), split("Ġ", "MergedWithNext", kind="String"))},
        "added-flags": {**bl, "added_tokens": many, "pre_tokenizer": byte_level(False, True)},
        "added-lowercase": {**bl, "added_tokens": many, "normalizer": {"type": "Lowercase"},
                            "pre_tokenizer": byte_level(False, True)},
        "regex-classes": {**bl, "pre_tokenizer": sequence("p", split(r"\b\w+\b|\d|\h{2}|[\s\d]+|[^\S\n]"), byte_level())},
        "regex-anchors": {**bl, "pre_tokenizer": sequence("p", split(r"^.|.$|(?m:a.b)|(?i)THE"), byte_level())},
        "no-decoder": {**bl, "decoder": None, "pre_tokenizer": byte_level(False, True)},
        "llama2": {**spm, "normalizer": sequence("n", {"type": "Prepend", "prepend": SPACE}, replace)},
        "llama2-string-merges": {**spm, "normalizer": sequence("n", {"type": "Prepend", "prepend": SPACE}, replace),
                                 "string_merges": True},
        "llama2-added": {**spm, "added_tokens": spm_added,
                         "normalizer": sequence("n", {"type": "Prepend", "prepend": SPACE}, replace)},
        "gemma": {**spm, "normalizer": replace, "decoder": sequence("d", back, {"type": "ByteFallback"}, {"type": "Fuse"}),
                  "pre_tokenizer": split(" ", "MergedWithPrevious", kind="String")},
        "metaspace-always": {**spm, "pre_tokenizer": metaspace("always"), "decoder": metaspace("always")},
        "metaspace-first": {**spm, "pre_tokenizer": metaspace("first"), "decoder": metaspace("first")},
        "metaspace-first-strip": {**spm, "pre_tokenizer": metaspace("first", split=False), "decoder": metaspace("first"),
                                  "normalizer": {"type": "Strip", "strip_left": True, "strip_right": False}},
        "metaspace-first-replace": {**spm, "pre_tokenizer": metaspace("first"), "decoder": metaspace("first"),
                                    "normalizer": {"type": "Replace", "pattern": {"Regex": "a+|b{1,2}|é"}, "content": "x"}},
        "metaspace-never": {**spm, "pre_tokenizer": metaspace("never"), "decoder": metaspace("never")},
        "metaspace-old": {**spm, "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "add_prefix_space": True},
                          "decoder": {"type": "Metaspace", "replacement": SPACE, "add_prefix_space": True}},
        "metaspace-whole": {**spm, "pre_tokenizer": metaspace("always", split=False), "decoder": metaspace("always")},
        "spm-unk": {**spm, "patch": {"byte_fallback": False}, "normalizer": replace},
        "spm-unk-apart": {**spm, "patch": {"byte_fallback": False, "fuse_unk": False}, "normalizer": replace},
        "spm-dropping": {**spm, "patch": {"byte_fallback": False, "unk_token": None}, "normalizer": replace},
        "nfkc-lower-strip": {**plain, "normalizer": sequence(
            "n", {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}),
            "pre_tokenizer": {"type": "Whitespace"}},
        "strip-accents": {**plain, "normalizer": sequence("n", {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Nmt"}),
                          "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": template({"[CLS]": 1}, {"[SEP]": 2})},
        "bert-cut": {**plain, "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}},
        "roberta": {**plain, "pre_tokenizer": {"type": "Punctuation"}, "post_processor": {
            "type": "RobertaProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1], "trim_offsets": True,
            "add_prefix_space": False}},
        "delimiter": {**plain, "pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": "e"}},
        "suffix": {"model": "suffix", "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
                   "decoder": {"type": "BPEDecoder", "suffix": "</w>"}},
        "prefix": {"model": "prefix", "pre_tokenizer": {"type": "WhitespaceSplit"},
                   "decoder": {"type": "Replace", "pattern": {"Regex": "^##"}, "content": "-"}},
    }
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        out[f"split-{behavior}"] = {**plain, "pre_tokenizer": split(r"\s|[aeiou]", behavior)}
        out[f"split-{behavior}-inverted"] = {**plain, "pre_tokenizer": split(r"\w|x*", behavior, True)}
    for name, tokenizer in out.items():
        keys = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
        out[name] = {"version": "1.0", **{k: tokenizer.get(k) for k in keys}, "model": tokenizer["model"],
                     "patch": tokenizer.get("patch", {}), "string_merges": tokenizer.get("string_merges", False)}
        out[name]["added_tokens"] = numbered(out[name]["added_tokens"] or [], models_[tokenizer["model"]])
    return out


def assemble(description, models_):
    document = {k: v for k, v in description.items() if k not in ("patch", "string_merges")}
    document["model"] = {**models_[description["model"]], **description["patch"]}
    if description["string_merges"]:
        document["model"]["merges"] = [" ".join(m) for m in document["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(document))


def synthetic(strings, train_again):
    # Training breaks ties by hash order, so the trained models are kept and only the rest is derived again.
    kept = pathlib.Path("tests/golden/tokenize/synthetic.json")
    models_ = synthetic_models(strings) if train_again else json.loads(kept.read_text())["models"]
    descriptions = synthetic_tokenizers(models_)
    crcs = bytearray()
    for name in sorted(descriptions):
        tokenizer = assemble(descriptions[name], models_)
        for text in strings[::4]:
            ids = tokenizer.encode(text).ids
            decoded = tokenizer.decode(ids) if ids else ""
            crcs += struct.pack("<I", zlib.crc32(decoded.encode(), crc_ids(ids)))
    return {"models": models_, "tokenizers": descriptions}, bytes(crcs)


def runs(code_points):
    out = []
    for c in code_points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


BRACKETS = "alnum alpha blank cntrl digit lower punct space upper word xdigit".split()
CLASSES = [*(f"[[:{name}:]]" for name in BRACKETS), *(f"[^[:{name}:]]" for name in BRACKETS),
           *(f"[[:^{name}:]]" for name in ("cntrl", "digit", "space", "upper")),
           r"\w", r"\W", r"[\w]", r"[^\w]", r"[^\s\w]", r"\s", r"\S", r"[\s]", r"[\S]", r"\d", r"\D", r"[\D]", r"\h", r"\H",
           r"\v", r"[\v]", r"\b.", r"\p{L}", r"\p{Lu}", r"\p{M}", r"\p{N}", r"\p{P}", r"\p{S}", r"\P{L}", r"[^\p{L}\p{N}]",
           r"\p{Han}", r"\p{^Han}", r"\P{Han}", r"[^\p{Han}]", r"\p{Hiragana}", r"\p{Latin}", r"\p{Cyrillic}", r"\p{Yi}"]


def regex_members():
    if unicodedata.unidata_version != "14.0.0":
        raise SystemExit(f"this Python's Unicode is {unicodedata.unidata_version}; the golden classes are of 14.0.0's characters")
    characters = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    members = {}
    for pattern in CLASSES:
        drop = normalizers.Replace(Regex(pattern), "")
        members[pattern] = zlib.crc32("".join("01"[drop.normalize_str(chr(c)) == ""] for c in characters).encode())
    return {"characters": runs(characters), "members": members}


def classes():
    code_points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    accents, punctuation, space = normalizers.StripAccents(), pre_tokenizers.Punctuation(), pre_tokenizers.WhitespaceSplit()
    forms = {name: getattr(normalizers, name)() for name in ("NFC", "NFD", "NFKC", "NFKD")}
    return {
        "marks": runs(c for c in code_points if accents.normalize_str(f"a{chr(c)}b") == "ab"),
        "punctuation": runs(c for c in code_points if len(punctuation.pre_tokenize_str(f"a{chr(c)}b")) > 1),
        "whitespace": runs(c for c in code_points if len(space.pre_tokenize_str(f"a{chr(c)}b")) > 1),
        # each character between marks of the classes 1, 230 and 240
        "normal_forms": {name: zlib.crc32("".join(form.normalize_str(f"a\u0345{chr(c)}\u0334\u0301.")
                                                  for c in code_points).encode()) for name, form in forms.items()},
        "regex": regex_members(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/tokenize")
    parser.add_argument("--train", action="store_true", help="train the synthetic models again")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    strings = make_strings()
    (out / "strings.jsonl").write_text("".join(json.dumps(s, ensure_ascii=False) + "\n" for s in strings), newline="\n")
    document, crcs = synthetic(strings, args.train)
    (out / "synthetic.json").write_text(json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n")
    (out / "synthetic.crc").write_bytes(crcs)
    (out / "classes.json").write_text(json.dumps(classes(), sort_keys=True) + "\n")
    llama2 = SHARED / "data/tokenizers/llama2/tokenizer.model"
    results = {
        "demo": tokenizer_pairs(Tokenizer.from_file(str(DEMO / "tokenizer.json")), strings),
        "gpt-neox": tokenizer_pairs(Tokenizer.from_file(str(SHARED / "data/tokenizers/gpt-neox.json")), strings),
        "smollm2": tokenizer_pairs(smollm2(), strings),
        "llama2": sentencepiece_pairs(llama2, strings),
        "llama2-json": tokenizer_pairs(llama2_tokenizer(), strings),
        "stories260K": llama2c_pairs(SHARED / "models/stories260K/tokenizer.bin", strings),
        "babyllama-char": sentencepiece_pairs(SHARED / "models/babyllama-char/tokenizer.model", strings),
    }
    for name, content in results.items():
        (out / f"{name}.crc").write_bytes(content)
    print(f"{len(strings)} strings, {len(document['tokenizers'])} synthetic tokenizers")


if __name__ == "__main__":
    main()
