#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V and calls run_dense_dot; everything here is
// in an unnamed namespace, so that no ISA's code is linked into another's.
//
//   V::Float, V::kLanes            kLanes floats
//   V::kTokens                     tokens that share each load of weights
//   V::zero(), load(p), store(p, v), fma(a, b, c), sum(v)
//   V::widen<dtype>(p)             kLanes weights at p

#include <algorithm>
#include <cstring>

#include "kernels/dense_dot/dense_dot.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

constexpr int kDenseRows = 4;  // they share each load of x
template <DType kType>
constexpr int64_t kDenseSize = kType == DType::kF32 ? 4 : 2;  // bytes of a weight

/// What a block fetches of the rows that come `bytes` after its own: those whose bit is set.
struct RowsAhead {
  int64_t bytes;
  unsigned rows;
};

/// Tokens [token, token + kTokens) of rows [r, r + kRows). Every sum runs in the same order whatever the rows and
/// tokens beside it.
template <class V, DType kType, int kRows, int kTokens>
[[gnu::noinline]] void dense_block(const DenseDotCall& call, int64_t r, int64_t token, const RowsAhead& ahead) {
  constexpr int64_t kSize = kDenseSize<kType>;
  const std::byte* rows[kRows];
  for (int i = 0; i < kRows; ++i) {
    rows[i] = call.w + (call.order == nullptr ? r + i : call.order[r + i]) * call.cols * kSize;
  }
  const float* x[kTokens];
  for (int t = 0; t < kTokens; ++t) x[t] = call.x + (token + t) * call.cols;
  typename V::Float sums[kRows][kTokens];
#pragma GCC unroll 4
  for (auto& of_row : sums) {
#pragma GCC unroll 4
    for (auto& sum : of_row) sum = V::zero();
  }
  const int64_t whole = call.cols / V::kLanes * V::kLanes, rest = call.cols - whole;
  // Weights of several passes are read again from the second cache: the first one has the inputs.
  constexpr auto kCache = kTokens == 1 ? _MM_HINT_T0 : _MM_HINT_T1;
  for (int64_t c = 0; c < whole; c += V::kLanes) {
    typename V::Float values[kTokens];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) values[t] = V::load(x[t] + c);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      if ((ahead.rows >> i & 1) != 0) {
        _mm_prefetch(reinterpret_cast<const char*>(rows[i] + c * kSize + ahead.bytes), kCache);
      }
      const typename V::Float weights = V::template widen<kType>(rows[i] + c * kSize);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[i][t] = V::fma(weights, values[t], sums[i][t]);
    }
  }
  if (rest > 0) {
    std::byte weights[kRows][V::kLanes * kSize] = {};
    float values[kTokens][V::kLanes] = {};
    for (int i = 0; i < kRows; ++i) std::memcpy(weights[i], rows[i] + whole * kSize, static_cast<size_t>(rest * kSize));
    for (int t = 0; t < kTokens; ++t) std::memcpy(values[t], x[t] + whole, static_cast<size_t>(rest) * sizeof(float));
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const typename V::Float of_row = V::template widen<kType>(weights[i]);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) sums[i][t] = V::fma(of_row, V::load(values[t]), sums[i][t]);
    }
  }
  float lanes[kTokens][kRows][V::kLanes];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) V::store(lanes[t][i], sums[i][t]);
  }
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 1  // once a row: small code
    for (int i = 0; i < kRows; ++i) call.y[(token + t) * call.y_stride + r + i] = V::sum(V::load(lanes[t][i]));
  }
}

/// Where tokens take several passes, 16 rows are read by all of them before the next: these tokens' inputs stay in the
/// first cache meanwhile, and each pass fetches its share of the rows that follow.
template <class V, DType kType>
void run_dense_dot(const DenseDotCall& call) {
  const int64_t passes = call.tokens / V::kTokens + call.tokens % V::kTokens;
  const int64_t together = passes == 1 ? kDenseRows : 4 * kDenseRows;
  const int64_t last = call.first + (call.last - call.first) / kDenseRows * kDenseRows;
  for (int64_t first = call.first, end; first < last; first = end) {
    end = std::min(first + together, last);
    int64_t pass = 0, t = 0;
    const auto blocks = [&](auto block) {
      RowsAhead ahead = {together * call.cols * kDenseSize<kType>, 0};
      for (int64_t i = pass; i < kDenseRows; i += passes) ahead.rows |= 1U << i;
      for (int64_t r = first; r < end; r += kDenseRows) block(call, r, t, ahead);
      ++pass;
    };
    for (; t + V::kTokens <= call.tokens; t += V::kTokens) blocks(dense_block<V, kType, kDenseRows, V::kTokens>);
    for (; t < call.tokens; ++t) blocks(dense_block<V, kType, kDenseRows, 1>);
  }
  for (int64_t r = last; r < call.last; ++r) {
    for (int64_t t = 0; t < call.tokens; ++t) dense_block<V, kType, 1, 1>(call, r, t, {});
  }
}

}  // namespace
}  // namespace bitloom
