#!/usr/bin/env python3
"""Golden perplexities: PyPI transformers in fp32, tokens by the reference tokenizers, protocols written independently.

Writes ppl.json: per case the model, a prefix of a text file (bytes and SHA-256), the protocol, how many tokens the text
has and the SHA-256 of their int32 ids, the window count, and the mean negative log likelihood per scored token.

For a model or text that is absent here the committed entry is kept, with a message.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import sys

import numpy as np
import torch
import transformers

DEMO_TEXT = "assets/demo/evaluation.txt"
ENGLISH_TEXT = "../shared/models/english-3m/evaluation.txt"
SMOLLM2 = "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"

# model, text, bytes of it, protocol, bos policy, context, windows (0: all)
CASES = [
    ("assets/demo", DEMO_TEXT, 40000, "gptq", "auto", 256, 0),
    ("assets/demo", DEMO_TEXT, 40000, "gptq", "none", 255, 9),
    ("assets/demo", DEMO_TEXT, 40000, "llamacpp", "auto", 256, 0),
    ("assets/demo", DEMO_TEXT, 40000, "llamacpp", "none", 129, 5),
    ("assets/demo", DEMO_TEXT, 10000, "rolling", "auto", 256, 0),
    ("../shared/models/english-3m", ENGLISH_TEXT, 30000, "gptq", "auto", 256, 0),
    ("../shared/models/english-3m", ENGLISH_TEXT, 30000, "llamacpp", "auto", 256, 0),
    ("../shared/models/english-3m", ENGLISH_TEXT, 8000, "rolling", "auto", 200, 0),
    ("../shared/models/stories260K", DEMO_TEXT, 12000, "gptq", "auto", 512, 0),
    ("../shared/models/stories260K", DEMO_TEXT, 12000, "llamacpp", "auto", 512, 0),
    ("../shared/models/stories260K", DEMO_TEXT, 5000, "rolling", "auto", 512, 0),
    ("../shared/models/babyllama-char", DEMO_TEXT, 5000, "gptq", "auto", 256, 0),
    ("../shared/models/babyllama-char", DEMO_TEXT, 5000, "llamacpp", "auto", 256, 0),
    ("../shared/models/babyllama-char", DEMO_TEXT, 2000, "rolling", "auto", 256, 0),
    (SMOLLM2, DEMO_TEXT, 10000, "gptq", "auto", 512, 2),
    (SMOLLM2, DEMO_TEXT, 10000, "gptq", "auto", 1024, 2),
    (SMOLLM2, DEMO_TEXT, 10000, "llamacpp", "auto", 512, 2),
    (SMOLLM2, DEMO_TEXT, 10000, "llamacpp", "always", 512, 2),
    (SMOLLM2, DEMO_TEXT, 3000, "rolling", "auto", 512, 0),
]


class HfTokenizer:
    """tokenizer.json through PyPI tokenizers."""

    def __init__(self, path):
        import tokenizers

        self.engine = tokenizers.Tokenizer.from_file(f"{path}/tokenizer.json")
        config = json.loads(pathlib.Path(path, "tokenizer_config.json").read_text())
        self.bos = self.engine.token_to_id(config["bos_token"])
        self.adds_bos = config["add_bos_token"]

    def encode(self, text, special):
        return self.engine.encode(text, add_special_tokens=special).ids


class SentencePieceTokenizer:
    """tokenizer.model through PyPI sentencepiece; BOS first, as Llama's tokenizer does."""

    def __init__(self, path):
        import sentencepiece

        self.engine = sentencepiece.SentencePieceProcessor(model_file=f"{path}/tokenizer.model")
        self.bos = self.engine.bos_id()
        self.adds_bos = True

    def encode(self, text, special):
        return ([self.bos] if special else []) + self.engine.encode(text)


class Llama2cTokenizer:
    """tokenizer.bin: a dummy space, one token per character or three more than each of its bytes, then the best-scored
    merge until none is left."""

    def __init__(self, path):
        data = pathlib.Path(path, "tokenizer.bin").read_bytes()
        size = json.loads(pathlib.Path(path, "config.json").read_text())["vocab_size"]
        self.pieces, self.scores, at = {}, [], 4
        for token in range(size):
            score, length = struct.unpack_from("<fi", data, at)
            self.pieces.setdefault(data[at + 8 : at + 8 + length], token)
            self.scores.append(score)
            at += 8 + length
        self.spelling = {token: piece for piece, token in self.pieces.items()}
        self.bos = 1
        self.adds_bos = True

    def encode(self, text, special):
        ids = [self.pieces[b" "]]
        for character in text:
            piece = character.encode()
            ids += [self.pieces[piece]] if piece in self.pieces else [byte + 3 for byte in piece]
        return ([self.bos] if special else []) + self.merge(ids)

    def merge(self, ids):
        while True:
            best = None
            for i in range(len(ids) - 1):
                pair = self.pieces.get(self.spelling.get(ids[i], b"\xff") + self.spelling.get(ids[i + 1], b"\xff"))
                if pair is not None and (best is None or self.scores[pair] > self.scores[best[1]]):
                    best = (i, pair)
            if best is None:
                return ids
            ids[best[0] : best[0] + 2] = [best[1]]


