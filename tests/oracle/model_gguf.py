"""Tiny checkpoints of every architecture that GGUF has, as a Hugging Face directory and as the GGUF file that the
published converters make of it. The conversion rules are written out here from their documentation; transformers only
names the tensors.

Writes gguf/NAME/{config.json,model.safetensors} and gguf/NAME.gguf (fp32); and gguf/refused/NAME.gguf, files without
weights whose metadata cannot be honoured.
"""

import argparse
import json
import math
import pathlib
import re
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

TINY = dict(vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, bos_token_id=3, eos_token_id=4, pad_token_id=0,
            dtype="float32")
SPARSE = dict(TINY, num_hidden_layers=1, intermediate_size=8, num_experts_per_tok=2)
LATENT = dict(num_hidden_layers=2, num_key_value_heads=4, kv_lora_rank=8, qk_nope_head_dim=6, qk_rope_head_dim=4,
              v_head_dim=5, n_routed_experts=4, moe_intermediate_size=8, first_k_dense_replace=1)
NEOX = {key: value for key, value in TINY.items() if key != "num_key_value_heads"}
ONE = dict(TINY, num_hidden_layers=1)
FOUR = dict(TINY, num_hidden_layers=4, intermediate_size=16)
FALCON = dict(model_type="falcon", vocab_size=24, hidden_size=16, num_hidden_layers=1, num_attention_heads=4,
              max_position_embeddings=2048, bos_token_id=3, eos_token_id=4, dtype="float32")

