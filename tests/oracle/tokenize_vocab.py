"""Golden files for src/tokenize: what transformers makes of vocab.json and merges.txt with the files beside them.

Writes to --out (default tests/golden/tokenize):
  vocab_merges.json  list of {name, tokens, files, bos, eos, texts}: the vocabulary and the merges are those of the model
                     "byte_level" of synthetic.json (which must lie there), the vocabulary with `tokens` behind them;
                     files are what lies beside them, bos and eos the ids of these tokens, texts are [text, ids with special
                     tokens, decode(ids) with special tokens skipped]
"""

import argparse
import json
import os
import pathlib
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers

SYNTHETIC = pathlib.Path("tests/golden/tokenize/synthetic.json")
TEXTS = ["", "Hello there, it's 12345 o'clock.\n\n\n  Yes", " leading", "caf\u00e9 e\u0301te\u0301 \U0001f600 \u4e2d\u6587", "x <pad> y",
         "a<|endoftext|>b", "the <mask> of <s>a</s>", "<|im_start|>user\nhi<|im_end|>\n", "swords, word", "x  <left>y",
         "x<right>  y", "    def f(x):\r\n\treturn x**2", "don't DON'T", "<unk> [UNK]"]


def flags(content, **more):
    return dict(content=content, lstrip=False, rstrip=False, normalized=False, single_word=False, special=True) | more


def typed(token):
    """As tokenizer_config.json has it."""
    return {"__type": "AddedToken", **token}


def named(name, **more):
    return {"tokenizer_class": name, **more}


def cases(size):
    """size: tokens of the vocabulary."""
    opt = ["<s>", "<pad>", "</s>", "<unk>"]
    roberta = opt + ["<mask>"]
    yield "gpt2", [], {"tokenizer_config.json": named("GPT2Tokenizer")}
    yield "gpt2-prefix-space", [], {"tokenizer_config.json": named("GPT2TokenizerFast", add_prefix_space=True)}
    yield "gpt2-by-model", [], {"config.json": {"model_type": "gpt2"}}
    yield "gpt2-by-config", [], {"config.json": {"model_type": "llama", "tokenizer_class": "GPT2Tokenizer"}}
    dicts = {key: flags(token, normalized=True) for key, token in
             (("bos_token", "</s>"), ("eos_token", "</s>"), ("unk_token", "</s>"), ("pad_token", "<pad>"))}
    yield "opt", opt, {"config.json": {"model_type": "opt"},
                       "tokenizer_config.json": named("GPT2Tokenizer", add_bos_token=True, errors="replace",
                                                      **{k: typed(v) for k, v in dicts.items()}),
                       "special_tokens_map.json": dicts}
    yield "both-ends", [], {"tokenizer_config.json": named("GPT2Tokenizer", add_bos_token=True, add_eos_token=True)}
    yield "codegen-added", [], {
        "config.json": {"model_type": "codegen"},
        "tokenizer_config.json": named("CodeGenTokenizer", bos_token="<|endoftext|>", eos_token="<|endoftext|>"),
        "added_tokens.json": {" " * n: size + 31 - n for n in range(31, 1, -1)}}
    yield "phi", [], {
        "config.json": {"model_type": "phi"},
        "tokenizer_config.json": named("CodeGenTokenizer", added_tokens_decoder={
            "0": flags("<|endoftext|>"), str(size): flags("    ", normalized=True, special=False),
            str(size + 1): flags("<left>", lstrip=True), str(size + 2): flags("word", single_word=True, special=False)})}
    chatml = {str(size): flags("<|im_start|>"), str(size + 1): flags("<|im_end|>")}
    yield "qwen2", [], {
        "config.json": {"model_type": "qwen2"},
        "tokenizer_config.json": named("Qwen2Tokenizer", bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                       unk_token=None, add_prefix_space=False,
                                       additional_special_tokens=["<|im_start|>", "<|im_end|>"],
                                       added_tokens_decoder={"0": flags("<|endoftext|>"), **chatml})}
    yield "qwen3-bare", [], {"config.json": {"model_type": "qwen3"}}
    yield "qwen2-prefix-space", [], {"tokenizer_config.json": named("Qwen2Tokenizer", add_prefix_space=True)}
    yield "qwen2-misnamed", [], {"config.json": {"model_type": "qwen2"}, "tokenizer_config.json": named("GPT2Tokenizer")}
    yield "neox", ["<|padding|>"], {"tokenizer_config.json": named("GPTNeoXTokenizer", add_bos_token=True)}
    yield "starcoder2", [], {"config.json": {"model_type": "starcoder2"},
                             "tokenizer_config.json": named("GPT2Tokenizer", additional_special_tokens=["<right>"])}
    yield "roberta", roberta, {"config.json": {"model_type": "roberta"}}
    yield "roberta-map", roberta, {
        "tokenizer_config.json": named("RobertaTokenizer", add_bos_token=True),
        "special_tokens_map.json": {"mask_token": flags("<mask>", lstrip=True), "sep_token": "<unk>", "cls_token": "<pad>"}}
    yield "bart", roberta, {"tokenizer_config.json": named("BartTokenizer", mask_token=typed(flags("<mask>", lstrip=True)))}
    yield "end-behind", [], {"tokenizer_config.json": named("GPT2Tokenizer", eos_token="<|im_end|>"),
                                  "added_tokens.json": {"<|im_start|>": size, "<|im_end|>": size + 1},
                                  "special_tokens_map.json": {"eos_token": "<|im_end|>"}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/tokenize")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    model = json.loads(SYNTHETIC.read_text())["models"]["byte_level"]
    result = []
    for name, tokens, files in cases(len(model["vocab"])):
        vocabulary = {**model["vocab"], **{t: len(model["vocab"]) + i for i, t in enumerate(tokens)}}
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "vocab.json").write_text(json.dumps(vocabulary))
            (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
            for file, content in files.items():
                (folder / file).write_text(json.dumps(content))
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            texts = []
            for text in TEXTS:
                ids = tokenizer(text)["input_ids"]
                texts.append([text, ids, tokenizer.decode(ids, skip_special_tokens=True)])
        result.append({"name": name, "tokens": tokens, "files": files, "bos": tokenizer.bos_token_id,
                       "eos": tokenizer.eos_token_id, "texts": texts})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in result)
    (out / "vocab_merges.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
