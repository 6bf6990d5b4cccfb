#!/usr/bin/env python3
"""Tiny checkpoints of every architecture and variant, with the logits that transformers computes for them.

Writes OUT/<name>/: config.json (as transformers writes it), where rope settings have an older spelling config_v4.json
(the same model as transformers 4 wrote it), model.safetensors, golden.safetensors (tokens i32 [batch, T], logits f32
[batch, T, vocab]). The prompt is longer than every sliding window. And OUT/stories260K.safetensors for
../shared/models/stories260K, where that is present.

Weights are multiples of 2^-12, so they do not depend on the machine's math library. The script fails if transformers'
own key-value cache, or the older config, gives other logits than the whole sequence.

usage: forward_tiny.py [--out DIR] [NAME...]        (transformers 5.23, torch 2.8; CPU, fp32, eager attention)
"""

import argparse
import json
import pathlib
import shutil
import tempfile
import zlib

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

BATCH, LENGTH, VOCAB, HIDDEN = 2, 40, 64, 32

COMMON = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
SMALL = dict(COMMON, hidden_size=16, intermediate_size=32, tie_word_embeddings=False)
FALCON = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
              bos_token_id=1, eos_token_id=2)
NEOX = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=64, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
OPT = dict(vocab_size=VOCAB, hidden_size=HIDDEN, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
           max_position_embeddings=64, bos_token_id=2, eos_token_id=2, pad_token_id=1)
GPT2 = dict(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=4, n_positions=64, n_inner=None, bos_token_id=1,
            eos_token_id=2)


