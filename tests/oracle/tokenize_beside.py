"""Golden files for src/tokenize: what transformers makes of tokenizers and the files beside them.

Writes to --out (default tests/golden/tokenize):
  spm/tokenizer.model  a small SentencePiece model with Llama's settings, trained once on assets/demo
  beside.json          list of {name, tokenizer, files, texts}: tokenizer is "spm" or "demo", files are what lies beside it,
                       texts are [text, ids with special tokens, decode(ids) with special tokens skipped]
"""

import argparse
import json
import pathlib
import shutil
import tempfile

import sentencepiece
import transformers

DEMO = pathlib.Path("assets/demo")
KEPT = pathlib.Path("tests/golden/tokenize/spm/tokenizer.model")

TEXTS = ["", "hello there", "<|im_start|>user\nhello<|im_end|>", "a </s>b", "x<pad>y", "x  <left>y",
         "x  <right>  y", "swords, word", "<|im_start|><|im_end|>", "the<tool>cat", "caf\u00e9 \U0001f600<|im_end|>\u4e2d",
         "<|im_start", "a<s>b<unk>c", "once upon <|im_end|>a time", "a </s> b", "x <pad> y", "x  <left>  y", " hello", "  hello  there ", "a</s>there",
         "<s>hello", "</s> </s>b", " ", "\u2581a \u2581b"]


def flags(content, **more):
    return dict(content=content, lstrip=False, rstrip=False, normalized=False, single_word=False, special=False) | more


def llama(**more):
    return dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True,
                legacy=True) | more


def fast(**more):
    return dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|begin_of_text|>",
                eos_token="<|end_of_text|>") | more


def cases(size, demo_size):
    """size, demo_size: tokens of the two tokenizers."""
    def decoder(first):
        tokens = [flags("<|im_start|>", special=True), flags("<|im_end|>", special=True), flags("<tool>"),
                  flags("<left>", lstrip=True), flags("<right>", rstrip=True, normalized=True),
                  flags("word", single_word=True)]
        return {str(first + i): token for i, token in enumerate(tokens)}

    chatml = {"<|im_end|>": size + 1, "<|im_start|>": size}
    yield "map", "spm", {"tokenizer_config.json": llama(), "added_tokens.json": chatml}
    yield "map-and-names", "spm", {"tokenizer_config.json": llama(),
                                   "special_tokens_map.json": {"eos_token": flags("<|im_end|>"), "pad_token": "<pad>"},
                                   "added_tokens.json": chatml}
    yield "flags", "spm", {"tokenizer_config.json": llama(added_tokens_decoder=decoder(size), eos_token="<|im_end|>")}
    yield "names", "spm", {"tokenizer_config.json": llama(pad_token="<pad>", additional_special_tokens=["<tool>", "word"])}
    yield "not-legacy", "spm", {"tokenizer_config.json": llama(legacy=False)}
    absent = llama()
    del absent["legacy"]
    yield "legacy-absent", "spm", {"tokenizer_config.json": absent, "added_tokens.json": chatml}
    yield "json-map", "demo", {"tokenizer_config.json": fast(),
                               "added_tokens.json": {"<|im_start|>": demo_size, "<|im_end|>": demo_size + 1}}
    yield "json-flags", "demo", {"tokenizer_config.json": fast(added_tokens_decoder=decoder(demo_size))}
    yield "json-names", "demo", {"tokenizer_config.json": fast(pad_token="<pad>", additional_special_tokens=["<tool>", "the"])}


def train(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if KEPT.exists():
        if path.resolve() != KEPT.resolve():
            shutil.copyfile(KEPT, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text.txt"
        text.write_text((DEMO / "evaluation.txt").read_text()[:100000])
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(path.with_suffix("")), vocab_size=500, model_type="bpe", byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
            allow_whitespace_only_pieces=True, character_coverage=0.999, num_threads=1)
    path.with_suffix(".vocab").unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/tokenize")
    out = pathlib.Path(parser.parse_args().out)
    model = out / "spm/tokenizer.model"
    train(model)
    size = sentencepiece.SentencePieceProcessor(model_file=str(model)).get_piece_size()
    result = []
    for name, kind, files in cases(size, 4096):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(model if kind == "spm" else DEMO / "tokenizer.json", folder)
            for file, content in files.items():
                (pathlib.Path(folder) / file).write_text(json.dumps(content))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            texts = []
            for text in TEXTS:
                ids = tokenizer(text)["input_ids"]
                texts.append([text, ids, tokenizer.decode(ids, skip_special_tokens=True)])
            result.append({"name": name, "tokenizer": kind, "files": files, "texts": texts})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in result)
    (out / "beside.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