CASES = {
    "llama": dict(TINY, model_type="llama", head_dim=8, attention_bias=True, rope_theta=50000.0),
    "llama3": dict(TINY, model_type="llama", head_dim=16, max_position_embeddings=4096, tie_word_embeddings=True,
                   rope_scaling=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                     high_freq_factor=4.0, original_max_position_embeddings=512)),
    "qwen2": dict(TINY, model_type="qwen2", rope_scaling=dict(rope_type="yarn", factor=4.0, rope_theta=1e6,
                                                              original_max_position_embeddings=16)),
    "qwen3": dict(TINY, model_type="qwen3", head_dim=8, tie_word_embeddings=True),
    "gemma": dict(TINY, model_type="gemma", head_dim=8),
    "gemma2": dict(TINY, model_type="gemma2", head_dim=8, query_pre_attn_scalar=8, sliding_window=16),
    "gemma3": dict(TINY, model_type="gemma3_text", head_dim=8, num_hidden_layers=7, query_pre_attn_scalar=8,
                   sliding_window=16, rope_scaling=dict(rope_type="linear", factor=8.0)),
    "phi3": dict(TINY, model_type="phi3", hidden_size=32, original_max_position_embeddings=16, sliding_window=20,
                 partial_rotary_factor=0.75,
                 rope_scaling=dict(rope_type="longrope", short_factor=[1.0, 1.25, 1.5], long_factor=[2.0, 3.0, 4.0])),
    "gpt2": dict(model_type="gpt2", vocab_size=24, n_embd=16, n_layer=2, n_head=4, n_positions=32, n_inner=40,
                 bos_token_id=3, eos_token_id=4, dtype="float32"),
    "gptneox": dict(NEOX, model_type="gpt_neox", rotary_pct=0.5),
    "smollm3": dict(FOUR, model_type="smollm3"),
    "olmo": dict(ONE, model_type="olmo", clip_qkv=8.0),
    "olmo2": dict(ONE, model_type="olmo2"),
    "olmo3": dict(FOUR, model_type="olmo3", sliding_window=16),
    "granite": dict(ONE, model_type="granite", embedding_multiplier=12.0, residual_multiplier=0.25,
                    attention_multiplier=0.125, logits_scaling=8.0),
    "phi2": dict(ONE, model_type="phi", num_key_value_heads=4, intermediate_size=64),
    "command-r": dict(ONE, model_type="cohere", use_qk_norm=True, logit_scale=0.25),
    "cohere2": dict(FOUR, model_type="cohere2", sliding_window=16, logit_scale=0.25),
    "chatglm": dict(ONE, model_type="glm", head_dim=8),
    "glm4": dict(ONE, model_type="glm4", head_dim=8),
    "exaone4": dict(FOUR, model_type="exaone4", sliding_window=16),
    "mistral3": dict(ONE, model_type="ministral3", head_dim=8, max_position_embeddings=1024, rope_parameters=dict(
        rope_type="yarn", rope_theta=1e6, factor=16.0, original_max_position_embeddings=64, mscale=1.0,
        mscale_all_dim=1.0, llama_4_scaling_beta=0.125)),
    "seed_oss": dict(ONE, model_type="seed_oss", head_dim=8),
    "arcee": dict(ONE, model_type="arcee"),
    "nemotron": dict(ONE, model_type="nemotron"),
    "ernie4_5": dict(ONE, model_type="ernie4_5", head_dim=8, use_bias=True),
    "hunyuan-dense": dict(ONE, model_type="hunyuan_v1_dense", head_dim=8, rope_theta=50000.0),
    "starcoder2": dict(ONE, model_type="starcoder2", sliding_window=None),
    "stablelm": dict(ONE, model_type="stablelm", use_qkv_bias=True, partial_rotary_factor=0.5),
    "falcon": dict(FALCON),
    "falcon40": dict(FALCON, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False),
    "bloom": dict(model_type="bloom", vocab_size=24, hidden_size=16, n_layer=1, n_head=4, seq_length=64,
                  bos_token_id=3, eos_token_id=4, dtype="float32"),
    "mpt": dict(model_type="mpt", vocab_size=24, d_model=16, n_layers=1, n_heads=4, max_seq_len=64,
                attn_config=dict(clip_qkv=6.0), bos_token_id=3, eos_token_id=4, dtype="float32"),
    "mixtral": dict(SPARSE, model_type="mixtral", num_local_experts=3),
    "qwen2moe": dict(SPARSE, model_type="qwen2_moe", num_experts=3, moe_intermediate_size=8,
                     shared_expert_intermediate_size=12),
    "qwen3moe": dict(SPARSE, model_type="qwen3_moe", head_dim=8, num_experts=3, moe_intermediate_size=8,
                     norm_topk_prob=True),
    "olmoe": dict(SPARSE, model_type="olmoe", num_experts=3),
    "granitemoe": dict(SPARSE, model_type="granitemoe", num_local_experts=3, attention_multiplier=0.25,
                       embedding_multiplier=12.0, residual_multiplier=0.5, logits_scaling=6.0),
    "gpt-oss": dict(SPARSE, model_type="gpt_oss", num_hidden_layers=2, head_dim=8, num_local_experts=3,
                    sliding_window=16,
                    rope_scaling=dict(rope_type="yarn", factor=4.0, rope_theta=150000.0, truncate=False,
                                      original_max_position_embeddings=16)),
    "deepseek2": dict(SPARSE | LATENT, model_type="deepseek_v2", q_lora_rank=None, n_shared_experts=2,
                      topk_method="group_limited_greedy", n_group=2, topk_group=1),
    "deepseek3": dict(SPARSE | LATENT, model_type="deepseek_v3", q_lora_rank=6, n_shared_experts=1, n_group=2,
                      topk_group=1,
                      rope_scaling=dict(rope_type="yarn", factor=4.0, rope_theta=10000.0, mscale=1.0,
                                        mscale_all_dim=1.0, original_max_position_embeddings=16)),
    "deepseek3_split": dict(SPARSE | LATENT, model_type="deepseek_v3", q_lora_rank=None, n_shared_experts=1, n_group=2,
                            topk_group=1),
    "glm4moe": dict(SPARSE, model_type="glm4_moe", num_hidden_layers=2, head_dim=8, attention_bias=True,
                    use_qk_norm=True, n_routed_experts=3, moe_intermediate_size=8, routed_scaling_factor=1.5,
                    first_k_dense_replace=1),
    "ernie4_5-moe": dict(SPARSE, model_type="ernie4_5_moe", num_hidden_layers=2, moe_num_experts=3, moe_k=2,
                         moe_intermediate_size=8),
}
GGUF_ARCHITECTURE = {"gemma3_text": "gemma3", "gpt_neox": "gptneox", "phi": "phi2", "cohere": "command-r",
                     "glm": "chatglm", "ministral3": "mistral3", "hunyuan_v1_dense": "hunyuan-dense", "olmo3": "olmo2",
                     "mixtral": "llama", "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gpt_oss": "gpt-oss",
                     "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "glm4_moe": "glm4moe",
                     "ernie4_5_moe": "ernie4_5-moe"}
