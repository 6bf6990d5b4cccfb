#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V with the vector steps below and kinds of
// codes, and calls run_int_dot; everything here is in an unnamed namespace, so that no ISA's code is linked into
// another's.
//
//   V::Bytes, V::Int, V::Float, V::kLanes     kLanes lanes of 32 bits: 4 kLanes bytes, kLanes integers or floats
//   V::load, load_int, load_float             from any address
//   V::dot<kWide>(Int a, Bytes u, Bytes s)    a + sums of fours of unsigned u times signed s; u < 128 unless kWide
//   V::shift8(a), V::add, V::multiply         a 2^8, a + b, a b of integers
//   V::to_float(Int), mul, fma, sums          of floats; sums adds the lanes of each of eight in a fixed order
//   V::widen_halves(p, count, out)            fp16 -> out, at an address divisible by 64, and 16 zeros after them
//   V::spread(const float* s, Int i)          lane l: s[i[l]], i < 16, reads s[0 .. kLanes)
//   V::groups_of(int32_t first, int32_t lane_columns, int32_t group)   lane l: (first + l lane_columns) / group
//
// A kind of codes C is made from the matrix and says how codes become bytes:
//
//   C::kVectors      1: bytes in the order of columns; 2: InputOrder::kNibbles; 4: kSixteens or kStrides
//   C::kWide         a lane's sum of 24-bit products may pass 31 bits, or a byte 127
//   c.offset         what bytes are above their levels (codes above their zero points: see zeros)
//   c.bytes(row, column, end, out[kVectors])  of the chunk of a row that begins at `column`; nothing is read at `end`,
//                                             a pointer or NoEnd, and never more than 6 kLanes bytes from its beginning
//   c.bytes_to(column)                        bytes of a row before that column: never fewer for a later one, nor more
//                                             than the row has
//   C::kBlocks                                scales lie in ggml's blocks (C::scales), not beside the codes
//   C::kMinimums                              so do minimums

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/x86_scales.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

constexpr int kRowsTogether = 8;    // they share each load of x
constexpr int kRowsAbreast = 2;     // of them, whose steps alternate: a row's own wait for each other
constexpr int kTokensTogether = 8;  // they share a row's scales

/// At least so many bytes ahead of the rows at work are fetched, to the second cache, whose queue is the longer one:
/// whole rows ahead, since the hardware finds no stream in several short ones. The rows that come next are fetched on
/// to the first cache, where so many bytes of them have room; of wider ones the next chunks.
constexpr int64_t kAhead = 16384, kSoon = 16384, kSoonOfWideRows = 256;

/// What is alike in all bitstreams.
template <int kBits_>
struct Bitstream {
  static constexpr int kBits = kBits_;
  static constexpr bool kBlocks = false, kMinimums = false;
  static int64_t bytes_to(int64_t column) { return column / 8 * kBits; }
};

/// An end that is never reached: what steps read before it lies in memory.
struct NoEnd {
  friend constexpr int64_t operator-(NoEnd, const std::byte*) { return std::numeric_limits<int64_t>::max(); }
};

/// Rows at work and their widened scales in one segment of columns.
struct Segment {
  Row rows[kRowsTogether];
  int64_t first_group, groups, first_column, columns;
  int64_t readable;  // bytes from the beginning of each row
  alignas(64) float scales[kRowsTogether][kSegmentGroups + 32];
  float minimums[kRowsTogether][kSegmentGroups];
  SecondNumbers second;
};

/// Where rows [r, r + count) lie; where fewer are left the last stands for those that are not there. Steps from row to
/// row, in registers: a Row that is read back has not been written yet.
[[gnu::noinline]] inline void find_rows(const IntRows& w, int64_t r, int64_t count, Segment& segment) {
  const std::byte* end = w.codes + w.rows * w.row_bytes;
  const bool apart = w.order != nullptr || w.group_rows != 1 || w.second.bits != 0;
  const int64_t zero_step = w.zeros == nullptr ? 0 : w.zero_row_bytes;
  Row row = row_of(w, r);
  segment.readable = end - row.codes;
#pragma GCC unroll 1
  for (int i = 0; i < kRowsTogether; ++i) {
    if (i > 0 && i < count) {
      if (apart) {
        row = row_of(w, r + i);
      } else {
        row.codes += w.row_bytes, row.scales += w.scale_row_bytes, row.zeros += zero_step;
      }
    }
    segment.rows[i] = row;
    segment.readable = std::min(segment.readable, end - row.codes);
  }
}

