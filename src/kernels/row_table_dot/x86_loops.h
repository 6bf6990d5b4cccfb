#pragma once
// The loops of the x86 kernels. In an unnamed namespace: sources with flags of their own include it. An ISA's type V
// has
//
//   V::kLanes                      columns of one step, a multiple of 8
//   V::Float                       kLanes floats; zero(), fma(a, b, c) = a b + c, sum(a) in a fixed order
//   V::load(x, count)              count <= kLanes floats, zeros above
//   V::first(a, count)             a's first count <= kLanes floats, zeros above
//   V::codes<kBits>(p, end)        kLanes codes in lanes of 32 bits; nothing at `end` or beyond is read
//   V::Table<kBits>                of levels [max(16, 2^kBits)]; look_up(codes): their levels

#include <algorithm>

#include "kernels/row_table_dot/row_table_dot.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// Levels of a table in fp32, over and over up to 16.
template <int kBits>
inline void widen_table(const std::byte* halves, float* levels) {
  constexpr int kLevels = 1 << kBits;
  if constexpr (kLevels >= 8) {
    for (int i = 0; i < kLevels; i += 8) {
      const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + 2 * i));
      _mm256_storeu_ps(levels + i, _mm256_cvtph_ps(eight));
    }
  } else {
    uint64_t bits = 0;
    __builtin_memcpy(&bits, halves, 2 * kLevels);
    _mm_storeu_ps(levels, _mm_cvtph_ps(_mm_cvtsi64_si128(static_cast<int64_t>(bits))));
  }
  for (int i = kLevels; i < 16; ++i) levels[i] = levels[i - kLevels];
}

template <class V, int kBits>
class RowTableLoop {
 public:
  explicit RowTableLoop(const RowTableDotCall& call)
      : call_(call),
        w_(call.w),
        row_bytes_((w_.cols * kBits + 7) / 8),
        groups_((w_.cols + w_.group - 1) / w_.group),
        end_(w_.codes + w_.rows * row_bytes_) {}

  void run() const {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      float* y = call_.y + t * call_.y_stride;
      int64_t r = call_.first;
      for (; r + kRows <= call_.last; r += kRows) rows<kRows>(call_.x + t * w_.cols, r, y);
      for (; r < call_.last; ++r) rows<1>(call_.x + t * w_.cols, r, y);
    }
  }

 private:
  static constexpr int kRows = 4;  // they share each load of x
  static constexpr int64_t kLevels = int64_t{1} << kBits, kStep = V::kLanes;
  using Float = typename V::Float;
  using Table = typename V::template Table<kBits>;

  template <int kCount>
  void rows(const float* x, int64_t first, float* y) const {
    Float sums[kCount];
    for (Float& sum : sums) sum = V::zero();
    for (int64_t g = 0; g < groups_; ++g) {
      alignas(64) float levels[kCount][kLevels < 16 ? 16 : kLevels];
      for (int i = 0; i < kCount; ++i) {
        widen_table<kBits>(w_.tables + 2 * kLevels * ((first + i) / w_.table_rows * groups_ + g), levels[i]);
      }
      const int64_t begin = g * w_.group, end = std::min(w_.cols, begin + w_.group);
      group<kCount>(x, first, begin, end, levels, sums);
    }
    for (int i = 0; i < kCount; ++i) y[first + i] = V::sum(sums[i]);
  }

  template <int kCount, typename Levels>
  void group(const float* x, int64_t first, int64_t begin, int64_t end, const Levels& levels,
             Float (&sums)[kCount]) const {
    const std::byte* row = w_.codes + first * row_bytes_;
    for (int64_t c = begin; c < end; c += kStep) {
      const int64_t count = std::min(kStep, end - c);
      const Float input = V::load(x + c, count);
      const int64_t at = c * kBits / 8;
      for (int i = 0; i < kCount; ++i) {
        const std::byte* codes = row + i * row_bytes_ + at;
        if (c % 64 == 0) _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T1);
        const Float found = Table(levels[i]).look_up(V::template codes<kBits>(codes, end_));
        // A level that is not finite, of codes behind the group, is not undone by an input of 0.
        sums[i] = V::fma(count == kStep ? found : V::first(found, count), input, sums[i]);
      }
    }
  }
  static constexpr int64_t kAhead = 8192;  // bytes that are fetched before their turn

  const RowTableDotCall& call_;
  const RowTables& w_;
  int64_t row_bytes_, groups_;
  const std::byte* end_;
};

template <class V>
void run_row_table_dot(const RowTableDotCall& call) {
  using Run = void (*)(const RowTableDotCall&);
  constexpr Run kRuns[] = {[](const RowTableDotCall& c) { RowTableLoop<V, 1>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 2>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 3>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 4>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 5>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 6>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 7>(c).run(); },
                           [](const RowTableDotCall& c) { RowTableLoop<V, 8>(c).run(); }};
  kRuns[call.w.bits - 1](call);
}

}  // namespace
}  // namespace bitloom
