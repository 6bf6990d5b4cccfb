#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V and calls run_dense_dot; everything here is
// in an unnamed namespace, so that no ISA's code is linked into another's.
//
//   V::Float, V::kLanes            kLanes floats
//   V::zero(), load(p), fma(a, b, c), sum(v)
//   V::widen<dtype>(p)             kLanes weights at p

#include <cstring>

#include "kernels/dense_dot/dense_dot.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

constexpr int kDenseRows = 4;  // they share each load of x

/// Every row's sum runs in the same order whatever the rows beside it.
template <class V, DType kType, int kRows>
void dense_rows(const DenseDotCall& call, int64_t r) {
  constexpr int64_t kSize = kType == DType::kF32 ? 4 : 2;
  const std::byte* rows[kRows];
  for (int i = 0; i < kRows; ++i) {
    rows[i] = call.w + (call.order == nullptr ? r + i : call.order[r + i]) * call.cols * kSize;
  }
  const int64_t whole = call.cols / V::kLanes * V::kLanes, rest = call.cols - whole;
  const int64_t ahead = kRows * call.cols * kSize;  // of the rows that come next
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * call.cols;
    typename V::Float sums[kRows];
    for (int i = 0; i < kRows; ++i) sums[i] = V::zero();
    for (int64_t c = 0; c < whole; c += V::kLanes) {
      const typename V::Float values = V::load(x + c);
      for (int i = 0; i < kRows; ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(rows[i] + c * kSize + ahead), _MM_HINT_T0);
        sums[i] = V::fma(V::template widen<kType>(rows[i] + c * kSize), values, sums[i]);
      }
    }
    if (rest > 0) {
      float values[V::kLanes] = {};
      std::memcpy(values, x + whole, static_cast<size_t>(rest) * sizeof(float));
      for (int i = 0; i < kRows; ++i) {
        std::byte weights[V::kLanes * kSize] = {};
        std::memcpy(weights, rows[i] + whole * kSize, static_cast<size_t>(rest * kSize));
        sums[i] = V::fma(V::template widen<kType>(weights), V::load(values), sums[i]);
      }
    }
    for (int i = 0; i < kRows; ++i) call.y[t * call.y_stride + r + i] = V::sum(sums[i]);
  }
}

template <class V, DType kType>
void run_dense_dot(const DenseDotCall& call) {
  int64_t r = call.first;
  for (; r + kDenseRows <= call.last; r += kDenseRows) dense_rows<V, kType, kDenseRows>(call, r);
  for (; r < call.last; ++r) dense_rows<V, kType, 1>(call, r);
}

}  // namespace
}  // namespace bitloom
