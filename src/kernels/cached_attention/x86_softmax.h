#pragma once
// The softmax of a row of scores that goes on, over a type V of vectors. In an unnamed namespace, so that no ISA's code
// is linked into another's.
//
//   V::Float, V::kLanes                      kLanes floats
//   V::zero(), set(x), load(p), store(p, v), add, mul, fma(a, b, c), min, max (the second where one is NaN), divide
//   V::power(n)                              2^n, of integers n as floats, with 1.5 * 2^23 added
//   V::sum(v), greatest(v)                   of the lanes

#include <algorithm>
#include <cstdint>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// e^x by the polynomial of exp_fp32() (base/simd_math.h), but x below -87 counts as -87, above 88 as 88.
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
  return V::mul(p, V::power(shifted));
}

/// What makes scores of products; distance: the first key's position less the query's. Scales of kept integers, of
/// each key, or null.
struct ScoreTerms {
  float scale = 1, softcap = 0, slope = 0;
  int64_t distance = 0;
  const float *key_scales = nullptr, *value_scales = nullptr;
};

/// Products of a query with keys in `row` to what their values are multiplied by, of keys [first, last), of which there
/// are some. `row` has whole vectors, whose other lanes are left at e^-87 or less. `most` and `sum` go on; scores of
/// -inf alone leave them as they are. Returns what the values before are multiplied by.
template <class V>
float soften_row(const ScoreTerms& terms, int64_t first, int64_t last, float* row, float& most, float& sum) {
  using Float = typename V::Float;
  alignas(64) static constexpr float kSteps[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const int64_t begin = first / V::kLanes * V::kLanes, end = (last + V::kLanes - 1) / V::kLanes * V::kLanes;
  const Float scale = V::set(terms.scale);
  for (int64_t j = begin; j < end; j += V::kLanes) {
    Float s = V::mul(V::load(row + j), scale);
    if (terms.key_scales != nullptr) s = V::mul(s, V::load(terms.key_scales + j));
    if (terms.slope != 0) {
      const Float away = V::add(V::load(kSteps), V::set(static_cast<float>(j + terms.distance)));
      s = V::fma(away, V::set(terms.slope), s);
    }
    if (terms.softcap > 0) {
      // tanh x = 2 / (1 + e^(-2 x)) - 1
      const Float below = V::add(V::set(1.0f), exp_of<V>(V::mul(s, V::set(-2 / terms.softcap))));
      s = V::fma(V::divide(V::set(2.0f), below), V::set(terms.softcap), V::set(-terms.softcap));
    }
    V::store(row + j, s);
  }
  std::fill(row + begin, row + first, kNoScore), std::fill(row + last, row + end, kNoScore);
  Float greatest = V::set(most);
  for (int64_t j = begin; j < end; j += V::kLanes) greatest = V::max(greatest, V::load(row + j));
  const float peak = V::greatest(greatest);
  Float total = V::zero();
  for (int64_t j = begin; j < end; j += V::kLanes) {
    Float p = exp_of<V>(V::add(V::load(row + j), V::set(-peak)));
    total = V::add(total, p);
    if (terms.value_scales != nullptr) p = V::mul(p, V::load(terms.value_scales + j));
    V::store(row + j, p);
  }
  const float added = V::sum(total);
  if (peak <= kNoScore && added == added) {  // every score is -inf, and no NaN hides behind the peak
    std::fill(row + begin, row + end, 0.0f);
    return 1;
  }
  float shrink = 1;
  if (most != peak) {
    alignas(64) float lanes[V::kLanes];
    V::store(lanes, exp_of<V>(V::set(most - peak)));
    shrink = lanes[0], most = peak;
  }
  sum = sum * shrink + added;
  return shrink;
}

}  // namespace
}  // namespace bitloom