class GgufTokenizer:
    """The file's own keys, as transformers reads them; but it takes every "gpt2" file for GPT-2's own, where this one
    says "smollm": digits are cut off one by one first, and blanks before one are a piece."""

    def __init__(self, path):
        from tokenizers import pre_tokenizers

        file = pathlib.Path(path)
        self.engine = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        self.engine.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self.bos = self.engine.bos_token_id
        self.adds_bos = False  # tokenizer.ggml.add_bos_token

    def encode(self, text, special):
        return self.engine.encode(text, add_special_tokens=False)


def load_tokenizer(path):
    if path.endswith(".gguf"):
        return GgufTokenizer(path)
    for file, kind in (
        ("tokenizer.json", HfTokenizer),
        ("tokenizer.model", SentencePieceTokenizer),
        ("tokenizer.bin", Llama2cTokenizer),
    ):
        if pathlib.Path(path, file).exists():
            return kind(path)
    raise SystemExit(f"{path}: no tokenizer")


def load_model(path):
    if path.endswith(".gguf"):
        return model_of_gguf(path)
    return transformers.LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def model_of_gguf(path):
    """A Llama of the file's keys and dequantized tensors. The file's q and k rows interleave the two halves of each
    head; they are put back in Hugging Face's order. (transformers' own gguf_file reads the same weights.)"""
    import gguf

    reader = gguf.GGUFReader(path)

    def key(name):
        return reader.fields[f"llama.{name}"].contents()

    config = transformers.LlamaConfig(
        vocab_size=key("vocab_size"),
        hidden_size=key("embedding_length"),
        intermediate_size=key("feed_forward_length"),
        num_hidden_layers=key("block_count"),
        num_attention_heads=key("attention.head_count"),
        num_key_value_heads=key("attention.head_count_kv"),
        max_position_embeddings=key("context_length"),
        rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": key("rope.freq_base")},
        tie_word_embeddings=True,
    )
    state = {hf_name(t.name): torch.from_numpy(hf_weight(t, config)) for t in reader.tensors}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.eval()


GGUF_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "blk": "layers",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name):
    return "model." + ".".join(GGUF_NAMES.get(part, part) for part in name.split("."))


def hf_weight(tensor, config):
    import gguf

    weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    for part, heads in (("attn_q", config.num_attention_heads), ("attn_k", config.num_key_value_heads)):
        if part in tensor.name:
            width = weight.shape[1]
            weight = weight.reshape(heads, -1, 2, width).swapaxes(1, 2).reshape(-1, width)
    return np.array(weight, dtype=np.float32)


def windows_of(protocol, bos_policy, context, limit, ids, bos, adds_bos):
    """[(input ids, target ids)]: the targets are predicted by the last len(targets) inputs."""
    out = []
    if protocol == "rolling":
        done = 0
        stream = [bos] + ids
        while done < len(ids):
            count = min(context, len(ids) - done)
            end = done + count  # in stream, the input of the last target
            out.append((stream[max(0, end - context) : end], ids[done:end]))
            done = end
    else:
        for start in range(0, len(ids) - context + 1, context):
            window = list(ids[start : start + context])
            if protocol == "llamacpp" and (bos_policy == "always" or (bos_policy == "auto" and adds_bos)):
                window[0] = bos
            first = 1 if protocol == "gptq" else context // 2 + 1
            out.append((window[:-1], window[first:]))
    return out[:limit] if limit else out


def nll_of(model, inputs, targets):
    with torch.no_grad():
        logits = model(torch.tensor([inputs])).logits[0, -len(targets) :].double()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="sum").item()


def run_case(case, model, tokenizer):
    path, text_path, size, protocol, bos_policy, context, limit = case
    raw = pathlib.Path(text_path).read_bytes()[:size]
    special = protocol != "rolling" and bos_policy != "none"
    ids = tokenizer.encode(raw.decode(), special)
    if special and bos_policy == "always" and ids[0] != tokenizer.bos:
        ids = [tokenizer.bos] + ids
    windows = windows_of(protocol, bos_policy, context, limit, ids, tokenizer.bos, tokenizer.adds_bos)
    sums = [nll_of(model, inputs, targets) for inputs, targets in windows]
    scored = sum(len(targets) for _, targets in windows)
    return {
        "model": path,
        "text": text_path,
        "text_bytes": len(raw),
        "text_sha256": hashlib.sha256(raw).hexdigest(),
        "protocol": protocol,
        "bos": bos_policy,
        "context": context,
        "max_windows": limit,
        "ids": len(ids),
        "ids_sha256": hashlib.sha256(np.array(ids, dtype="<i4").tobytes()).hexdigest(),
        "windows": len(windows),
        "scored_tokens": scored,
        "nll": round(sum(sums) / scored, 6),
    }


def committed_entry(case):
    keys = ("model", "text", "text_bytes", "protocol", "bos", "context", "max_windows")
    for entry in json.loads(pathlib.Path("tests/golden/eval/ppl.json").read_text()):
        if all(entry[key] == value for key, value in zip(keys, case)):
            return entry
    raise SystemExit(f"{case}: absent and not in the committed file")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/eval")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    results, model, tokenizer, loaded = [], None, None, None
    for case in CASES:
        if not (pathlib.Path(case[0]).exists() and pathlib.Path(case[1]).exists()):
            print(f"{case[0]} or {case[1]}: absent, its committed entry is kept", file=sys.stderr)
            results.append(committed_entry(case))
            continue
        if case[0] != loaded:
            model, tokenizer, loaded = load_model(case[0]), load_tokenizer(case[0]), case[0]
        results.append(run_case(case, model, tokenizer))
    (out / "ppl.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