# Whose post_attention_layernorm keeps its name.
NORMS_BEHIND = {"gemma2", "gemma3_text", "olmo2", "olmo3", "exaone4", "seed_oss", "gpt_oss", "glm4_moe"}
# Whose rows of q and k are interleaved.
PAIRED = {"llama", "smollm3", "granite", "arcee", "olmo", "ministral3", "mixtral", "granitemoe"}
SPARSE_CASES = [name for name, keys in CASES.items() if "num_experts_per_tok" in keys]

# Checkpoint name -> GGUF name. Order matters where one pattern is part of another.
NAMES = [
    (r"(?:model|transformer|gpt_neox)\.(?:embed_tokens|wte|embed_in|word_embeddings)\.weight", "token_embd.weight"),
    (r"transformer\.word_embeddings_layernorm\.(\w+)", r"token_embd_norm.\1"),
    (r"transformer\.wpe\.weight", "position_embd.weight"),
    (r"(?:model\.norm|model\.final_layernorm|transformer\.ln_f|transformer\.norm_f|gpt_neox\.final_layer_norm)\.(\w+)",
     r"output_norm.\1"),
    (r"(?:lm_head|embed_out)\.(\w+)", r"output.\1"),
    (r".*\.(\d+)\.(?:input_layernorm|ln_1|norm_1|ln_mlp)\.(\w+)", r"blk.\1.attn_norm.\2"),
    (r".*\.(\d+)\.ln_attn\.(\w+)", r"blk.\1.attn_norm_2.\2"),
    (r".*\.(\d+)\.self_attn\.([qkv])_proj\.(\w+)", r"blk.\1.attn_\2.\3"),
    (r".*\.(\d+)\.self_attn\.([qk])_norm\.(\w+)", r"blk.\1.attn_\2_norm.\3"),
    (r".*\.(\d+)\.self_attn\.query_layernorm\.(\w+)", r"blk.\1.attn_q_norm.\2"),
    (r".*\.(\d+)\.self_attn\.key_layernorm\.(\w+)", r"blk.\1.attn_k_norm.\2"),
    (r".*\.(\d+)\.(?:self_attn\.qkv_proj|attn\.c_attn|(?:self_)?attention\.query_key_value|attn\.Wqkv)\.(\w+)", r"blk.\1.attn_qkv.\2"),
    (r".*\.(\d+)\.(?:self_attn\.o_proj|attn\.c_proj|(?:self_)?attention\.dense|self_attn\.dense|attn\.out_proj)\.(\w+)", r"blk.\1.attn_output.\2"),
    (r".*\.(\d+)\.self_attn\.(q_a|q_b|kv_b)_proj\.(\w+)", r"blk.\1.attn_\2.\3"),
    (r".*\.(\d+)\.self_attn\.kv_a_proj_with_mqa\.(\w+)", r"blk.\1.attn_kv_a_mqa.\2"),
    (r".*\.(\d+)\.self_attn\.(q_a|kv_a)_layernorm\.(\w+)", r"blk.\1.attn_\2_norm.\3"),
    (r".*\.(\d+)\.self_attn\.sinks", r"blk.\1.attn_sinks.weight"),
    (r".*\.(\d+)\.(?:mlp|block_sparse_moe)\.(?:gate|router|router\.layer)\.(weight|bias)", r"blk.\1.ffn_gate_inp.\2"),
    (r".*\.(\d+)\.mlp\.shared_expert_gate\.(\w+)", r"blk.\1.ffn_gate_inp_shexp.\2"),
    (r".*\.(\d+)\.mlp\.(?:gate|moe_statics)\.e_score_correction_bias", r"blk.\1.exp_probs_b.bias"),
    (r".*\.(\d+)\.mlp\.shared_experts?\.(gate|up|down)_proj\.(\w+)", r"blk.\1.ffn_\2_shexp.\3"),
    (r".*\.(\d+)\.mlp\.gate_proj\.(\w+)", r"blk.\1.ffn_gate.\2"),
    (r".*\.(\d+)\.(?:mlp|ffn)\.(?:up_proj|gate_up_proj|c_fc|dense_h_to_4h|fc1)\.(\w+)", r"blk.\1.ffn_up.\2"),
    (r".*\.(\d+)\.(?:mlp|ffn)\.(?:down_proj|c_proj|dense_4h_to_h|fc2)\.(\w+)", r"blk.\1.ffn_down.\2"),
]
TWO_NORMS = [(r".*\.(\d+)\.(?:post_attention_layernorm|ln_2|norm_2)\.(\w+)", r"blk.\1.ffn_norm.\2")]
GLM4_NORMS = [
    (r".*\.(\d+)\.post_self_attn_layernorm\.(\w+)", r"blk.\1.post_attention_norm.\2"),
    (r".*\.(\d+)\.post_mlp_layernorm\.(\w+)", r"blk.\1.post_ffw_norm.\2"),
] + TWO_NORMS
FOUR_NORMS = [
    (r".*\.(\d+)\.post_attention_layernorm\.(\w+)", r"blk.\1.post_attention_norm.\2"),
    (r".*\.(\d+)\.pre_feedforward_layernorm\.(\w+)", r"blk.\1.ffn_norm.\2"),
    (r".*\.(\d+)\.post_feedforward_layernorm\.(\w+)", r"blk.\1.post_ffw_norm.\2"),
]


