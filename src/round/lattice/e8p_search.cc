#include "round/lattice/e8p_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int kDimensions = static_cast<int>(kE8pGroup);

/// scores [256] of all table vectors for |y|, without |y|^2; the least.
BITLOOM_VECTOR_CLONES float find_scores(const float (*columns)[E8pSearch::kEntries], const float* norms,
                                        const float* turned, const float* y, float* scores) {
  typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
  constexpr int64_t kLanes = 16;
  Lanes least = Lanes{} + std::numeric_limits<float>::infinity();
  for (int64_t k = 0; k < E8pSearch::kEntries; k += kLanes) {
    Lanes sum = y[0] * *reinterpret_cast<const Lanes*>(columns[0] + k), low = sum;
    for (int i = 1; i < kDimensions; ++i) {
      const Lanes product = y[i] * *reinterpret_cast<const Lanes*>(columns[i] + k);
      sum += product;
      low = product < low ? product : low;
    }
    const Lanes score =
        *reinterpret_cast<const Lanes*>(norms + k) - 2.0f * sum + low * *reinterpret_cast<const Lanes*>(turned + k);
    *reinterpret_cast<Lanes*>(scores + k) = score;
    least = score < least ? score : least;
  }
  float best = least[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) best = least[lane] < best ? least[lane] : best;
  return best;
}

}  // namespace

E8pSearch::E8pSearch() {
  const E8pTable& table = e8p_table();
  for (size_t k = 0; k < table.size(); ++k) {
    int sum = 0, squares = 0;
    for (size_t i = 0; i < table[k].size(); ++i) {
      columns_[i][k] = 0.5f * table[k][i];
      sum += table[k][i], squares += table[k][i] * table[k][i];
    }
    norms_[k] = static_cast<float>(squares) / 4;
    const int wanted = sum / 2 % 2;  // of negative coordinates, odd or even
    for (const int parity : {0, 1}) turned_[parity][k] = parity == wanted ? 0 : 4;
  }
}

uint16_t E8pSearch::find(const float* x) const {
  alignas(64) float scores[kEntries];
  float best = std::numeric_limits<float>::infinity(), best_y[kDimensions] = {};
  int64_t entry = 0;
  uint32_t negative = 0;
  bool up = false;
  for (const bool shift_up : {true, false}) {
    float y[kDimensions], squares = 0;
    uint32_t signs = 0;
    for (int i = 0; i < kDimensions; ++i) {
      const float value = x[i] - (shift_up ? 0.25f : -0.25f);
      signs |= static_cast<uint32_t>(value < 0) << i;
      y[i] = std::abs(value), squares += value * value;
    }
    const float* turned = turned_[__builtin_parity(signs)];
    const float least = find_scores(columns_, norms_, turned, y, scores);
    if (!(squares + least < best)) continue;
    best = squares + least, up = shift_up, negative = signs;
    entry = std::find(scores, scores + kEntries, least) - scores;
    std::copy_n(y, kDimensions, best_y);
  }
  if (turned_[__builtin_parity(negative)][entry] != 0) {
    int cheapest = 0;
    for (int i = 1; i < kDimensions; ++i) {
      const auto cost = [&](int at) { return best_y[at] * columns_[at][entry]; };
      if (cost(i) < cost(cheapest)) cheapest = i;
    }
    negative ^= 1U << cheapest;
  }
  return static_cast<uint16_t>(static_cast<uint32_t>(entry) << 8 | (up ? 0x80U : 0U) | (negative & 0x7fU));
}

uint16_t nearest_e8p_reference(const float* x) {
  const E8pTable& table = e8p_table();
  double best = std::numeric_limits<double>::infinity();
  uint16_t found = 0;
  for (uint32_t code = 0; code < 0x10000; ++code) {
    float point[kE8pGroup];
    decode_e8p(table, static_cast<uint16_t>(code), point);
    double error = 0;
    for (int i = 0; i < kDimensions; ++i)
      error += std::pow(static_cast<double>(x[i]) - 0.25 * static_cast<double>(point[i]), 2);
    if (error < best) best = error, found = static_cast<uint16_t>(code);
  }
  return found;
}

}  // namespace bitloom