def rope(kind, theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


def gemma_ropes(**full):
    return {"sliding_attention": rope("default", 100.0), "full_attention": {**rope("default", 10000.0), **full}}


LATENT = dict(num_key_value_heads=4, kv_lora_rank=24, qk_nope_head_dim=10, qk_rope_head_dim=8, v_head_dim=12,
              tie_word_embeddings=False)
YARN = rope("yarn", factor=4.0, beta_fast=32.0, beta_slow=1.0, mscale=0.7, mscale_all_dim=1.3,
            original_max_position_embeddings=16)

# name -> (model_type, settings)
MODELS = {
    "llama": ("llama", dict(COMMON, num_hidden_layers=3, tie_word_embeddings=True)),
    "llama_bf16": ("llama", dict(COMMON, tie_word_embeddings=False)),
    "llama_llama3": ("llama", dict(
        COMMON, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=16,
        rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))),
    "llama_linear": ("llama", dict(COMMON, tie_word_embeddings=False, num_key_value_heads=4,
                                   rope_parameters=rope("linear", factor=4.0))),
    "llama_yarn": ("llama", dict(
        COMMON, tie_word_embeddings=False, head_dim=16,
        rope_parameters=rope("yarn", 500.0, factor=2.0, original_max_position_embeddings=32))),
    "mistral": ("mistral", dict(COMMON, tie_word_embeddings=False, sliding_window=11, num_key_value_heads=1)),
    "qwen2": ("qwen2", dict(COMMON, num_hidden_layers=3, tie_word_embeddings=True, use_sliding_window=True,
                            sliding_window=9, max_window_layers=1)),
    "qwen3": ("qwen3", dict(COMMON, tie_word_embeddings=True, head_dim=12, rope_parameters=rope("default", 1e6))),
    "gemma": ("gemma", dict(COMMON, num_key_value_heads=1, head_dim=16, hidden_act="gelu_pytorch_tanh")),
    "gemma2": ("gemma2", dict(COMMON, num_hidden_layers=3, head_dim=8, sliding_window=10, query_pre_attn_scalar=20,
                              attn_logit_softcapping=3.0, final_logit_softcapping=4.0)),
    "gemma3_text": ("gemma3_text", dict(COMMON, num_hidden_layers=3, head_dim=8, sliding_window=8,
                                        query_pre_attn_scalar=12, sliding_window_pattern=3,
                                        rope_parameters=gemma_ropes(rope_type="linear", factor=2.0))),
    "phi3": ("phi3", dict(COMMON, tie_word_embeddings=False, sliding_window=13, original_max_position_embeddings=64)),
    "phi3_partial": ("phi3", dict(COMMON, tie_word_embeddings=False, num_attention_heads=2, num_key_value_heads=1,
                                  original_max_position_embeddings=64,
                                  rope_parameters=rope("default", partial_rotary_factor=0.75))),
    "opt": ("opt", dict(OPT)),
    "opt_350m": ("opt", dict(OPT, word_embed_proj_dim=24, do_layer_norm_before=False)),
    "gpt2": ("gpt2", dict(GPT2)),
    "gpt2_bare": ("gpt2", dict(GPT2, n_inner=48)),  # tensor names without "transformer.", as the published GPT-2 has them
    "gpt_neo": ("gpt_neo", dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_layers=3, num_heads=4, intermediate_size=48,
                                attention_types=[[["global", "local"], 1], [["local"], 1]], window_size=9,
                                max_position_embeddings=64, bos_token_id=1, eos_token_id=2)),
    "gpt_neox": ("gpt_neox", dict(NEOX, rope_parameters=rope("default", partial_rotary_factor=0.5))),
    "gpt_neox_sequential": ("gpt_neox", dict(NEOX, use_parallel_residual=False,
                                             rope_parameters=rope("default", partial_rotary_factor=1.0))),
    "mixtral": ("mixtral", dict(COMMON, tie_word_embeddings=False, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2_moe": ("qwen2_moe", dict(COMMON, num_hidden_layers=3, num_experts=6, num_experts_per_tok=2,
                                    moe_intermediate_size=24, shared_expert_intermediate_size=40,
                                    norm_topk_prob=False, mlp_only_layers=[1])),
    "qwen3_moe": ("qwen3_moe", dict(COMMON, num_hidden_layers=3, head_dim=12, num_experts=8, num_experts_per_tok=3,
                                    moe_intermediate_size=16, norm_topk_prob=True, decoder_sparse_step=2,
                                    tie_word_embeddings=True)),
    "starcoder2": ("starcoder2", dict(COMMON, sliding_window=10, tie_word_embeddings=True)),
    "stablelm": ("stablelm", dict(COMMON, num_attention_heads=2, use_qkv_bias=True, tie_word_embeddings=False,
                                  rope_parameters=rope("default", partial_rotary_factor=0.25))),
    "olmoe": ("olmoe", dict(COMMON, num_experts=6, num_experts_per_tok=2, intermediate_size=24)),
    "granitemoe": ("granitemoe", dict(COMMON, num_local_experts=5, num_experts_per_tok=2, intermediate_size=24,
                                      tie_word_embeddings=True, embedding_multiplier=6.0, attention_multiplier=0.3,
                                      residual_multiplier=0.4, logits_scaling=0.5)),
    "phimoe": ("phimoe", dict(COMMON, num_local_experts=6, intermediate_size=24, attention_bias=True,
                              lm_head_bias=True, router_jitter_noise=0.2, sliding_window=12,
                              tie_word_embeddings=False, original_max_position_embeddings=64,
                              rope_parameters=rope("longrope", short_factor=[1.0, 1.1, 1.25, 1.5],
                                                   long_factor=[2.0, 3.0, 4.0, 5.0], short_mscale=1.2, long_mscale=1.2,
                                                   original_max_position_embeddings=64))),
    "gpt_oss": ("gpt_oss", dict(COMMON, head_dim=12, num_local_experts=5, num_experts_per_tok=2, intermediate_size=24,
                                sliding_window=9, swiglu_limit=1.5,
                                rope_parameters=rope("yarn", 150000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0,
                                                     truncate=False, original_max_position_embeddings=16))),
    "gpt_oss_mxfp4": ("gpt_oss", dict(COMMON, head_dim=12, num_local_experts=3, num_experts_per_tok=2,
                                      intermediate_size=32, sliding_window=9,
                                      rope_parameters=rope("yarn", 150000.0, factor=4.0, truncate=False,
                                                           original_max_position_embeddings=16))),
    "deepseek_v2": ("deepseek_v2", dict(COMMON | LATENT, q_lora_rank=None, n_routed_experts=6, num_experts_per_tok=2,
                                        n_shared_experts=2, moe_intermediate_size=16, first_k_dense_replace=1,
                                        n_group=3, topk_group=2, topk_method="group_limited_greedy",
                                        routed_scaling_factor=1.5, rope_parameters=YARN)),
    "deepseek_v3": ("deepseek_v3", dict(COMMON | LATENT, q_lora_rank=20, n_routed_experts=8, num_experts_per_tok=3,
                                        n_shared_experts=1, moe_intermediate_size=16, first_k_dense_replace=1,
                                        n_group=4, topk_group=2, attention_bias=True, rms_norm_eps=1e-5,
                                        rope_parameters=YARN)),
    "glm4_moe": ("glm4_moe", dict(COMMON, head_dim=12, attention_bias=True, use_qk_norm=True, n_routed_experts=6,
                                  num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=24,
                                  routed_scaling_factor=1.5, first_k_dense_replace=1)),
    "ernie4_5_moe": ("ernie4_5_moe", dict(COMMON, num_hidden_layers=3, moe_num_experts=6, moe_k=2,
                                          moe_num_shared_experts=2, moe_intermediate_size=16, moe_layer_start_index=1,
                                          moe_layer_end_index=1, tie_word_embeddings=True)),
    "smollm3": ("smollm3", dict(SMALL, num_hidden_layers=3, tie_word_embeddings=True, no_rope_layer_interval=2,
                                use_sliding_window=True, sliding_window=9)),
    "olmo": ("olmo", dict(SMALL, clip_qkv=1.5)),
    "olmo2": ("olmo2", dict(SMALL)),
    "olmo3": ("olmo3", dict(SMALL, num_hidden_layers=4, num_attention_heads=2, sliding_window=9, rope_parameters={
        "sliding_attention": rope("default", 500000.0),
        "full_attention": rope("yarn", 500000.0, factor=2.0, original_max_position_embeddings=32)})),
    "granite": ("granite", dict(SMALL, embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.3,
                                logits_scaling=0.5)),
    "phi": ("phi", dict(SMALL, num_attention_heads=2, qk_layernorm=True)),
    "phi_plain": ("phi", dict(SMALL, num_key_value_heads=4, head_dim=8)),
    "cohere": ("cohere", dict(SMALL, use_qk_norm=True, logit_scale=0.8, tie_word_embeddings=True)),
    "cohere2": ("cohere2", dict(SMALL, num_hidden_layers=3, sliding_window=9, logit_scale=0.8, tie_word_embeddings=True,
                                layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "glm": ("glm", dict(SMALL, head_dim=8)),
    "glm4": ("glm4", dict(SMALL, head_dim=8)),
    "exaone4": ("exaone4", dict(SMALL, num_hidden_layers=3, sliding_window=9, sliding_window_pattern=2)),
    "ministral": ("ministral", dict(SMALL, head_dim=8, sliding_window=9, layer_types=["full_attention", "sliding_attention"])),
    "ministral3": ("ministral3", dict(SMALL, head_dim=8, rope_parameters=rope(
        "yarn", 10000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
        mscale_all_dim=1.0, llama_4_scaling_beta=0.3))),
    "seed_oss": ("seed_oss", dict(SMALL, head_dim=8, attention_out_bias=True)),
    "arcee": ("arcee", dict(SMALL)),
    "nemotron": ("nemotron", dict(SMALL, num_attention_heads=2)),
    "helium": ("helium", dict(SMALL, num_attention_heads=2, head_dim=8)),
    "ernie4_5": ("ernie4_5", dict(SMALL, head_dim=8, use_bias=True, tie_word_embeddings=True)),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", dict(SMALL, head_dim=8, rope_parameters=rope(
        "dynamic", alpha=50.0, factor=1.0))),
    "bloom": ("bloom", dict(vocab_size=VOCAB, hidden_size=24, n_layer=2, n_head=6, bos_token_id=1, eos_token_id=2)),
    "falcon": ("falcon", dict(FALCON)),
    "falcon_grouped": ("falcon", dict(FALCON, new_decoder_architecture=True, num_kv_heads=2, bias=True, tie_word_embeddings=False)),
    "falcon_alibi": ("falcon", dict(FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True, ffn_hidden_size=48)),
    "mpt": ("mpt", dict(vocab_size=VOCAB, d_model=24, n_layers=2, n_heads=6, max_seq_len=64,
                        attn_config=dict(clip_qkv=1.5))),
    "gptj": ("gptj", dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=64, n_inner=40, rotary_dim=4,
                          bos_token_id=1, eos_token_id=2)),
    "gemma4_text": ("gemma4_text", dict(
        SMALL, num_hidden_layers=3, head_dim=4, global_head_dim=8, num_global_key_value_heads=1, attention_k_eq_v=True,
        hidden_size_per_layer_input=0, vocab_size_per_layer_input=VOCAB, sliding_window=9, tie_word_embeddings=True,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"], final_logit_softcapping=20.0,
        rope_parameters={"sliding_attention": rope("default", 100.0),
                         "full_attention": rope("proportional", 10000.0, partial_rotary_factor=0.5)})),
    "bidirectional/gemma3_text": ("gemma3_text", dict(
        COMMON, num_hidden_layers=2, head_dim=8, sliding_window=8, use_bidirectional_attention=True,
        layer_types=["sliding_attention", "full_attention"])),
}