template <class V>
[[gnu::noinline]] void widen_segment(const IntRows& w, const RealScales& real, int offset, Segment& segment) {
  const int64_t first = segment.first_group, count = segment.groups;
#pragma GCC unroll 1
  for (int i = 0; i < kRowsTogether; ++i) {
    const Row& row = segment.rows[i];
    if (w.real_zeros) {
      if (i == 0 || row.second != segment.rows[i - 1].second) widen_second(row, first, count, segment.second);
      real.widen(row, segment.second, first, count, offset, segment.scales[i], segment.minimums[i]);
    } else if (w.scale_kind == ScaleKind::kF16) {
      V::widen_halves(row.scales + 2 * first, count, segment.scales[i]);
    } else {
      widen_scales(w, row, first, count, segment.scales[i]);
    }
  }
}

/// zeros[i] += what row i's groups add whatever their codes, of `bits` and `offset` above their levels; `sums` of
/// groups of the input.
[[gnu::noinline]] inline void add_constant_parts(const Segment& segment, bool minimums, int bits, int offset,
                                                 const float* sums, float (&zeros)[kRowsTogether]) {
  const int64_t first = segment.first_group, groups = segment.groups;
  for (int i = 0; i < kRowsTogether; ++i) {
    zeros[i] += minimums ? minimums_part(segment.minimums[i], groups, sums + first)
                         : zeros_part(segment.rows[i], bits, offset, segment.scales[i], first, groups, sums);
  }
}

/// The last chunks of rows beyond whose ends nothing may be read: copies of the rows from byte `at` on, less than
/// kReads, zeros after them; and where whole rows with such ends would begin.
template <int64_t kReads>
struct Ends {
  const std::byte* rows[kRowsTogether];
  std::byte of[kRowsTogether][2 * kReads];

  [[gnu::noinline]] void copy(const Segment& segment, int64_t row_bytes, int64_t at) {
    assert(at <= row_bytes && row_bytes - at < kReads);
    std::memset(of, 0, sizeof of);
    for (int i = 0; i < kRowsTogether; ++i) {
      std::memcpy(of[i], segment.rows[i].codes + at, static_cast<size_t>(row_bytes - at));
      rows[i] = of[i] - at;
    }
  }
};

template <class V, class C, int kPlanes>
class IntDotLoop {
 public:
  explicit IntDotLoop(const IntDotCall& call) : call_(call), w_(call.w), codes_(call.w), real_(call.w) {
    whole_chunks_ = w_.group % kChunk == 0 || w_.group >= w_.cols;
    aligned_ = (w_.group & (w_.group - 1)) == 0;
    chunk_groups_ = kChunk / w_.group, chunk_rest_ = kChunk % w_.group;
    lane_groups_ = V::groups_of(0, kLaneColumns, static_cast<int32_t>(w_.group));
    groups_ = (w_.cols + w_.group - 1) / w_.group;
    const int64_t together = kRows * w_.row_bytes;
    ahead_ = (kAhead + together - 1) / together * together;
    soon_ = together <= kSoon ? together : kSoonOfWideRows;
  }

  void run() const {
    for (int64_t r = call_.first; r < call_.last; r += kRows) {
      for (int64_t t = 0; t < call_.tokens; t += kTokensTogether) {
        rows_of_tokens(r, t, std::min<int64_t>(t + kTokensTogether, call_.tokens));
      }
    }
  }

 private:
  using Float = typename V::Float;
  using Int = typename V::Int;
  using Bytes = typename V::Bytes;
  static constexpr int kRows = kRowsTogether, kAbreast = kRowsAbreast;
  static constexpr int64_t kLaneColumns = 4 * C::kVectors, kChunk = V::kLanes * kLaneColumns;
  static constexpr int64_t kOrderColumns = 64 * C::kVectors;
  static constexpr int64_t kReads = 6 * V::kLanes;  // bytes from the beginning of a chunk, of c.bytes() at most

