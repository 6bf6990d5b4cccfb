#pragma once
// For sources compiled with AVX-512: internal to each.

#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// Sixteen rows of 64 bytes to sixteen columns of fours of bytes.
inline void transpose_fours(__m512i (&in)[16]) {
  __m512i a[16];
  for (int i = 0; i < 16; i += 4) {
    const __m512i low0 = _mm512_unpacklo_epi32(in[i], in[i + 1]), high0 = _mm512_unpackhi_epi32(in[i], in[i + 1]);
    const __m512i low1 = _mm512_unpacklo_epi32(in[i + 2], in[i + 3]),
                  high1 = _mm512_unpackhi_epi32(in[i + 2], in[i + 3]);
    a[i] = _mm512_unpacklo_epi64(low0, low1), a[i + 1] = _mm512_unpackhi_epi64(low0, low1);
    a[i + 2] = _mm512_unpacklo_epi64(high0, high1), a[i + 3] = _mm512_unpackhi_epi64(high0, high1);
  }
  // a[4 q + j]: in quarter l column 4 l + j of rows 4 q to 4 q + 3.
  for (int j = 0; j < 4; ++j) {
    const __m512i even01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88),
                  odd01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88),
                  odd23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
    in[j] = _mm512_shuffle_i32x4(even01, even23, 0x88), in[8 + j] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
    in[4 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0x88), in[12 + j] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
  }
}

}  // namespace
}  // namespace bitloom
