#pragma once
// For tests only: a graph as text, one fact a line, so that two graphs are compared by their difference.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "model/block_parts.h"
#include "model/graph.h"

namespace bitloom::testing {

inline std::string text_of(const Norm& norm) {
  return fmt::format("({}, {}{})", norm.weight, norm.bias, norm.bare ? ", bare" : "");
}

inline std::string text_of(const Linear& linear) {
  return fmt::format("({}, {}, {}x{}{})", linear.weight, linear.bias, linear.out, linear.in,
                     linear.stored_in_out ? ", stored in x out" : "");
}

inline std::string text_of(const Block& block, const LatentAttention& l) {
  const auto at = [&block](int index) { return text_of(linear_at(block, index)); };
  return fmt::format("latent {} {} {} norms {} {} eps {} rank {} rope {}", at(l.q_down), at(l.kv_down), at(l.kv_up),
                     text_of(l.q_norm), text_of(l.kv_norm), l.norm_eps, l.rank, l.rope_dim);
}

inline std::string text_of(const Experts& e) {
  return fmt::format("top {} score {} normalized {} least {} scale {} margin {} bias {} groups {} {} {}", e.top_k,
                     static_cast<int>(e.score), e.normalized, e.least_sum, e.weight_scale, e.mixer_margin,
                     e.choice_bias, e.groups, e.top_groups, e.group_best);
}

inline std::string text_of(const Block& block, const Attention& a) {
  const auto at = [&block](int index) { return text_of(linear_at(block, index)); };
  return fmt::format(
      "layout {} q {} k {} v {} normed {} o {} clip {} qn {} kn {} over {} {} heads {} {} {} {} scale {} by position "
      "{} {} cap {} mask {} alibi {} window {} rope {} sinks {} {}",
      static_cast<int>(a.layout), at(a.q), at(a.k), at(a.v), a.norm_values, at(a.output), a.clip, text_of(a.q_norm),
      text_of(a.k_norm), static_cast<int>(a.head_norm), a.rope_before_norm, a.heads, a.kv_heads, a.head_dim, a.values(),
      a.scale, a.query_scale.beta, a.query_scale.length, a.softcap, static_cast<int>(a.mask), a.alibi, a.window, a.rope,
      a.sinks, text_of(block, a.latent));
}

inline std::string text_of(const Block& block, const Mlp& mlp) {
  const auto at = [&block](int index) { return text_of(linear_at(block, index)); };
  return fmt::format("gated {} fused {} act {} gate {} up {} down {} width {} clamp {} {}", mlp.gated,
                     mlp.fused_gate_up, static_cast<int>(mlp.activation), at(mlp.gate), at(mlp.up), at(mlp.down),
                     mlp.width, mlp.clamp, mlp.gate_slope);
}

/// Everything but the rotary frequencies.
inline std::string text_of(const Graph& g) {
  std::string text = fmt::format(
      "{} vocab {} hidden {} positions {}\nembedding {} scale {} norm {}\nlearned {} + {}\nprojections {} {}\n"
      "norm {} eps {} residual scale {}\n",
      g.architecture, g.vocab_size, g.hidden, g.max_positions, g.embedding, g.embedding_scale,
      text_of(g.embedding_norm), g.position_embedding, g.position_offset, text_of(g.project_in), text_of(g.project_out),
      static_cast<int>(g.norm), g.norm_eps, g.residual_scale);
  text +=
      fmt::format("final {} head {} tied {} scale {} cap {} bos {} eos {} ropes {}\n", text_of(g.final_norm),
                  text_of(g.head), g.tied_head, g.logit_scale, g.logit_softcap, g.bos_ids, g.eos_ids, g.ropes.size());
  for (const Block& b : g.blocks) {
    text += fmt::format("norms {} {} {} {} {} {} parallel {} scale {}\n", text_of(b.attention_norm),
                        text_of(b.post_attention_norm), text_of(b.attention_residual_norm), text_of(b.mlp_norm),
                        text_of(b.post_mlp_norm), text_of(b.mlp_residual_norm), b.parallel, b.output_scale);
    text += text_of(b, b.attention) + "\n" + text_of(b, b.mlp) + "\n";
    text += fmt::format("experts {} router {} gate {}\n", text_of(b.experts), text_of(linear_at(b, b.experts.router)),
                        text_of(linear_at(b, b.experts.shared_gate)));
    for (const Mlp& mlp : b.experts.mlps) text += text_of(b, mlp) + "\n";
  }
  return text;
}

}  // namespace bitloom::testing
