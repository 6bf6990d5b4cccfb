#!/usr/bin/env python3
"""Golden greedy continuations of the demo model by PyPI transformers (fp32, no cache of ours involved)."""

import argparse
import json
import pathlib

import tokenizers
import torch
import transformers

PROMPTS = ["Once upon a time", "Tom and Lily went to the park. They saw", "The dog was sad because"]
MODEL = "assets/demo"
TOKENS = 60


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/runtime")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer.from_file(f"{MODEL}/tokenizer.json")
    model = transformers.LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    results = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        sequence = list(ids)
        margin = float("inf")  # between the two largest logits: how far a tie is
        for _ in range(TOKENS):
            with torch.no_grad():
                top = model(torch.tensor([sequence])).logits[0, -1].topk(2)
            margin = min(margin, (top.values[0] - top.values[1]).item())
            sequence.append(top.indices[0].item())
        assert margin > 1e-3, (prompt, margin)
        answer = sequence[len(ids) :]
        results.append({"prompt": prompt, "prompt_ids": ids, "ids": answer, "text": tokenizer.decode(answer)})
    (out / "greedy.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
