// Four codes' weights, plus 14, are the bytes of a register (vpsignb of two look-ups), those of 64 codes are decoded
// once for all tokens. Two products of a byte of at most 25 and a digit, and four sums of such, stay below 2^15.

#include <cstring>

#include "kernels/e8p_dot/e8p_dot.h"
#include "kernels/run_digits.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

constexpr int64_t kRunCodes = 64, kRun = kRunCodes * kE8pPoint;

/// Of four codes at 2 i, from the code's byte `at` on.
inline __m256i look_up(const int8_t (*table)[kE8pPoint], const std::byte* codes, int at) {
  const auto entry = [&](int i) {
    return reinterpret_cast<const double*>(table[std::to_integer<uint8_t>(codes[2 * i + at])]);
  };
  const __m128d low = _mm_loadh_pd(_mm_load_sd(entry(0)), entry(1));
  const __m128d high = _mm_loadh_pd(_mm_load_sd(entry(2)), entry(3));
  return _mm256_castpd_si256(_mm256_set_m128d(high, low));
}

template <int kPlanes>
class Loop {
 public:
  explicit Loop(const E8pDotCall& call)
      : call_(call), w_(call.w), runs_((w_.cols + kRun - 1) / kRun), x_(runs_, kRun, call.scratch) {}

  void run() {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      for (int64_t i = 0; i < runs_; ++i) {
        x_.round(call_.x + t * w_.cols + i * kRun, std::min(kRun, w_.cols - i * kRun), t, i);
      }
    }
    for (int64_t r = call_.first; r < call_.last; ++r) row(r);
  }

 private:
  void row(int64_t r) const {
    __m256 y[kE8pTokens];
    for (__m256& lanes : y) lanes = _mm256_setzero_ps();
    for (int64_t i = 0; i < runs_; ++i) {
      const std::byte* codes = w_.codes + 2 * (r * w_.points() + i * kRunCodes);
      std::byte last[2 * kRunCodes] = {};
      if (const int64_t count = w_.points() - i * kRunCodes; count < kRunCodes) {
        std::memcpy(last, codes, static_cast<size_t>(2 * count));
        codes = last;
      }
      __m256i weights[kRunCodes / 4];
      for (int k = 0; k < kRunCodes / 4; ++k) {
        const __m256i signs = look_up(w_.tables->signs, codes + 8 * k, 0);
        const __m256i vectors = look_up(w_.tables->vectors, codes + 8 * k, 1);
        weights[k] = _mm256_add_epi8(_mm256_sign_epi8(vectors, signs), _mm256_abs_epi8(signs));
      }
      for (int64_t t = 0; t < call_.tokens; ++t) y[t] = _mm256_add_ps(y[t], product(weights, t, i));
    }
    for (int64_t t = 0; t < call_.tokens; ++t) call_.y[t * call_.y_stride + r] = w_.scale * sum8(y[t]);
  }

  __m256 product(const __m256i (&weights)[kRunCodes / 4], int64_t token, int64_t run) const {
    __m256 y = _mm256_setzero_ps();
    for (int p = 0; p < kPlanes; ++p) {
      const auto* digits = reinterpret_cast<const __m256i*>(x_.digits(token, run, p));
      __m256i sums = _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, -kE8pOffset * x_.sum(token, run, p));
      for (int k = 0; k < kRunCodes / 4; k += 4) {
        __m256i words = _mm256_maddubs_epi16(weights[k], _mm256_load_si256(digits + k));
        for (int i = k + 1; i < k + 4; ++i) {
          words = _mm256_add_epi16(words, _mm256_maddubs_epi16(weights[i], _mm256_load_si256(digits + i)));
        }
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
      }
      const __m256 factor = _mm256_set1_ps(Digits::weight(p) * x_.scale(token, run));
      y = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(sums), y);
    }
    return y;
  }

  using Digits = RunDigits<kPlanes, false>;
  const E8pDotCall& call_;
  const E8pRows& w_;
  int64_t runs_;
  Digits x_;
};

}  // namespace

void e8p_dot_v256(const E8pDotCall& call) {
  if (call.exact) {
    Loop<3>(call).run();
  } else {
    Loop<2>(call).run();
  }
}

}  // namespace bitloom
