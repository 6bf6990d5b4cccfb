#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V with the few vector steps below and calls
// run_int_dot; everything here is in an unnamed namespace, so that no ISA's code is linked into another's.
//
//   V::F32                       16 floats
//   V::zero()                    F32 of zeros
//   V::load<bits>(const float*)  F32: 16 values of x, in the order in which levels<bits> gives theirs
//   V::levels<bits>(p)           F32: the levels of 16 codes at p
//   V::fma(a, b, c)              a * b + c
//   V::fma_scalar(a, s, c)       a * s + c
//   V::sum(F32)                  its 16 values, in a fixed order
//   V::f16(uint16_t)             a half as float
//   V::Sum8, V::zero8()          8 floats, for blocks of 32 columns; fma_scalar and sum take them, too
//   V::X, V::prepare(p)          32 values of x at p as add_dot needs them, made once for several rows
//   V::add_dot<bits>(p, X x, float s, Sum8 c)             c + s * (partial sums of the levels of 32 codes at p times x)

#include <immintrin.h>

#include <cstring>

#include "kernels/int_dot/int_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kChunkF32 = 16;
constexpr int kRowsTogether = 4;  // they share each load of x

/// Where some rows of W lie.
struct RowPointers {
  const std::byte* codes[kRowsTogether];
  const std::byte* scales[kRowsTogether];
};

inline RowPointers pointers_of(const IntRows& w, int64_t first, int count) {
  RowPointers at;
  for (int i = 0; i < kRowsTogether; ++i) {
    const int64_t r = first + (i < count ? i : 0);
    const int64_t row = w.order == nullptr ? r : w.order[r];
    at.codes[i] = w.codes + row * w.row_bytes;
    at.scales[i] = w.scales + row / w.group_rows * w.scale_row_bytes;
  }
  return at;
}

template <class V, ScaleKind kKind>
float scale_at(const std::byte* scales, int64_t g) {
  if constexpr (kKind == ScaleKind::kF32) {
    float scale;
    std::memcpy(&scale, scales + 4 * g, sizeof scale);
    return scale;
  } else {
    uint16_t bits;
    std::memcpy(&bits, scales + 2 * g, sizeof bits);
    if constexpr (kKind == ScaleKind::kF16) return V::f16(bits);
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float scale;
    std::memcpy(&scale, &wide, sizeof scale);
    return scale;
  }
}

/// y[0 .. count) of one token. Every row's sum runs in the same order whatever the rows beside it.
template <class V, int kBits, ScaleKind kKind, int kRows>
void rows_f32(const IntRows& w, const RowPointers& at, const float* x, float* y) {
  typename V::F32 total[kRows];
  for (int i = 0; i < kRows; ++i) total[i] = V::zero();
  const int64_t whole = w.cols / kChunkF32 * kChunkF32;
  for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
    const int64_t end = begin + w.group < w.cols ? begin + w.group : w.cols;
    typename V::F32 part[kRows];
    for (int i = 0; i < kRows; ++i) part[i] = V::zero();
    for (int64_t c = begin; c < end && c < whole; c += kChunkF32) {
      const typename V::F32 values = V::template load<kBits>(x + c);
      for (int i = 0; i < kRows; ++i) {
        part[i] = V::fma(V::template levels<kBits>(at.codes[i] + c * kBits / 8), values, part[i]);
      }
    }
    if (end > whole) {  // the row's tail, in a chunk of its own that is zero beyond
      float values[kChunkF32] = {};
      std::memcpy(values, x + whole, static_cast<size_t>(w.cols - whole) * sizeof(float));
      for (int i = 0; i < kRows; ++i) {
        std::byte codes[kChunkF32] = {};
        const int64_t from = whole * kBits / 8;
        std::memcpy(codes, at.codes[i] + from, static_cast<size_t>(w.row_bytes - from));
        part[i] = V::fma(V::template levels<kBits>(codes), V::template load<kBits>(values), part[i]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      total[i] = V::fma_scalar(part[i], scale_at<V, kKind>(at.scales[i], g), total[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) y[i] = V::sum(total[i]);
}

/// The same for x in blocks.
template <class V, int kBits, ScaleKind kKind, int kRows>
void rows_int8(const IntRows& w, const RowPointers& at, const int8_t* x, const float* block_scales, float* y) {
  typename V::Sum8 total[kRows];
  for (int i = 0; i < kRows; ++i) total[i] = V::zero8();
  const int64_t whole = w.cols / kInt8Block * kInt8Block;
  for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
    const int64_t end = begin + w.group < w.cols ? begin + w.group : w.cols;
    typename V::Sum8 part[kRows];
    for (int i = 0; i < kRows; ++i) part[i] = V::zero8();
    for (int64_t c = begin; c < end && c < whole; c += kInt8Block) {
      const typename V::X values = V::prepare(x + c);
      const float block = block_scales[c / kInt8Block];
      for (int i = 0; i < kRows; ++i) {
        part[i] = V::template add_dot<kBits>(at.codes[i] + c * kBits / 8, values, block, part[i]);
      }
    }
    if (end > whole) {  // x is zero beyond the row's end; W's bytes there are not ours
      const typename V::X values = V::prepare(x + whole);
      for (int i = 0; i < kRows; ++i) {
        std::byte codes[kInt8Block] = {};
        const int64_t from = whole * kBits / 8;
        std::memcpy(codes, at.codes[i] + from, static_cast<size_t>(w.row_bytes - from));
        part[i] = V::template add_dot<kBits>(codes, values, block_scales[whole / kInt8Block], part[i]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      total[i] = V::fma_scalar(part[i], scale_at<V, kKind>(at.scales[i], g), total[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) y[i] = V::sum(total[i]);
}

template <class V, int kBits, ScaleKind kKind, int kRows>
void some_rows(const IntDotCall& call, int64_t r, DotInput input) {
  const RowPointers at = pointers_of(call.w, r, kRows);
  for (int64_t t = 0; t < call.tokens; ++t) {
    float* y = call.y + t * call.y_stride + r;
    if (input == DotInput::kF32) {
      rows_f32<V, kBits, kKind, kRows>(call.w, at, call.x + t * call.x_stride, y);
    } else {
      const int64_t first = t * call.x8_stride;
      rows_int8<V, kBits, kKind, kRows>(call.w, at, call.x8 + first, call.block_scales + first / kInt8Block, y);
    }
  }
}

template <class V, int kBits, DotInput kInput, ScaleKind kKind>
void all_rows(const IntDotCall& call) {
  int64_t r = call.first;
  for (; r + kRowsTogether <= call.last; r += kRowsTogether) {
    some_rows<V, kBits, kKind, kRowsTogether>(call, r, kInput);
  }
  for (; r < call.last; ++r) some_rows<V, kBits, kKind, 1>(call, r, kInput);
}

template <class V, int kBits, DotInput kInput>
void run_int_dot(const IntDotCall& call) {
  switch (call.w.scale_kind) {
    case ScaleKind::kF32:
      return all_rows<V, kBits, kInput, ScaleKind::kF32>(call);
    case ScaleKind::kF16:
      return all_rows<V, kBits, kInput, ScaleKind::kF16>(call);
    case ScaleKind::kBF16:
      return all_rows<V, kBits, kInput, ScaleKind::kBF16>(call);
  }
}

}  // namespace
}  // namespace bitloom
