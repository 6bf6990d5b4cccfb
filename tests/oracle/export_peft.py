#!/usr/bin/env python3
"""Adapters as PyPI peft saves them, on tiny checkpoints of tests/golden/forward, with the logits they make.

Writes OUT/<name>/: adapter_config.json and adapter_model.safetensors of peft's save_pretrained, logits.safetensors
(logits f32 [batch, T, vocab] of the checkpoint's golden tokens), and expected.json (the checkpoint).

Factors are multiples of 2^-12, so they do not depend on the machine's math library.

usage: export_peft.py [--out DIR]        (peft 0.21, transformers 5.23, torch 2.8; CPU, fp32, eager attention)
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

CHECKPOINTS = pathlib.Path("tests/golden/forward")

# name -> (checkpoint, settings of LoraConfig)
ADAPTERS = {
    "plain": ("llama", dict(r=4, lora_alpha=10, target_modules=["q_proj", "v_proj", "down_proj"])),
    "patterns": ("llama", dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["k_proj", "up_proj"],
                               rank_pattern={"layers.1.self_attn.k_proj": 2}, alpha_pattern={"up_proj": 12})),
    "dora": ("qwen2", dict(r=3, lora_alpha=3, use_dora=True, target_modules=["o_proj", "gate_proj"])),
    "conv1d": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True)),
}


def fill(model):
    """Every trained value from a stream of its own."""
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for name, value in sorted(model.named_parameters()):
            if "lora_" not in name:
                continue
            steps = torch.tensor(rng.integers(-400, 401, size=tuple(value.shape)), dtype=torch.float32) / 4096
            value.copy_(steps.abs() + 0.5 if "magnitude" in name else steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/export")
    out = pathlib.Path(parser.parse_args().out)
    torch.manual_seed(0)
    for name, (checkpoint, settings) in ADAPTERS.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        base = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / checkpoint, dtype=torch.float32,
                                                    attn_implementation="eager")
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
        fill(model)
        model.eval().save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["target_modules"].sort()  # a set's order otherwise
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
        golden = load_file(CHECKPOINTS / checkpoint / "golden.safetensors")
        with torch.no_grad():
            logits = model(golden["tokens"].long()).logits.float()
        save_file({"logits": logits.contiguous()}, folder / "logits.safetensors")
        (folder / "expected.json").write_text(json.dumps({"checkpoint": checkpoint}) + "\n")


if __name__ == "__main__":
    main()