# The first of MODELS have their place as seed, later ones their name, so that the order does not matter.
NUMBERED = 34

# layer_types were there from their first release on.
LAYER_TYPES = {"smollm3", "olmo3", "cohere2", "exaone4", "ministral"}
ROPE_PARAMETERS = {"ministral3", "gemma4_text"}


def seed_of(name, place):
    return place if place < NUMBERED else zlib.crc32(name.encode()) % 100000


def older_spelling(config):
    """config.json as transformers 4 wrote it, or None where nothing is spelled differently."""
    if "rope_parameters" not in config or config["model_type"] in ROPE_PARAMETERS:
        return None
    dropped = {"rope_parameters", "dtype"} | (set() if config["model_type"] in LAYER_TYPES else {"layer_types"})
    old = {k: v for k, v in config.items() if k not in dropped}
    old["torch_dtype"] = config["dtype"]
    old["transformers_version"] = "4.49.0"
    if config["model_type"] in ("qwen3_moe", "olmoe") and "num_local_experts" in old:
        old["num_experts"] = old.pop("num_local_experts")
    ropes = config["rope_parameters"]
    if "full_attention" in ropes:
        old["rope_theta"] = ropes["full_attention"]["rope_theta"]
        if config["model_type"].startswith("gemma"):
            old["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
            old["sliding_window_pattern"] = 3
        old["rope_scaling"] = {k: v for k, v in ropes["full_attention"].items() if k != "rope_theta"}
        return old
    scaling = {k: v for k, v in ropes.items() if k not in ("rope_theta", "partial_rotary_factor")}
    if scaling["rope_type"] == "linear":
        scaling = dict(type="linear", factor=scaling["factor"])  # the spelling before 4.43
    old["rope_scaling"] = None if scaling.get("rope_type") == "default" else scaling
    if config["model_type"] == "gpt_neox":
        old["rotary_emb_base"] = int(ropes["rope_theta"])
        old["rotary_pct"] = ropes["partial_rotary_factor"]
    else:
        old["rope_theta"] = ropes["rope_theta"]
        if "partial_rotary_factor" in ropes:
            old["partial_rotary_factor"] = ropes["partial_rotary_factor"]
    return old


def fill(model, seed):
    """Weights with enough spread that attention is sharp and logits differ: every value a multiple of 2^-12."""
    rng = np.random.default_rng(seed)
    # Norms that multiply by 1 + w.
    plus_one = model.config.model_type in ("gemma", "gemma2", "gemma3_text", "nemotron")
    # Buffers in some architectures: the bias by which experts are chosen, the scale behind a block.
    buffers = [(n, b) for n, b in model.named_buffers() if n.endswith(("e_score_correction_bias", "layer_scalar"))]
    for name, p in sorted(model.named_parameters()) + sorted(buffers):
        x = rng.standard_normal(tuple(p.shape))
        if name.endswith("bias"):
            x *= 0.2
        elif p.dim() == 1 or "norm" in name:
            x = 0.3 * x + (0.0 if plus_one else 1.0)
        elif "emb" in name or "wte" in name or "wpe" in name:
            x *= 0.5
        else:
            fan_in = p.shape[0] if "Conv1D" in type(dict(model.named_modules())[name.rsplit(".", 1)[0]]).__name__ \
                else p.shape[-2] if model.config.model_type == "gpt_oss" and p.dim() == 3 \
                else p.shape[-1]  # the experts of a layer are one parameter [experts, out, in], gpt_oss [.., in, out]
            x *= 1.5 / np.sqrt(fan_in)
        with torch.no_grad():
            p.copy_(torch.from_numpy(np.round(x * 4096) / 4096))


@torch.no_grad()
def whole(model, tokens):
    return model(tokens.long(), use_cache=False).logits


@torch.no_grad()
def stepped(model, tokens, first):
    """Logits with transformers' own key-value cache: `first` tokens at once, then one by one."""
    out = model(tokens[:, :first].long(), use_cache=True)
    parts = [out.logits]
    for i in range(first, tokens.shape[1]):
        out = model(tokens[:, i:i + 1].long(), past_key_values=out.past_key_values, use_cache=True)
        parts.append(out.logits)
    return torch.cat(parts, 1)


def load(directory):
    # With eager attention transformers adds falcon's linear biases twice.
    falcon = json.loads((pathlib.Path(directory) / "config.json").read_text())["model_type"] == "falcon"
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32,
                                                attn_implementation="sdpa" if falcon else "eager").eval()


