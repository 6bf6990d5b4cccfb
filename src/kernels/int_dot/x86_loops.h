#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V with the vector steps below and kinds of
// codes, and calls run_int_dot; everything here is in an unnamed namespace, so that no ISA's code is linked into
// another's.
//
//   V::Bytes, V::Int, V::Float, V::kLanes     kLanes lanes of 32 bits: 4 kLanes bytes, kLanes integers or floats
//   V::load, load_int, load_float             from any address
//   V::dot<kWide>(Int a, Bytes u, Bytes s)    a + sums of fours of unsigned u times signed s; u < 128 unless kWide
//   V::shift8(a), V::add, V::multiply         a 2^8, a + b, a b of integers
//   V::to_float(Int), mul, fma, sum           of floats; sum adds the lanes in a fixed order
//   V::spread(const float* s, Int i)          lane l: s[i[l]], i < 16, reads s[0 .. kLanes)
//   V::groups_of(int32_t first, int32_t lane_columns, int32_t group)   lane l: (first + l lane_columns) / group
//
// A kind of codes C is made from the matrix and says how codes become bytes:
//
//   C::kVectors      1: bytes in the order of columns; 2: InputOrder::kNibbles; 4: kSixteens or kStrides
//   C::kWide         a lane's sum of 24-bit products may pass 31 bits, or a byte 127
//   c.offset         what bytes are above their levels (codes above their zero points: see zeros)
//   c.bytes(row, column, end, out[kVectors])  of the chunk of a row that begins at `column`; nothing is read at `end`
//   c.bytes_to(column)                        bytes of a row before that column, about
//   C::kBlocks                                scales lie in ggml's blocks (C::scales), not beside the codes
//   C::kMinimums                              so do minimums

#include <algorithm>

#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/x86_scales.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

constexpr int kRowsTogether = 8;    // they share each load of x
constexpr int kTokensTogether = 8;  // they share a row's scales

/// At least so many bytes ahead of the rows at work are fetched, to the second cache, whose queue is the longer one:
/// whole rows ahead, since the hardware finds no stream in several short ones.
constexpr int64_t kAhead = 8192;

/// What is alike in all bitstreams.
template <int kBits_>
struct Bitstream {
  static constexpr int kBits = kBits_;
  static constexpr bool kBlocks = false, kMinimums = false;
  static int64_t bytes_to(int64_t column) { return column / 8 * kBits; }
};

template <class V, class C, int kPlanes>
class IntDotLoop {
 public:
  explicit IntDotLoop(const IntDotCall& call) : call_(call), w_(call.w), codes_(call.w), real_(call.w) {
    whole_chunks_ = w_.group % kChunk == 0 || w_.group >= w_.cols;
    end_ = w_.codes + w_.rows * w_.row_bytes;
    groups_ = (w_.cols + w_.group - 1) / w_.group;
    const int64_t together = kRowsTogether * w_.row_bytes;
    ahead_ = (kAhead + together - 1) / together * together;
  }

  void run() const {
    int64_t r = call_.first;
    for (; r + kRowsTogether <= call_.last; r += kRowsTogether) rows<kRowsTogether>(r);
    for (; r < call_.last; ++r) rows<1>(r);
  }

 private:
  using Float = typename V::Float;
  using Int = typename V::Int;
  using Bytes = typename V::Bytes;
  static constexpr int64_t kLaneColumns = 4 * C::kVectors, kChunk = V::kLanes * kLaneColumns;
  static constexpr int64_t kOrderColumns = 64 * C::kVectors;

  /// The widened scales of some rows in one segment of columns.
  template <int kRows>
  struct Segment {
    Row rows[kRows];
    int64_t first_group, groups, first_column, columns;
    alignas(64) float scales[kRows][kSegmentGroups + 32];
    float minimums[kRows][C::kMinimums || !C::kBlocks ? kSegmentGroups : 1];
    SecondNumbers second;
  };

  template <int kRows>
  void rows(int64_t r) const {
    for (int64_t t = 0; t < call_.tokens; t += kTokensTogether) {
      rows_of_tokens<kRows>(r, t, std::min<int64_t>(t + kTokensTogether, call_.tokens));
    }
  }