def gguf_name(name, model_type):
    norms = GLM4_NORMS if model_type == "glm4" else FOUR_NORMS if model_type in NORMS_BEHIND else TWO_NORMS
    for pattern, replacement in norms + NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    raise KeyError(name)


def stacked_experts(tensors, config):
    """Takes the experts out of `tensors`; GGUF name -> those of a layer together."""
    result = {}
    kinds = {"w1": "gate", "w3": "up", "w2": "down"}
    for name in sorted(tensors):
        one = re.fullmatch(r".*\.(\d+)\.\w+\.experts\.(\d+)\.(w1|w2|w3|gate_proj|up_proj|down_proj)\.weight", name)
        layer = re.search(r"\.(\d+)\.", name)
        if one:
            kind = kinds.get(one[3]) or one[3].removesuffix("_proj")
            result.setdefault(f"blk.{one[1]}.ffn_{kind}_exps.weight", {})[int(one[2])] = tensors.pop(name)
        elif name.endswith("input_linear.weight"):
            gate, up = np.split(tensors.pop(name), 2, axis=1)
            result[f"blk.{layer[1]}.ffn_gate_exps.weight"], result[f"blk.{layer[1]}.ffn_up_exps.weight"] = gate, up
        elif name.endswith("output_linear.weight"):
            result[f"blk.{layer[1]}.ffn_down_exps.weight"] = tensors.pop(name)
        elif ".experts.gate_up_proj" in name:
            value, end = tensors.pop(name), "bias" if name.endswith("_bias") else "weight"
            for first, kind in enumerate(("gate", "up")):
                part = value[..., first::2]
                result[f"blk.{layer[1]}.ffn_{kind}_exps.{end}"] = part if end == "bias" else part.swapaxes(1, 2)
        elif ".experts.down_proj" in name:
            value, end = tensors.pop(name), "bias" if name.endswith("_bias") else "weight"
            result[f"blk.{layer[1]}.ffn_down_exps.{end}"] = value if end == "bias" else value.swapaxes(1, 2)
    return {name: np.ascontiguousarray(np.stack([v[e] for e in sorted(v)]) if isinstance(v, dict) else v)
            for name, v in result.items()}