def check_cache(name, model, tokens, logits):
    spread = (logits.max() - logits.min()).item()
    difference = (stepped(model, tokens, 7) - logits).abs().max().item()
    assert difference <= 1e-5 * spread, f"{name}: cache differs by {difference} of {spread}"
    print(f"{name:22} range {spread:7.2f}   cache differs by {difference / spread:.1e} of it")


def check_older(name, directory, old, tokens, logits):
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(directory / "model.safetensors", scratch)
        pathlib.Path(scratch, "config.json").write_text(json.dumps(old))
        assert torch.equal(whole(load(scratch), tokens), logits), f"{name}: the older spelling means something else"


def pack_experts(model, directory, seed):
    """Experts of random MXFP4 codes, as gpt-oss is published: the file holds blocks and scales, the model their
    values."""
    rng = np.random.default_rng(seed)
    tensors = load_file(directory / "model.safetensors")
    for name, p in sorted(model.named_parameters()):
        if not name.endswith(("gate_up_proj", "down_proj")):
            continue
        experts, cols, rows = p.shape
        blocks = torch.from_numpy(rng.integers(0, 256, (experts, rows, cols // 32, 16), dtype=np.uint8))
        scales = torch.from_numpy(rng.integers(123, 126, (experts, rows, cols // 32), dtype=np.uint8))
        with torch.no_grad():
            p.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
        del tensors[name]
        tensors[name + "_blocks"], tensors[name + "_scales"] = blocks, scales
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] = dict(quant_method="mxfp4", modules_to_not_convert=["lm_head"])
    (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    return model


def make(name, model_type, settings, seed, directory):
    config = AutoConfig.for_model(model_type, **settings)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    fill(model, seed)
    if name.endswith("bf16"):
        model = model.to(torch.bfloat16)
    (model.transformer if name.endswith("_bare") else model).save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)

    model = pack_experts(model, directory, seed) if name.endswith("mxfp4") else load(directory)
    tokens = torch.from_numpy(np.random.default_rng(seed + 1000).integers(0, VOCAB, (BATCH, LENGTH), dtype=np.int32))
    logits = whole(model, tokens)
    if name.startswith("bidirectional/"):
        print(f"{name:22} range {(logits.max() - logits.min()).item():7.2f}")
    else:
        check_cache(name, model, tokens, logits)
    save_file({"tokens": tokens, "logits": logits}, directory / "golden.safetensors")
    old = older_spelling(json.loads((directory / "config.json").read_text()))
    if old is not None and not name.endswith("mxfp4") and not name.startswith("bidirectional/"):
        check_older(name, directory, old, tokens, logits)
        (directory / "config_v4.json").write_text(json.dumps(old, indent=2, sort_keys=True) + "\n")


def make_stories(out):
    source = pathlib.Path(__file__).parents[2] / "../shared/models/stories260K"
    if not source.exists():
        return
    model = load(source)
    tokens = torch.from_numpy(np.random.default_rng(260).integers(3, 512, (1, 64), dtype=np.int32))
    tokens[:, 0] = 1
    logits = whole(model, tokens)
    check_cache("stories260K", model, tokens, logits)
    save_file({"tokens": tokens, "logits": logits}, out / "stories260K.safetensors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "golden/forward")
    parser.add_argument("names", nargs="*", help="these alone")
    arguments = parser.parse_args()
    out, only = arguments.out, arguments.names
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for place, (name, (model_type, settings)) in enumerate(MODELS.items()):
        if only and name not in only:
            continue
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        make(name, model_type, settings, seed_of(name, place), directory)
    if not only:
        make_stories(out)


if __name__ == "__main__":
    main()
