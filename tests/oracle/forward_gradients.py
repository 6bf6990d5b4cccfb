#!/usr/bin/env python3
"""Gradients that torch computes for the tiny checkpoints of tests/golden/forward.

Loss: the sum over both sequences and all positions but the last of -log softmax(logits)[next token], the tokens those
of golden.safetensors. Writes OUT/gradients.safetensors, f32:

  MODEL            [1]: the loss
  MODEL/TENSOR     [17]: of the gradient of a tensor, as the checkpoint holds it, the greatest magnitude, then the
                   values at (i * 2654435761 + 12345) mod size, i < 16

Left out: phimoe, whose router has a gradient of its own making
in transformers, not that of its formula; checkpoints that hold another model's values in another form.

usage: forward_gradients.py [--out DIR] [NAME...]     (transformers 5.23, torch 2.8; CPU, fp32, eager attention)
"""

import argparse
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.append(str(pathlib.Path(__file__).parent))  # last: a neighbour is called tokenize
from forward_tiny import load  # noqa: E402

SAMPLES = 16
LEFT_OUT = {"phimoe", "gpt_oss_mxfp4", "gpt2_bare"}


def sampled(gradient):
    flat = gradient.contiguous().flatten()
    places = [(i * 2654435761 + 12345) % flat.numel() for i in range(SAMPLES)]
    return torch.cat([flat.abs().max()[None], flat[places]]).to(torch.float32)


def gradients_of(model, directory):
    """The loss, and the gradients by the names that tensors have in a checkpoint: saved as if they were weights."""
    tokens = load_file(directory / "golden.safetensors")["tokens"].long()
    model.requires_grad_(True)
    logits = model(tokens, use_cache=False).logits.float()
    vocab = logits.shape[-1]
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, vocab), tokens[:, 1:].reshape(-1),
                                             reduction="sum")
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.grad if p.grad is not None else torch.zeros_like(p))
        for b in model.buffers():
            if b.is_floating_point():
                b.zero_()
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        return loss.detach(), load_file(pathlib.Path(scratch, "model.safetensors"))


def main():
    parser = argparse.ArgumentParser()
    tests = pathlib.Path(__file__).parents[1]
    parser.add_argument("--out", type=pathlib.Path, default=tests / "golden/forward")
    parser.add_argument("names", nargs="*", help="these alone")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    kept = {}
    root = tests / "golden/forward"
    for config in sorted(root.glob("**/config.json")):
        name = config.parent.relative_to(root).as_posix()
        if name in LEFT_OUT or (arguments.names and name not in arguments.names):
            continue
        model = load(config.parent)
        loss, gradients = gradients_of(model, config.parent)
        kept[name] = loss[None].to(torch.float32)
        for tensor, gradient in gradients.items():
            if gradient.abs().max() > 0:
                kept[f"{name}/{tensor}"] = sampled(gradient)
        print(f"{name:22} loss {loss.item():9.3f}   {len(gradients)} tensors")
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(kept, arguments.out / "gradients.safetensors")


if __name__ == "__main__":
    main()