  /// Every row's sum runs in the same order whatever the rows and tokens beside it. What is done once for a segment of
  /// thousands of columns is neither unrolled nor inlined: in fifty forms that would be half a megabyte an ISA.
  template <int kRows>
  void rows_of_tokens(int64_t r, int64_t first, int64_t last) const {
    Segment<kRows> segment;
#pragma GCC unroll 1
    for (int i = 0; i < kRows; ++i) segment.rows[i] = row_of(w_, r + i);
    Float sums[kTokensTogether][kRows];
    float zeros[kTokensTogether][kRows] = {};
#pragma GCC unroll 1
    for (int64_t t = 0; t < last - first; ++t) {
#pragma GCC unroll 1
      for (int i = 0; i < kRows; ++i) sums[t][i] = V::zero();
    }
    for (int64_t g = 0; g < groups_; g += kSegmentGroups) {
      segment.first_group = g, segment.groups = std::min(kSegmentGroups, groups_ - g);
      segment.first_column = g * w_.group;
      segment.columns = std::min(w_.cols - segment.first_column, kSegmentGroups * w_.group);
      widen(segment);
      for (int64_t t = first; t < last; ++t) {
        add_products<kRows>(segment, t, sums[t - first]);
        if (!C::kMinimums && w_.zeros == nullptr) continue;
#pragma GCC unroll 1
        for (int i = 0; i < kRows; ++i) {
          zeros[t - first][i] += constant_part(segment, i, call_.group_sums + t * groups_);
        }
      }
    }
#pragma GCC unroll 1
    for (int64_t t = first; t < last; ++t) {
      float* y = call_.y + t * call_.y_stride + r;
#pragma GCC unroll 1
      for (int i = 0; i < kRows; ++i) y[i] = w_.factor * (V::sum(sums[t - first][i]) + zeros[t - first][i]);
    }
  }

  template <int kRows>
  [[gnu::noinline]] void widen(Segment<kRows>& segment) const {
    const int64_t first = segment.first_group, count = segment.groups;
#pragma GCC unroll 1
    for (int i = 0; i < kRows; ++i) {
      const Row& row = segment.rows[i];
      if constexpr (C::kBlocks) {
        C::scales(row.codes, first, count, segment.scales[i], segment.minimums[i]);
        for (int k = 0; k < 16; ++k) segment.scales[i][count + k] = 0;
      } else if (w_.real_zeros) {
        if (i == 0 || row.second != segment.rows[i - 1].second) widen_second(row, first, count, segment.second);
        real_.widen(row, segment.second, first, count, codes_.offset, segment.scales[i], segment.minimums[i]);
      } else {
        widen_scales(w_, row, first, count, segment.scales[i]);
      }
    }
  }

  /// What groups of columns add whatever their codes.
  template <int kRows>
  float constant_part(const Segment<kRows>& segment, int row, const float* sums) const {
    const int64_t first = segment.first_group, groups = segment.groups;
    if (C::kMinimums || w_.real_zeros) return minimums_part(segment.minimums[row], groups, sums + first);
    return zeros_part(segment.rows[row], C::kBits, codes_.offset, segment.scales[row], first, groups, sums);
  }

  /// The input of one chunk.
  struct Input {
    Bytes digits[kPlanes][C::kVectors];
    Int high_start, rest_start;  // minus the offset times the sums of digits
    Float scales;
  };
  Input input_of(int64_t t, int64_t column) const {
    const RoundedInput& x = call_.rounded;
    Input in;
    const int64_t lane = (t * x.stride + column) / kLaneColumns;
    // A vector of an order has 64 bytes, of which those of a chunk may be a part.
    const int64_t within = column % kOrderColumns, at = column - within + within / C::kVectors;
    for (int p = 0; p < kPlanes; ++p) {
      for (int v = 0; v < C::kVectors; ++v) {
        in.digits[p][v] = V::load(x.digits + (t * kPlanes + p) * x.stride + at + v * 64);
      }
    }
    const Int minus = V::set_int(-codes_.offset);
    in.high_start = V::multiply(V::load_int(x.high_sums + lane), minus);
    in.rest_start = in.high_start;
    if constexpr (kPlanes == 3) in.rest_start = V::multiply(V::load_int(x.rest_sums + lane), minus);
    in.scales = V::load_float(x.scales + lane);
    return in;
  }

