#pragma once
// A product of integers of 16 bits with scales, added to fp32:
//
//   C[i, r] += (a_scale[i] b_scale[r]) sum over k < 256 of A[i, k] B[k, r]
//
// A [m, 256], B [256, 64] in pairs: word 64 (k - k mod 2) + 2 r + k mod 2 is B[k, r]; C [m, 64]. Both have words of at
// most kMostWord, so that the sum is a number of 32 bits. It is exact, and scaled by three roundings in this order:
// every kernel gives the same bits.
//
// Goals: twice the rate of fp32 with 500 times the resolution of bytes, for products whose terms nearly cancel. A strip
// of B stays in the first cache. Non-goals: instruction sets without a 16-bit dot product, where fp32 is as fast.

#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

inline constexpr int64_t kWordDepth = 256, kWordStrip = 64;  // k, r
/// 256 products of such stay below 2^31, which 2897 would pass.
inline constexpr int kMostWord = 2895;

struct WordProduct {
  int64_t m = 0;
  const int16_t* a = nullptr;  // [m] rows of kWordDepth words
  int64_t a_stride = 0;        // words
  const int16_t* b = nullptr;
  const float* a_scale = nullptr;
  int64_t a_scale_stride = 1;
  const float* b_scale = nullptr;  // [kWordStrip]
  float* c = nullptr;
  int64_t c_stride = 0;
};

using WordGemmKernel = void(const WordProduct& product);

struct WordGemmEntry {
  const char* name;
  WordGemmKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const WordGemmEntry> word_gemm_kernels();
/// The first that `isa` or a lower one allows.
const WordGemmEntry& find_word_gemm(Isa isa);

}  // namespace bitloom
