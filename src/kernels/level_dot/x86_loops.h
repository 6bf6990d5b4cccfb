#pragma once
// The loops of the x86 kernels. In an unnamed namespace: sources with flags of their own include it. An ISA's type V is
// that of row_table_dot/x86_loops.h, with
//
//   V::set(x)                  x in every lane
//   V::halves(p, shift, mask)  kLanes bytes at p, their signs extended, shifted left and masked, as fp16

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/int_dot/x86_scales.h"
#include "kernels/level_dot/level_dot.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// How kLanes codes become levels: by look-up (in a table over and over up to 16), or as shifted halves. Of the first
/// `count`, zeros above: codes beyond a row are another's, and their levels may be no numbers, which x = 0 would keep.
template <class V, int kBits>
struct TableLevels {
  alignas(64) float levels[std::max(16, 1 << kBits)];
  const std::byte* end;
  explicit TableLevels(const LevelRows& w) : end(w.w.codes + w.w.rows * w.w.row_bytes) {
    for (size_t i = 0; i < std::size(levels); ++i) levels[i] = w.levels[i % (size_t{1} << kBits)];
  }
  typename V::Float at(const std::byte* p, int64_t count) const {
    return V::first(typename V::template Table<kBits>(levels).look_up(V::template codes<kBits>(p, end)), count);
  }
};

template <class V>
struct HalfLevels {
  int shift;
  int16_t mask;  // of the sign and the magnitude
  explicit HalfLevels(const LevelRows& w)
      : shift(w.half_shift), mask(static_cast<int16_t>(0x8000 | 127 << w.half_shift)) {}
  typename V::Float at(const std::byte* p, int64_t count) const {
    if (count >= V::kLanes) return V::halves(p, shift, mask);
    std::byte few[V::kLanes] = {};
    std::memcpy(few, p, static_cast<size_t>(count));
    return V::halves(few, shift, mask);
  }
};

template <class V, int kBits, class Levels>
class LevelLoop {
 public:
  explicit LevelLoop(const LevelDotCall& call)
      : call_(call), w_(call.w.w), levels_(call.w), groups_((w_.cols + w_.group - 1) / w_.group) {}

  void run() const {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      float* y = call_.y + t * call_.y_stride;
      int64_t r = call_.first;
      for (; r + kRows <= call_.last; r += kRows) rows<kRows>(call_.x + t * w_.cols, r, y);
      for (; r < call_.last; ++r) rows<1>(call_.x + t * w_.cols, r, y);
    }
  }

 private:
  static constexpr int kRows = 4;                             // they share each load of x
  static constexpr int64_t kStep = V::kLanes, kAhead = 8192;  // columns; bytes that are fetched before their turn
  using Float = typename V::Float;

  template <int kCount>
  void rows(const float* x, int64_t first, float* y) const {
    Row row[kCount];
    Float total[kCount];
    for (int i = 0; i < kCount; ++i) row[i] = row_of(w_, first + i), total[i] = V::zero();
    float scales[kCount][kSegmentGroups + 32];
    for (int64_t g = 0; g < groups_; ++g) {
      const int64_t in_segment = g % kSegmentGroups;
      for (int i = 0; in_segment == 0 && i < kCount; ++i) {
        widen_scales(w_, row[i], g, std::min(kSegmentGroups, groups_ - g), scales[i]);
      }
      const int64_t begin = g * w_.group, end = std::min(w_.cols, begin + w_.group);
      Float sums[kCount];
      for (Float& sum : sums) sum = V::zero();
      int64_t c = begin;
      for (; c + kStep <= end; c += kStep) step<kCount>(x, row, c, kStep, sums);
      if (c < end) step<kCount>(x, row, c, end - c, sums);
      for (int i = 0; i < kCount; ++i) total[i] = V::fma(V::set(scales[i][in_segment]), sums[i], total[i]);
    }
    for (int i = 0; i < kCount; ++i) y[first + i] = w_.factor * V::sum(total[i]);
  }

  /// Of `count` columns from c on.
  template <int kCount>
  void step(const float* x, const Row (&row)[kCount], int64_t c, int64_t count, Float (&sums)[kCount]) const {
    const Float input = V::load(x + c, count);
    for (int i = 0; i < kCount; ++i) {
      const std::byte* codes = row[i].codes + c * kBits / 8;
      if (c % 64 == 0) _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T1);
      sums[i] = V::fma(levels_.at(codes, count), input, sums[i]);
    }
  }

  const LevelDotCall& call_;
  const IntRows& w_;
  Levels levels_;
  int64_t groups_;
};

template <class V>
void run_level_dot(const LevelDotCall& call) {
  if (call.w.half_shift != 0) return LevelLoop<V, 8, HalfLevels<V>>(call).run();
  using Run = void (*)(const LevelDotCall&);
  constexpr Run kRuns[] = {[](const LevelDotCall& c) { LevelLoop<V, 1, TableLevels<V, 1>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 2, TableLevels<V, 2>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 3, TableLevels<V, 3>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 4, TableLevels<V, 4>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 5, TableLevels<V, 5>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 6, TableLevels<V, 6>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 7, TableLevels<V, 7>>(c).run(); },
                           [](const LevelDotCall& c) { LevelLoop<V, 8, TableLevels<V, 8>>(c).run(); }};
  kRuns[call.w.bits - 1](call);
}

}  // namespace
}  // namespace bitloom
