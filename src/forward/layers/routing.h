#pragma once
// Which rows of a block go to which of its experts (Experts in model/graph.h has the formulas).

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "model/graph.h"

namespace bitloom {

/// Rows that experts read are gathered expert by expert, those of one expert in the order of the block's rows.
struct Routing {
  std::vector<float> logits;    // [rows, experts]: the router's output; route() leaves its scores there
  std::vector<float> ranked;    // [experts]: of one row, what experts are chosen by
  std::vector<int32_t> chosen;  // [rows, top_k]: experts, by falling probability
  std::vector<float> weights;   // [rows, top_k]
  std::vector<int64_t> places;  // [rows, top_k]: row among those gathered
  std::vector<int64_t> begins;  // [experts + 1]: where each expert's gathered rows begin

  int64_t begin(int expert) const { return begins[static_cast<size_t>(expert)]; }
  int64_t count(int expert) const { return begins[static_cast<size_t>(expert) + 1] - begin(expert); }
};

/// Fills the rest from the logits of `rows` rows. Of experts with equal probability the first is chosen; a row whose
/// logits are NaN goes to the first experts with NaN weights. choice_bias [experts], or empty.
void route(const Experts& experts, std::span<const float> choice_bias, int64_t rows, Routing& routing);

/// out [top_k * rows, width] <- the rows of x [rows, width] that each expert reads.
void gather_routed(const Routing& routing, int64_t rows, const float* x, int64_t width, float* out,
                   ThreadPool& threads);

/// y [rows, width] += the weighted sum of what each row's experts gave, out [top_k * rows, width].
void add_routed(const Routing& routing, int64_t rows, const float* out, int64_t width, float* y, ThreadPool& threads);

/// The adjoint of add_routed() with respect to its `out`: d_out [top_k * rows, width] = weight dy, and to the weights,
/// d_weights [rows, top_k] = dy . out.
void add_routed_adjoint(const Routing& routing, int64_t rows, const float* out, const float* dy, int64_t width,
                        float* d_out, float* d_weights, ThreadPool& threads);

/// Of gather_routed(): dx [rows, width] += the sum of d_out over the rows that were copies.
void gather_routed_adjoint(const Routing& routing, int64_t rows, const float* d_out, int64_t width, float* dx,
                           ThreadPool& threads);

/// Of route(): d_logits [rows, experts] of the logits that it was given, in fp64. With p the scores, T the chosen,
/// D what sums are divided by:
///   dp_t = weight_scale (dw_t / D - sum over T of dw p / D^2), the second term where D is the sum
///   softmax dl_e = p_e (dp_e - sum over T of dp p), sigmoid dl_e = dp_e p_e (1 - p_e), sparse mixer as softmax over
///   the experts that took part. Who is chosen counts as fixed.
void route_adjoint(const Experts& experts, const float* logits, int64_t rows, const Routing& routing,
                   const float* d_weights, float* d_logits, ThreadPool& threads);

}  // namespace bitloom
