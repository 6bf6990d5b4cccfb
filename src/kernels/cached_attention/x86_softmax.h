#pragma once
// The softmax of a row of scores that goes on, over a type V of vectors. In an unnamed namespace, so that no ISA's code
// is linked into another's.
//
//   V::Float, V::kLanes                      kLanes floats
//   V::zero(), set(x), load(p), store(p, v), add, mul, fma(a, b, c), min, max (the second where one is NaN), divide
//   V::times_power(x, n)                     2^n x, of integers n as floats, with 1.5 * 2^23 added
//   V::sum(v), greatest(v)                   of the lanes

#include <algorithm>
#include <cstdint>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

constexpr int64_t kTileKeys = 64;

/// e^x by the polynomial of exp_fp32() (base/simd/simd_math.h), but x below -87 counts as -87, above 88 as 88.
template <class V>
inline typename V::Float exp_of(typename V::Float x) {
  const auto clamped = V::min(V::set(88.0f), V::max(V::set(-87.0f), x));
  const auto shifted = V::fma(clamped, V::set(1.44269504f), V::set(12582912.0f));
  const auto n = V::add(shifted, V::set(-12582912.0f));
  auto r = V::fma(n, V::set(-0.693145752f), clamped);
  r = V::fma(n, V::set(-1.42860682e-6f), r);
  auto p = V::set(1.0f / 5040);
  for (const float term : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = V::fma(p, r, V::set(term));
  return V::times_power(p, shifted);
}

/// What makes scores of products; distance: the first key's position less the query's. Scales of kept integers, of
/// each key, or null.
struct ScoreTerms {
  float scale = 1, softcap = 0, slope = 0;
  int64_t distance = 0;
  const float *key_scales = nullptr, *value_scales = nullptr;
};

/// Products of a query with a tile's keys in `row` to what their values are multiplied by, of keys [first, last), of
/// which there are some; the others become 0. `most` and `sum` go on; scores of -inf alone leave them as they are.
/// Returns what the values before are multiplied by.
template <class V>
[[gnu::noinline]] float soften_row(const ScoreTerms& terms, int64_t first, int64_t last, float* row, float& most,
                                   float& sum) {
  using Float = typename V::Float;
  constexpr int64_t kLanes = V::kLanes;
  constexpr int kVectors = kTileKeys / kLanes;
  alignas(64) static constexpr float kSteps[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Float s[kVectors];
  for (int i = 0; i < kVectors; ++i) s[i] = V::mul(V::load(row + i * kLanes), V::set(terms.scale));
  if (terms.key_scales != nullptr) {
    for (int i = 0; i < kVectors; ++i) s[i] = V::mul(s[i], V::load(terms.key_scales + i * kLanes));
  }
  if (terms.slope != 0) {
    for (int i = 0; i < kVectors; ++i) {
      const Float away = V::add(V::load(kSteps), V::set(static_cast<float>(i * kLanes + terms.distance)));
      s[i] = V::fma(away, V::set(terms.slope), s[i]);
    }
  }
  if (terms.softcap > 0) {
#pragma GCC unroll 1  // few models want it
    for (Float& score : s) {
      // tanh x = 2 / (1 + e^(-2 x)) - 1
      const Float below = V::add(V::set(1.0f), exp_of<V>(V::mul(score, V::set(-2 / terms.softcap))));
      score = V::fma(V::divide(V::set(2.0f), below), V::set(terms.softcap), V::set(-terms.softcap));
    }
  }
  if (first > 0 || last < kTileKeys) {
    for (int i = 0; i < kVectors; ++i) V::store(row + i * kLanes, s[i]);
    std::fill(row, row + first, kNoScore), std::fill(row + last, row + kTileKeys, kNoScore);
    for (int i = 0; i < kVectors; ++i) s[i] = V::load(row + i * kLanes);
  }
  Float greatest = V::set(most);
  for (const Float& score : s) greatest = V::max(greatest, score);
  const float peak = V::greatest(greatest);
  Float total = V::zero();
  for (Float& score : s) score = exp_of<V>(V::add(score, V::set(-peak))), total = V::add(total, score);
  if (terms.value_scales != nullptr) {
    for (int i = 0; i < kVectors; ++i) s[i] = V::mul(s[i], V::load(terms.value_scales + i * kLanes));
  }
  for (int i = 0; i < kVectors; ++i) V::store(row + i * kLanes, s[i]);
  const float added = V::sum(total);
  if (peak <= kNoScore && added == added) {  // every score is -inf, and no NaN hides behind the peak
    std::fill(row, row + kTileKeys, 0.0f);
    return 1;
  }
  std::fill(row, row + first, 0.0f), std::fill(row + last, row + kTileKeys, 0.0f);
  float shrink = 1;
  if (most != peak) {
    alignas(64) float lanes[kLanes];
    V::store(lanes, exp_of<V>(V::set(most - peak)));
    shrink = lanes[0], most = peak;
  }
  sum = sum * shrink + added;
  return shrink;
}

}  // namespace
}  // namespace bitloom