  /// Every row's sum runs in the same order whatever the rows and tokens beside it. What is done once for a segment of
  /// thousands of columns is neither unrolled nor inlined: in fifty forms that would be half a megabyte an ISA.
  [[gnu::noinline]] void rows_of_tokens(int64_t r, int64_t first, int64_t last) const {
    Segment segment;
    const int64_t count = std::min<int64_t>(kRows, call_.last - r);
    find_rows(w_, r, count, segment);
    Float sums[kTokensTogether][kRows];
    float zeros[kTokensTogether][kRows] = {};
    for (int64_t g = 0; g < groups_; g += kSegmentGroups) {
      segment.first_group = g, segment.groups = std::min(kSegmentGroups, groups_ - g);
      segment.first_column = g * w_.group;
      segment.columns = std::min(w_.cols - segment.first_column, kSegmentGroups * w_.group);
      if constexpr (C::kBlocks) {
#pragma GCC unroll 1
        for (int i = 0; i < kRows; ++i) {
          C::scales(segment.rows[i].codes, g, segment.groups, segment.scales[i], segment.minimums[i]);
          std::memset(segment.scales[i] + segment.groups, 0, 16 * sizeof(float));
        }
      } else {
        widen_segment<V>(w_, real_, codes_.offset, segment);
      }
      for (int64_t t = first; t < last; ++t) {
        add_products(segment, t, sums[t - first]);
        if (!C::kMinimums && w_.zeros == nullptr) continue;
        add_constant_parts(segment, C::kMinimums || w_.real_zeros, C::kBits, codes_.offset,
                           call_.group_sums + t * groups_, zeros[t - first]);
      }
    }
#pragma GCC unroll 1
    for (int64_t t = first; t < last; ++t) {
      float* y = call_.y + t * call_.y_stride + r;
      const __m256 all = _mm256_add_ps(V::sums(sums[t - first]), _mm256_loadu_ps(zeros[t - first]));
      alignas(32) float out[kRows];
      _mm256_store_ps(out, _mm256_mul_ps(_mm256_set1_ps(w_.factor), all));
      if (count == kRows) {
        std::memcpy(y, out, sizeof out);
      } else {
        std::memcpy(y, out, static_cast<size_t>(count) * sizeof *out);
      }
    }
  }

  /// The input of one chunk.
  struct Input {
    Bytes digits[kPlanes][C::kVectors];
    Int high_start, rest_start;  // minus the offset times the sums of digits
    Float scales;
  };
  /// Where those of a token lie, from a column on.
  struct InputPlace {
    const int8_t* digits;  // of the first plane
    const float* scales;
    const int32_t *high_sums, *rest_sums;
    InputPlace(const RoundedInput& x, int64_t t, int64_t column) : digits(x.digits + t * kPlanes * x.stride + column) {
      const int64_t lane = (t * x.stride + column) / kLaneColumns;
      scales = x.scales + lane, high_sums = x.high_sums + lane;
      rest_sums = kPlanes == 3 ? x.rest_sums + lane : nullptr;
    }
    void advance(int64_t chunk) {
      // A vector of an order has 64 bytes, of which those of a chunk may be a part.
      digits += kChunk == kOrderColumns ? kChunk
                : chunk % 2 == 0        ? kChunk / C::kVectors
                                        : kOrderColumns - kChunk / C::kVectors;
      scales += V::kLanes, high_sums += V::kLanes;
      if (kPlanes == 3) rest_sums += V::kLanes;
    }
  };
  Input input_at(const InputPlace& x) const {
    Input in;
    for (int p = 0; p < kPlanes; ++p) {
      for (int v = 0; v < C::kVectors; ++v) in.digits[p][v] = V::load(x.digits + p * call_.rounded.stride + v * 64);
    }
    const Int minus = V::set_int(-codes_.offset);
    in.high_start = V::multiply(V::load_int(x.high_sums), minus);
    in.rest_start = in.high_start;
    if constexpr (kPlanes == 3) in.rest_start = V::multiply(V::load_int(x.rest_sums), minus);
    in.scales = V::load_float(x.scales);
    return in;
  }

  /// sum of (byte - offset) q per lane, of rows whose steps alternate.
  static void product(const Bytes (&u)[kAbreast][C::kVectors], const Input& in, Float (&out)[kAbreast]) {
    Int high[kAbreast], middle[kAbreast], low[kAbreast];
    for (int j = 0; j < kAbreast; ++j) high[j] = in.high_start;
    add_dots(u, in.digits[0], high);
    if constexpr (kPlanes == 1) {
      for (int j = 0; j < kAbreast; ++j) out[j] = V::to_float(high[j]);
    } else {
      for (int j = 0; j < kAbreast; ++j)
        middle[j] = C::kWide ? V::zero_int() : V::shift8(high[j]), low[j] = in.rest_start;
      add_dots(u, in.digits[1], middle);
      add_dots(u, in.digits[2], low);
      for (int j = 0; j < kAbreast; ++j) {
        low[j] = V::add(V::shift8(middle[j]), low[j]);
        out[j] = C::kWide ? V::fma(V::to_float(high[j]), V::set(65536), V::to_float(low[j])) : V::to_float(low[j]);
      }
    }
  }
  static void add_dots(const Bytes (&u)[kAbreast][C::kVectors], const Bytes (&digits)[C::kVectors],
                       Int (&sums)[kAbreast]) {
#pragma GCC unroll 8
    for (int v = 0; v < C::kVectors; ++v) {
#pragma GCC unroll 8
      for (int j = 0; j < kAbreast; ++j) sums[j] = V::template dot<C::kWide>(sums[j], u[j][v], digits[v]);
    }
  }