  /// sum of (byte - offset) q per lane.
  static Float product(const Bytes (&u)[C::kVectors], const Input& in) {
    Int high = in.high_start;
    for (int v = 0; v < C::kVectors; ++v) high = V::template dot<C::kWide>(high, u[v], in.digits[0][v]);
    if constexpr (kPlanes == 1) {
      return V::to_float(high);
    } else {
      Int middle = V::zero_int(), low = in.rest_start;
      if constexpr (!C::kWide) middle = V::shift8(high);
      for (int v = 0; v < C::kVectors; ++v) middle = V::template dot<C::kWide>(middle, u[v], in.digits[1][v]);
      for (int v = 0; v < C::kVectors; ++v) low = V::template dot<C::kWide>(low, u[v], in.digits[2][v]);
      low = V::add(V::shift8(middle), low);
      if constexpr (!C::kWide) return V::to_float(low);
      return V::fma(V::to_float(high), V::set(65536), V::to_float(low));
    }
  }

  /// By the form of add_segment() for chunks that lie within one group where that may be. Few rows are left over: they
  /// have one form, of equal bits.
  template <int kRows>
  void add_products(const Segment<kRows>& segment, int64_t t, Float (&sums)[kRows]) const {
    if constexpr (kRows == 1) {
      add_segment<kRows, false>(segment, t, sums);
    } else if constexpr (C::kBlocks) {
      add_segment<kRows, C::kGroup % kChunk == 0>(segment, t, sums);
    } else if (whole_chunks_) {
      add_segment<kRows, true>(segment, t, sums);
    } else {
      add_segment<kRows, false>(segment, t, sums);
    }
  }

  template <int kRows, bool kWhole>
  void add_segment(const Segment<kRows>& segment, int64_t t, Float (&sums)[kRows]) const {
    Float total[kRows];
    for (int i = 0; i < kRows; ++i) total[i] = sums[i];
    int64_t g = 0, in_group = 0;  // of the chunk's first column
    for (int64_t c = 0; c < segment.columns; c += kChunk) {
      const int64_t column = segment.first_column + c, at = codes_.bytes_to(column);
      const Input in = input_of(t, column);
      Int groups;
      if constexpr (!kWhole) {
        groups = V::groups_of(static_cast<int32_t>(in_group), kLaneColumns, static_cast<int32_t>(w_.group));
      }
      for (int i = 0; i < kRows; ++i) {
        Bytes u[C::kVectors];
        const auto* ahead = reinterpret_cast<const char*>(segment.rows[i].codes + at) + ahead_;
        _mm_prefetch(ahead, _MM_HINT_T1);
        if constexpr (kChunk * C::kBits / 8 > 64) _mm_prefetch(ahead + 64, _MM_HINT_T1);
        codes_.bytes(segment.rows[i].codes, column, end_, u);
        Float scale;
        if constexpr (kWhole) {
          scale = V::set(segment.scales[i][g]);
        } else {
          scale = V::spread(segment.scales[i] + g, groups);
        }
        total[i] = V::fma(V::mul(product(u, in), in.scales), scale, total[i]);
      }
      for (in_group += kChunk; in_group >= w_.group && g + 1 < segment.groups; in_group -= w_.group) ++g;
    }
    for (int i = 0; i < kRows; ++i) sums[i] = total[i];
  }

  const IntDotCall& call_;
  const IntRows& w_;
  C codes_;
  RealScales real_;
  bool whole_chunks_;
  const std::byte* end_;
  int64_t groups_, ahead_;
};

template <class V, class C, int kPlanes>
void run_int_dot(const IntDotCall& call) {
  IntDotLoop<V, C, kPlanes>(call).run();
}

}  // namespace
}  // namespace bitloom