def permute(weight, heads):
    """Interleaves the two halves of each head's rows."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(
        weight.shape)


def convert(name, value, config):
    model_type = config.model_type
    if model_type in PAIRED and ".q_proj." in name:
        return permute(value, config.num_attention_heads)
    if model_type in PAIRED and ".k_proj." in name:
        return permute(value, config.num_key_value_heads)
    if model_type == "nemotron" and (name.endswith("norm.weight") or "layernorm.weight" in name):
        return value + np.float32(1)
    if name.endswith("e_score_correction_bias"):
        return value.reshape(-1)
    if model_type.startswith("gemma") and name.endswith("norm.weight"):
        return value + np.float32(1)
    if model_type == "gpt2" and value.ndim == 2 and (".attn." in name or ".mlp." in name):
        return np.ascontiguousarray(value.T)
    if "query_key_value" in name:
        heads, dim = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        key_heads = heads
        if model_type == "falcon":
            key_heads = config.num_kv_heads if config.new_decoder_architecture else 1
        grouped = value.reshape(key_heads, heads // key_heads + 2, dim, *value.shape[1:])
        parts = grouped[:, :-2], grouped[:, [-2]], grouped[:, [-1]]
        return np.concatenate([part.reshape(-1, *value.shape[1:]) for part in parts])
    return value


def llama3_factors(config):
    """What divides each frequency, as the converter computes the tensor rope_freqs.weight."""
    rope = config.rope_parameters
    dim = config.head_dim
    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    for freq in freqs:
        wavelength = 2 * math.pi / freq
        if wavelength < high:
            factors.append(1)
        elif wavelength > low:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def write_rope(writer, config):
    if config.model_type in ("gpt2", "bloom", "mpt", "falcon"):
        return
    heads = config.num_attention_heads
    dim = getattr(config, "qk_rope_head_dim", None) or getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = config.rope_parameters
    if config.model_type in ("gemma3_text", "olmo3"):
        rope = rope["full_attention"]
    writer.add_rope_dimension_count(int(dim * rope.get("partial_rotary_factor", 1.0)))
    if config.model_type != "gpt_neox":
        writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope["rope_type"]
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "mscale_all_dim" in rope:
            share = 1.0 if config.model_type == "ministral3" else 0.1
            writer.add_rope_scaling_yarn_log_mul(share * rope["mscale_all_dim"])
    elif kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    elif kind == "longrope":
        original = rope["original_max_position_embeddings"]
        ratio = config.max_position_embeddings / original
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(ratio) / math.log(original)))
        writer.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], dtype=np.float32))
        writer.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], dtype=np.float32))


def write_experts(writer, config):
    model_type = config.model_type
    counts = [getattr(config, key, None) for key in ("num_local_experts", "num_experts", "n_routed_experts",
                                                     "moe_num_experts")]
    count = next((c for c in counts if c), None)
    if count is None:
        return
    writer.add_expert_count(count)
    writer.add_expert_used_count(getattr(config, "moe_k", None) or config.num_experts_per_tok)
    if model_type not in ("mixtral", "olmoe", "granitemoe"):
        writer.add_expert_feed_forward_length(getattr(config, "moe_intermediate_size", None) or config.intermediate_size)
    if model_type == "qwen2_moe":
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if hasattr(config, "n_routed_experts"):
        sigmoid = model_type != "deepseek_v2"
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if sigmoid else gguf.ExpertGatingFuncType.SOFTMAX)
        writer.add_expert_shared_count(config.n_shared_experts)
        writer.add_leading_dense_block_count(config.first_k_dense_replace)
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        writer.add_expert_weights_norm(bool(config.norm_topk_prob))
        writer.add_expert_group_count(config.n_group)
        writer.add_expert_group_used_count(config.topk_group)
    if model_type == "ernie4_5_moe":
        writer.add_expert_shared_count(config.moe_num_shared_experts)
        writer.add_leading_dense_block_count(config.moe_layer_start_index)
        writer.add_interleave_moe_layer_step(config.moe_layer_interval)


def published_shapes(config):
    """The tensors of a checkpoint, as it is published: experts as transformers writes them."""
    with tempfile.TemporaryDirectory() as scratch:
        AutoModelForCausalLM.from_config(config).save_pretrained(scratch)
        return {name: tensor.shape for name, tensor in load_file(pathlib.Path(scratch) / "model.safetensors").items()}


def split_latents(tensors, config):
    """Takes kv_b_proj out of `tensors`; GGUF name -> keys of each head, turned over, and values, as newer files have
    them."""
    result = {}
    for name in [name for name in tensors if name.endswith("kv_b_proj.weight")]:
        layer = re.search(r"\.(\d+)\.", name)[1]
        heads = tensors.pop(name).reshape(config.num_attention_heads, -1, config.kv_lora_rank)
        result[f"blk.{layer}.attn_k_b.weight"] = heads[:, :config.qk_nope_head_dim].swapaxes(1, 2)
        result[f"blk.{layer}.attn_v_b.weight"] = heads[:, config.qk_nope_head_dim:]
    return {name: np.ascontiguousarray(value) for name, value in result.items()}


LAYER_EPS = ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps")


def write_latent_sizes(writer, config, split):
    keys, values = config.qk_nope_head_dim + config.qk_rope_head_dim, config.v_head_dim
    if split:  # attention as over one key head, of the latents
        writer.add_key_length_mla(keys)
        writer.add_value_length_mla(values)
        keys, values = config.kv_lora_rank + config.qk_rope_head_dim, config.kv_lora_rank
    writer.add_key_length(keys)
    writer.add_value_length(values)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)


def write_sizes(writer, config, split):
    model_type = config.model_type
    positions = getattr(config, "seq_length", None) or getattr(config, "max_seq_len", None)
    writer.add_context_length(positions or config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    width = next((getattr(config, key) for key in ("intermediate_size", "n_inner") if getattr(config, key, None)), None)
    writer.add_feed_forward_length(width or 4 * config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    if getattr(config, "num_key_value_heads", None):
        writer.add_head_count_kv(1 if split else config.num_key_value_heads)
    if model_type == "falcon":
        writer.add_head_count_kv(config.num_kv_heads if config.new_decoder_architecture else 1)
    eps = next((getattr(config, key) for key in LAYER_EPS if hasattr(config, key)), None)
    if model_type == "olmo":
        eps = 1e-5
    if eps is not None:
        writer.add_layer_norm_eps(eps)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if hasattr(config, "kv_lora_rank"):
        write_latent_sizes(writer, config, split)
    elif model_type not in ("falcon", "granite") and getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)


def write_metadata(writer, config, split):
    model_type = config.model_type
    write_sizes(writer, config, split)
    if model_type in ("gpt_neox", "stablelm"):
        writer.add_parallel_residual(config.use_parallel_residual)
    if model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if model_type in ("gemma2", "gemma3_text", "phi3", "cohere2", "olmo3", "exaone4", "gpt_oss"):
        writer.add_sliding_window(config.sliding_window)
    if model_type in ("olmo3", "exaone4"):
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    if model_type in ("cohere", "cohere2"):
        writer.add_logit_scale(config.logit_scale)
    if model_type in ("granite", "granitemoe"):
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if model_type == "olmo":
        writer.add_clamp_kqv(config.clip_qkv)
    if model_type == "mpt":
        writer.add_clamp_kqv(config.attn_config.clip_qkv)
        writer.add_max_alibi_bias(config.attn_config.alibi_bias_max)
    if model_type == "ministral3":
        writer.add_attn_temperature_scale(config.rope_parameters["llama_4_scaling_beta"])
    write_experts(writer, config)
    if config.bos_token_id is not None:
        writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    write_rope(writer, config)


def make(name, keys, out):
    keys = dict(keys)
    config = AutoConfig.for_model(keys.pop("model_type"), **keys)
    if name in SPARSE_CASES:
        shapes = published_shapes(config)
    else:
        with torch.device("meta"):
            shapes = {key: tuple(value.shape) for key, value in AutoModelForCausalLM.from_config(config).state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    if config.model_type == "gpt_neox":
        shapes["embed_out.weight"] = shapes.pop("lm_head.weight")  # as published checkpoints name it
    rng = np.random.default_rng(7)
    # Multiples of 2^-10 below 1/2: adding 1 and taking it away is exact.
    tensors = {key: (rng.integers(-511, 512, shape) / 1024).astype(np.float32) for key, shape in shapes.items()}
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "config.json").write_text(config.to_json_string())
    save_file(tensors, out / name / "model.safetensors", metadata={"format": "pt"})
    writer = gguf.GGUFWriter(out / f"{name}.gguf", GGUF_ARCHITECTURE.get(config.model_type, config.model_type))
    split = name.endswith("_split")
    write_metadata(writer, config, split)
    for key, value in split_latents(tensors, config).items() if split else ():
        writer.add_tensor(key, value)
    for key, value in stacked_experts(tensors, config).items():
        writer.add_tensor(key, value)
    for key, value in tensors.items():
        writer.add_tensor(gguf_name(key, config.model_type), convert(key, value, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def refused(name, architecture, out, *changes):
    """A header alone; `changes` are calls on the writer."""
    writer = gguf.GGUFWriter(out / f"{name}.gguf", architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(16)
    writer.add_block_count(2)
    writer.add_feed_forward_length(24)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    for change in changes:
        change(writer)
    writer.add_tensor("token_embd.weight", np.zeros((24, 16), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_refused(out):
    out.mkdir(parents=True, exist_ok=True)
    refused("architecture", "mamba", out)
    refused("experts", "gemma", out, lambda w: w.add_expert_count(8))
    refused("no_experts", "olmoe", out)
    refused("gating", "glm4moe", out, lambda w: w.add_expert_count(8), lambda w: w.add_expert_used_count(2),
            lambda w: w.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX))
    refused("missing_tensor", "llama", out)
    refused("nameless_tensor", "llama", out, lambda w: w.add_tensor("", np.zeros((4, 4), dtype=np.float32)))
    refused("value_length", "llama", out, lambda w: w.add_key_length(8), lambda w: w.add_value_length(4))
    refused("partial", "llama", out, lambda w: w.add_rope_dimension_count(2))
    refused("scaling", "qwen2", out, lambda w: w.add_string("qwen2.rope.scaling.type", "dynamic"))
    refused("yarn", "qwen3", out, lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN),
            lambda w: w.add_rope_scaling_attn_factors(0.5))
    refused("both_scalings", "llama", out, lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR),
            lambda w: w.add_rope_scaling_factor(2.0),
            lambda w: w.add_tensor("rope_freqs.weight", np.ones(2, dtype=np.float32)))
    refused("factor_count", "llama", out,
            lambda w: w.add_tensor("rope_freqs.weight", np.ones(3, dtype=np.float32)))
    refused("no_key", "gpt2", out)
    refused("heads", "llama", out, lambda w: w.kv_data[0]["llama.attention.head_count"].__setattr__("value", 32))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/model"))
    out = parser.parse_args().out / "gguf"
    transformers.logging.disable_progress_bar()
    for name, keys in CASES.items():
        make(name, keys, out)
    make_refused(out / "refused")


if __name__ == "__main__":
    main()
