"""Rotary frequencies of every supported type, from transformers' own rotary modules.

Writes rope.json: a list of {name, config (as it stands in a config.json), ropes: [{inv_freq, attention_factor}]}.
"""

import argparse
import copy
import json
import pathlib

from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

BASE = dict(vocab_size=32, hidden_size=128, intermediate_size=64, num_hidden_layers=6, num_attention_heads=2,
            num_key_value_heads=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)
YARN = dict(type="yarn", factor=4.0, original_max_position_embeddings=32768)


def factors(start, count):
    return [start + i / 8 for i in range(count)]


CASES = {
    "llama default": dict(model_type="llama", rope_theta=500000.0),
    "llama default, no keys": dict(model_type="llama"),
    "llama default, heads of 96": dict(model_type="llama", head_dim=96),
    "llama default, rope_parameters": dict(model_type="llama",
                                           rope_parameters=dict(rope_type="default", rope_theta=123456.0)),
    "llama linear, type": dict(model_type="llama", rope_theta=10000, rope_scaling=dict(type="linear", factor=4.0)),
    "llama dynamic": dict(model_type="llama", max_position_embeddings=2048,
                          rope_scaling=dict(type="dynamic", factor=2.0)),
    "llama llama3, rope_scaling": dict(model_type="llama", head_dim=128, max_position_embeddings=131072,
                                       rope_theta=500000.0, rope_scaling=LLAMA3),
    "llama llama3, rope_parameters": dict(model_type="llama", max_position_embeddings=131072,
                                          rope_parameters=dict(LLAMA3, factor=32.0, rope_theta=500000.0)),
    "qwen2 yarn": dict(model_type="qwen2", head_dim=128, max_position_embeddings=131072, rope_theta=1000000.0,
                       rope_scaling=YARN),
    "qwen2 yarn, all options": dict(model_type="qwen2", max_position_embeddings=131072,
                                    rope_parameters=dict(rope_type="yarn", rope_theta=1e6, factor=8.0, beta_fast=24,
                                                         beta_slow=2, truncate=False, mscale=0.8, mscale_all_dim=0.5,
                                                         original_max_position_embeddings=16384)),
    "llama yarn, attention_factor": dict(model_type="llama", max_position_embeddings=8192,
                                         rope_scaling=dict(rope_type="yarn", factor=2.0, attention_factor=0.75,
                                                           original_max_position_embeddings=4096)),
    "llama yarn, original from max_position_embeddings": dict(model_type="llama", max_position_embeddings=4096,
                                                              rope_scaling=dict(rope_type="yarn", factor=2.0)),
    "llama yarn, original at both levels": dict(model_type="llama", max_position_embeddings=8192,
                                                original_max_position_embeddings=2048,
                                                rope_scaling=dict(rope_type="yarn", factor=2.0,
                                                                  original_max_position_embeddings=4096)),
    "llama longrope": dict(model_type="llama", max_position_embeddings=8192,
                           rope_scaling=dict(rope_type="longrope", factor=2.0, short_factor=factors(1.0, 32),
                                             long_factor=factors(2.0, 32), original_max_position_embeddings=4096)),
    "phi3 su": dict(model_type="phi3", max_position_embeddings=131072, original_max_position_embeddings=4096,
                    rope_scaling=dict(type="su", short_factor=factors(1.0, 32), long_factor=factors(2.0, 32),
                                      original_max_position_embeddings=4096)),
    "phi3 longrope, partial": dict(model_type="phi3", max_position_embeddings=131072,
                                   original_max_position_embeddings=4096, partial_rotary_factor=0.75,
                                   rope_scaling=dict(type="longrope", short_factor=factors(1.0, 24),
                                                     long_factor=factors(2.0, 24))),
    "gpt_neox": dict(model_type="gpt_neox"),
    "gpt_neox, rotary_pct": dict(model_type="gpt_neox", rotary_pct=0.5, rotary_emb_base=20000),
    "gpt_neox, odd": dict(model_type="gpt_neox", rotary_pct=0.11),
    "gpt_neox, rope_parameters": dict(model_type="gpt_neox",
                                      rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=10000.0,
                                                           partial_rotary_factor=0.25)),
    "gemma3, no keys": dict(model_type="gemma3_text", head_dim=64),
    "gemma3 linear, rope_scaling": dict(model_type="gemma3_text", head_dim=64, rope_theta=1000000,
                                        rope_local_base_freq=20000, rope_scaling=dict(rope_type="linear", factor=8.0)),
    "gemma3, rope_parameters": dict(model_type="gemma3_text", head_dim=64, rope_parameters=dict(
        full_attention=dict(rope_type="linear", factor=8.0, rope_theta=500000.0),
        sliding_attention=dict(rope_type="default", rope_theta=5000.0))),
}

MODULES = {"llama": LlamaRotaryEmbedding, "qwen2": Qwen2RotaryEmbedding, "phi3": Phi3RotaryEmbedding,
           "gpt_neox": GPTNeoXRotaryEmbedding}


def ropes(keys):
    keys = copy.deepcopy(keys)  # transformers fills in the dictionaries it is given
    model_type = keys.pop("model_type")
    config = AutoConfig.for_model(model_type, **keys)
    if model_type == "gemma3_text":
        module = Gemma3RotaryEmbedding(config)
        return [(getattr(module, f"{kind}_inv_freq"), getattr(module, f"{kind}_attention_scaling"))
                for kind in ("full_attention", "sliding_attention")]
    module = MODULES[model_type](config)
    return [(module.inv_freq, module.attention_scaling)]


def long_frequencies(keys):
    """Of a sequence longer than the original context; None where the rope has no others."""
    keys = copy.deepcopy(keys)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    parameters = config.rope_parameters
    if parameters.get("rope_type") != "longrope":
        return None
    original = parameters["original_max_position_embeddings"]
    return [float(f) for f in ROPE_INIT_FUNCTIONS["longrope"](config, "cpu", seq_len=original + 1)[0]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/model"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, keys in CASES.items():
        config = BASE | keys
        case = dict(name=name, config=config, ropes=[
            dict(inv_freq=[float(f) for f in inv_freq], attention_factor=float(factor))
            for inv_freq, factor in ropes(config)])
        if (frequencies := long_frequencies(config)) is not None:
            case["long_inv_freq"] = frequencies
        cases.append(case)
    (out / "rope.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
