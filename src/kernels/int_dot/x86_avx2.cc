// Compiled with -mavx2 -mfma -mf16c.

#include "kernels/int_dot/x86_avx2.h"

namespace bitloom {
namespace {

/// Scales and zero points of groups [first, first + count) of a row; 128 where there are none, of flipped codes.
void widen_groups(const IntRows& w, const RealScales& real, const Row& row, int64_t first, int64_t count, float* scales,
                  float* zeros) {
  if (w.real_zeros) {
    SecondNumbers second;
    widen_second(row, first, count, second);
    real.widen(row, second, first, count, scales,
               [zeros](int64_t i, __m256, __m256 zero) { _mm256_storeu_ps(zeros + i, zero); });
    return;
  }
  widen_scales(w, row, first, count, scales);
  for (int64_t g = 0; g < count; ++g)
    zeros[g] = static_cast<float>(w.zeros == nullptr ? 128 : zero_at(row, 8, first + g));
}

/// Codes of eight bits widened to fp32, groups of multiples of eight columns: without VNNI the three digits of a 24-bit
/// input take twice the steps of one product in fp32.
template <int kRows>
void widened_rows(const IntDotCall& call, int64_t r) {
  const IntRows& w = call.w;
  const int64_t groups = (w.cols + w.group - 1) / w.group;
  const __m256i flip = _mm256_set1_epi32(w.zeros == nullptr ? 128 : 0);
  const RealScales real(w);
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * call.x_stride;
    __m256 total[kRows];
    float rest[kRows] = {};
    for (int i = 0; i < kRows; ++i) total[i] = _mm256_setzero_ps();
    for (int64_t first = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      float scales[kRows][kSegmentGroups + 32];
      float zeros[kRows][kSegmentGroups];
      for (int i = 0; i < kRows; ++i) widen_groups(w, real, row_of(w, r + i), first, count, scales[i], zeros[i]);
      for (int64_t g = 0; g < count; ++g) {
        const int64_t begin = (first + g) * w.group, end = std::min(begin + w.group, w.cols);
        for (int i = 0; i < kRows; ++i) {
          const float zero = zeros[i][g];
          const __m256 minus = _mm256_set1_ps(zero);
          const std::byte* codes = row_of(w, r + i).codes;
          __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
          int64_t c = begin;
          const auto add = [&](int64_t at, __m256& sum) {
            const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + at)));
            const __m256 level = _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_xor_si256(code, flip)), minus);
            sum = _mm256_fmadd_ps(level, _mm256_loadu_ps(x + at), sum);
          };
          for (; c + 16 <= end; c += 16) {
            _mm_prefetch(reinterpret_cast<const char*>(codes + c) + 8192, _MM_HINT_T1);
            add(c, sums[0]), add(c + 8, sums[1]);
          }
          if (c + 8 <= end) add(c, sums[0]), c += 8;
          total[i] = _mm256_fmadd_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_set1_ps(scales[i][g]), total[i]);
          for (; c < end; ++c) {
            const int code = std::to_integer<int>(codes[c]) ^ (w.zeros == nullptr ? 128 : 0);
            rest[i] += scales[i][g] * (static_cast<float>(code) - zero) * x[c];
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) call.y[t * call.y_stride + r + i] = w.factor * (sum8(total[i]) + rest[i]);
  }
}

}  // namespace

void int_dot_i8_f32_v256(const IntDotCall& call) {
  int64_t r = call.first;
  for (; r + 4 <= call.last; r += 4) widened_rows<4>(call, r);
  for (; r < call.last; ++r) widened_rows<1>(call, r);
}

using V = Avx2;
#define BITLOOM_FORM(name) name##_v256
#include "kernels/int_dot/v256_kernels.inc"
#undef BITLOOM_FORM

}  // namespace bitloom