  /// By the form of add_segment() for chunks that lie within one group where that may be, of equal bits.
  void add_products(const Segment& segment, int64_t t, Float (&sums)[kRows]) const {
    if constexpr (kPlanes == 1 && !C::kBlocks) {
      if (whole_chunks_) return add_segment<true>(segment, t, sums);
    }
    add_segment<false>(segment, t, sums);
  }

  /// With three planes, whose steps are many, a loop over rows.
  template <bool kWhole>
  void add_segment(const Segment& segment, int64_t t, Float (&sums)[kRows]) const {
    Float total[kRows];
    const std::byte* rows[kRows];
    Ends<kReads> ends;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      rows[i] = segment.rows[i].codes, total[i] = segment.first_group == 0 ? V::zero() : sums[i];
    }
    int64_t g = 0, in_group = 0;  // of the chunk's first column
    Int groups = lane_groups_;
    InputPlace x(call_.rounded, t, segment.first_column);
    bool copied = false;
    for (int64_t c = 0; c < segment.columns; c += kChunk) {
      const int64_t column = segment.first_column + c, at = codes_.bytes_to(column);
      if (!C::kBlocks && at + kReads > segment.readable && !copied) {
        copied = true;
        ends.copy(segment, w_.row_bytes, at);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) rows[i] = ends.rows[i];
      }
      const Input in = input_at(x);
      x.advance(c / kChunk);
      int64_t from = g;
      Int places;
      if constexpr (!kWhole) {
        if (chunk_rest_ != 0) {
          groups = V::groups_of(static_cast<int32_t>(in_group), kLaneColumns, static_cast<int32_t>(w_.group));
        }
        places = groups;
        if (aligned_) {
          from = g / V::kLanes * V::kLanes;
          places = V::add(groups, V::set_int(static_cast<int32_t>(g - from)));
        }
      }
      const auto add_rows = [&](int i) __attribute__((always_inline)) {
        Bytes u[kAbreast][C::kVectors];
        Float products[kAbreast];
#pragma GCC unroll 8
        for (int j = 0; j < kAbreast; ++j) {
          const auto* p = reinterpret_cast<const char*>(rows[i + j] + at);
          _mm_prefetch(p + ahead_, _MM_HINT_T1), _mm_prefetch(p + soon_, _MM_HINT_T0);
          if constexpr (kChunk * C::kBits / 8 > 64) {
            _mm_prefetch(p + ahead_ + 64, _MM_HINT_T1), _mm_prefetch(p + soon_ + 64, _MM_HINT_T0);
          }
          codes_.bytes(rows[i + j], column, NoEnd(), u[j]);
        }
        product(u, in, products);
#pragma GCC unroll 8
        for (int j = 0; j < kAbreast; ++j) {
          const float* scales = segment.scales[i + j];
          const Float scale = kWhole ? V::set(scales[g]) : V::spread(scales + from, places);
          total[i + j] = V::fma(V::mul(products[j], in.scales), scale, total[i + j]);
        }
      };
      if constexpr (kPlanes == 1) {
#pragma GCC unroll 8
        for (int i = 0; i < kRows; i += kAbreast) add_rows(i);
      } else {
#pragma GCC unroll 1
        for (int i = 0; i < kRows; i += kAbreast) add_rows(i);
      }
      g += chunk_groups_, in_group += chunk_rest_;
      if (in_group >= w_.group) ++g, in_group -= w_.group;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) sums[i] = total[i];
  }

  const IntDotCall& call_;
  const IntRows& w_;
  C codes_;
  RealScales real_;
  bool whole_chunks_;
  bool aligned_;  // scales of a chunk lie in one of the vectors that widen() stored, and a load of it need not wait
  int64_t groups_, ahead_, soon_;
  int64_t chunk_groups_, chunk_rest_;  // whole groups of a chunk, columns beyond them
  Int lane_groups_;                    // of a chunk that begins with a group
};

template <class V, class C, int kPlanes>
void run_int_dot(const IntDotCall& call) {
  IntDotLoop<V, C, kPlanes>(call).run();
}

}  // namespace
}  // namespace bitloom
