#include "forward/routing.h"

#include <algorithm>

#include "forward/row_loop.h"
#include "forward/softmax.h"

namespace bitloom {
namespace {

int64_t slots_per_row(const Routing& routing, int64_t rows) {
  return static_cast<int64_t>(routing.places.size()) / rows;
}

/// The greatest of p [count] that is not among chosen [taken].
int32_t greatest(const float* p, int64_t count, const int32_t* chosen, int64_t taken) {
  int32_t best = -1;
  for (int32_t e = 0; e < count; ++e) {
    if (std::find(chosen, chosen + taken, e) != chosen + taken) continue;
    if (best < 0 || p[e] > p[best]) best = e;
  }
  return best;
}

void choose(const Experts& experts, float* logits, int32_t* chosen, float* weights) {
  const auto count = static_cast<int64_t>(experts.mlps.size());
  const float all = exp_shifted(logits, count);
  float sum = 0.0f;
  for (int64_t k = 0; k < experts.top_k; ++k) {
    chosen[k] = greatest(logits, count, chosen, k);
    weights[k] = logits[chosen[k]] / all;
    sum += weights[k];
  }
  if (!experts.normalized) return;
  for (int64_t k = 0; k < experts.top_k; ++k) weights[k] /= sum;
}

}  // namespace

void route(const Experts& experts, int64_t rows, Routing& routing) {
  const size_t count = experts.mlps.size(), slots = static_cast<size_t>(rows * experts.top_k);
  routing.chosen.resize(slots);
  routing.weights.resize(slots);
  routing.places.resize(slots);
  routing.begins.assign(count + 1, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t slot = row * experts.top_k;
    choose(experts, routing.logits.data() + row * static_cast<int64_t>(count), routing.chosen.data() + slot,
           routing.weights.data() + slot);
  }
  for (const int32_t e : routing.chosen) ++routing.begins[static_cast<size_t>(e) + 1];
  for (size_t e = 0; e < count; ++e) routing.begins[e + 1] += routing.begins[e];
  std::vector<int64_t> next(routing.begins.begin(), routing.begins.end() - 1);
  for (size_t slot = 0; slot < slots; ++slot) {
    routing.places[slot] = next[static_cast<size_t>(routing.chosen[slot])]++;
  }
}

void gather_routed(const Routing& routing, int64_t rows, const float* x, int64_t width, float* out,
                   ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    for (int64_t k = 0; k < top_k; ++k) {
      std::copy_n(x + row * width, width, out + routing.places[static_cast<size_t>(row * top_k + k)] * width);
    }
  });
}

void add_routed(const Routing& routing, int64_t rows, const float* out, int64_t width, float* y, ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    float* sum = y + row * width;
    for (int64_t k = 0; k < top_k; ++k) {
      const auto slot = static_cast<size_t>(row * top_k + k);
      const float* part = out + routing.places[slot] * width;
      for (int64_t i = 0; i < width; ++i) sum[i] += routing.weights[slot] * part[i];
    }
  });
}

}  // namespace bitloom
