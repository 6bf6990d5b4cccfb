"""Facts about each architecture's graph, from transformers' own modules: names and shapes of the tensors, and per layer
the scale of the scores and the window.

Writes graphs.json: a list of {name, config (as save_pretrained writes it, or with the keys of older files), tensors,
scales, windows, tied}.
"""

import argparse
import json
import pathlib

import torch
from transformers import AutoConfig, AutoModelForCausalLM

TINY = dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, bos_token_id=3, eos_token_id=4, pad_token_id=0)
GPT2 = dict(model_type="gpt2", vocab_size=40, n_embd=32, n_layer=3, n_head=4, n_positions=64, bos_token_id=3,
            eos_token_id=4)
OPT = dict(model_type="opt", vocab_size=40, hidden_size=32, ffn_dim=48, num_hidden_layers=3, num_attention_heads=4,
           max_position_embeddings=64)
NEO = dict(model_type="gpt_neo", vocab_size=40, hidden_size=32, num_layers=4, num_heads=4, max_position_embeddings=64,
           bos_token_id=3, eos_token_id=4)
NEOX = dict({key: value for key, value in TINY.items() if key != "num_key_value_heads"}, model_type="gpt_neox")

CASES = {
    "llama": dict(TINY, model_type="llama"),
    "llama, biases, tied, wide heads": dict(TINY, model_type="llama", attention_bias=True, mlp_bias=True, head_dim=16,
                                            tie_word_embeddings=True),
    "mistral": dict(TINY, model_type="mistral", sliding_window=8),
    "mistral, no window": dict(TINY, model_type="mistral", sliding_window=None),
    "qwen2": dict(TINY, model_type="qwen2"),
    "qwen2, windows": dict(TINY, model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1),
    "qwen3": dict(TINY, model_type="qwen3", head_dim=16),
    "qwen3, layer types": dict(TINY, model_type="qwen3", head_dim=16, attention_bias=True, use_sliding_window=True,
                               sliding_window=8,
                               layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "gemma": dict(TINY, model_type="gemma", head_dim=16),
    "gemma2": dict(TINY, model_type="gemma2", head_dim=16, query_pre_attn_scalar=24, sliding_window=8),
    "gemma3": dict(TINY, model_type="gemma3_text", head_dim=16, num_hidden_layers=7, sliding_window=8,
                   query_pre_attn_scalar=24, final_logit_softcapping=20.0, attn_logit_softcapping=10.0),
    "phi3": dict(TINY, model_type="phi3"),
    "phi3, window": dict(TINY, model_type="phi3", sliding_window=8, tie_word_embeddings=True),
    "opt": dict(OPT),
    "opt, 350m": dict(OPT, word_embed_proj_dim=16, do_layer_norm_before=False),
    "opt, no biases": dict(OPT, enable_bias=False),
    "gpt2": dict(GPT2),
    "gpt2, switches": dict(GPT2, n_inner=48, scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False),
    "gpt2, unscaled": dict(GPT2, scale_attn_weights=False),
    "gpt_neo": dict(NEO, attention_types=[[["global", "local"], 2]], window_size=8),
    "gpt_neo, uneven": dict(NEO, attention_types=[[["global"], 3], [["local"], 1]], intermediate_size=48),
    "gpt_neox": dict(NEOX),
    "gpt_neox, sequential": dict(NEOX, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True),
}


def attentions(model):
    """The attention modules in order of their layers."""
    names = ("SelfAttention", "Attention")
    return [module for name, module in model.named_modules()
            if type(module).__name__.endswith(names) and hasattr(module, "head_dim" if "head_dim" in vars(module)
                                                                 else "head_size")]


def scale(attention):
    return float(getattr(attention, "scaling", 1.0))  # gpt_neo does not scale


def window(attention, config):
    if config.model_type == "gpt_neo":
        return config.window_size if attention.attention_type == "local" else 0
    per_layer = getattr(attention, "sliding_window", None)
    if config.model_type in ("mistral", "phi3"):
        per_layer = config.sliding_window
    return per_layer or 0


def facts(name, keys):
    keys = dict(keys)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied = bool(config.tie_word_embeddings)
    tensors = {key: list(value.shape) for key, value in model.state_dict().items()
               if not (tied and key in ("lm_head.weight", "embed_out.weight"))}
    modules = attentions(model)
    assert len(modules) == config.num_hidden_layers, (name, len(modules))
    return dict(name=name, config=json.loads(config.to_json_string()), tied=tied, tensors=tensors,
                scales=[scale(module) for module in modules], windows=[window(module, config) for module in modules])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/model"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    cases = [facts(name, keys) for name, keys in CASES.items()]
    (out / "graphs.json").write_text(json.dumps(cases, indent=None, separators=(",", ":")).replace("},{", "},\n{") + "\n")


if __name__ == "__main__":
    main()
