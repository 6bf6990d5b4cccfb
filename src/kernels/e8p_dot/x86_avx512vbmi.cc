// 64 codes are a run of the input. First the codes of some runs become, each in two bytes, the fields of a, two bits a
// coordinate, by look-ups of 64 codes at a time (vpermi2b), and in a byte the signs, where the parity is a product of
// bits (vgf2p8affineqb). Then, eight codes at a time, vpmultishiftqb spreads the fields over the bytes of a register,
// the signs are its mask, and vpdpbusd multiplies 64 weights with each plane of x.
//
// Bytes are 14 + 2 s a, not negative; t is a product of its own, with the means of eight columns:
//
//   sum v x = sum (14 + 2 s a) x  +  2 sum of x where t = 1  -  15 sum x

#include <immintrin.h>

#include "kernels/e8p_dot/e8p_dot.h"
#include "kernels/run_digits.h"

namespace bitloom {
namespace {

constexpr int64_t kRunCodes = 64, kRun = kRunCodes * kE8pPoint;
constexpr int64_t kSpan = 8;  // runs whose codes are prepared together: some KiB

/// 64 codes of a row, prepared.
struct Prepared {
  alignas(64) uint64_t signs[8];      // of eight codes, a bit a weight
  alignas(64) uint8_t fields[2][64];  // of chunk k, eight codes, from fields[k % 2] + 8 (k - k % 2) on
  alignas(64) uint8_t shifts[64];     // 16 where t = 1, else 0
};

/// Within eight codes: so that lanes of 16 bytes, given to a whole register, have code 2 l in the lower half of lane l
/// and 2 l + 1 in the upper one.
constexpr uint8_t kPairs[8] = {0, 2, 4, 6, 1, 3, 5, 7};

class Decoder {
 public:
  explicit Decoder(const E8pTables& tables) {
    alignas(64) uint8_t low[64], high[64], back[64], spread[64];
    for (int i = 0; i < 64; ++i) {
      low[i] = static_cast<uint8_t>(2 * i);
      high[i] = static_cast<uint8_t>(2 * (i - i % 8 + kPairs[i % 8]) + 1);
      back[i - i % 8 + kPairs[i % 8]] = static_cast<uint8_t>(i);
      // Two bits to bits 2 and 3: of code (i / 16) of four, coordinate i % 8.
      spread[i] = static_cast<uint8_t>((16 * (i / 16) + 2 * (i % 8) + 62) % 64);
    }
    low_ = _mm512_load_si512(low), high_ = _mm512_load_si512(high), back_ = _mm512_load_si512(back);
    spread_ = _mm512_load_si512(spread);
    for (int f = 0; f < 2; ++f) {
      for (int i = 0; i < 4; ++i) tables_[f][i] = _mm512_load_si512(tables.fields[f] + 64 * i);
    }
  }

  /// `count` codes, of 64; for those beyond, which are not read, something.
  void prepare(const std::byte* codes, int64_t count, Prepared& out) const {
    __m512i a, b;
    if (count >= kRunCodes) {
      a = _mm512_loadu_si512(codes), b = _mm512_loadu_si512(codes + 64);
      constexpr int64_t kAhead = 4096;
      _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead + 64), _MM_HINT_T0);
    } else {
      const uint64_t there = (uint64_t{1} << count) - 1;
      a = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(there), codes);
      b = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(there >> 32), codes + 64);
    }
    const __m512i low = _mm512_permutex2var_epi8(a, low_, b), high = _mm512_permutex2var_epi8(a, high_, b);
    const __mmask64 upper = _mm512_movepi8_mask(high);
    const __m512i first = at(tables_[0], high, upper), second = at(tables_[1], high, upper);
    // Bit 7 of the signs: the parity of the others, and of the fields' lower bits.
    const __m512i given = _mm512_gf2p8affine_epi64_epi8(low, _mm512_set1_epi64(0x010204081020407f), 0);
    const __m512i lower_bits = _mm512_set1_epi64(0x55);
    const __m512i parity = _mm512_xor_si512(_mm512_gf2p8affine_epi64_epi8(first, lower_bits, 0),
                                            _mm512_gf2p8affine_epi64_epi8(second, lower_bits, 0));
    _mm512_store_si512(out.signs, _mm512_xor_si512(given, _mm512_permutexvar_epi8(back_, parity)));
    _mm512_store_si512(out.fields[0], _mm512_unpacklo_epi8(first, second));
    _mm512_store_si512(out.fields[1], _mm512_unpackhi_epi8(first, second));
    // Bit 7 to bit 4.
    _mm512_store_si512(out.shifts, _mm512_gf2p8affine_epi64_epi8(low, _mm512_set1_epi64(0x80000000), 0));
  }

  /// 14 + 2 s a of eight codes.
  __m512i weights(const Prepared& prepared, int chunk) const {
    const auto* fields = reinterpret_cast<const __m128i*>(prepared.fields[chunk % 2] + 8 * (chunk - chunk % 2));
    const __m512i spread = _mm512_multishift_epi64_epi8(spread_, _mm512_broadcast_i32x4(_mm_load_si128(fields)));
    // 14 + 2 (1 + 2 field): the field's bits are worth 4 where they lie.
    constexpr int kAndOr = 0xea;
    const __m512i positive = _mm512_ternarylogic_epi64(spread, _mm512_set1_epi8(12), _mm512_set1_epi8(16), kAndOr);
    return _mm512_mask_sub_epi8(positive, prepared.signs[chunk], _mm512_set1_epi8(2 * kE8pOffset), positive);
  }

 private:
  static __m512i at(const __m512i (&table)[4], __m512i codes, __mmask64 upper) {
    return _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(table[0], codes, table[1]),
                                  _mm512_permutex2var_epi8(table[2], codes, table[3]));
  }

  __m512i low_, high_, back_, spread_, tables_[2][4];
};

template <int kPlanes>
class Loop {
 public:
  explicit Loop(const E8pDotCall& call)
      : call_(call),
        w_(call.w),
        runs_((w_.cols + kRun - 1) / kRun),
        decoder_(*w_.tables),
        x_(runs_, kRun, call.scratch) {}

  void run() {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      for (int64_t i = 0; i < runs_; ++i) {
        x_.round(call_.x + t * w_.cols + i * kRun, std::min(kRun, w_.cols - i * kRun), t, i);
      }
    }
    int64_t r = call_.first;
    for (; r + 2 <= call_.last; r += 2) rows<2>(r);
    if (r < call_.last) rows<1>(r);
  }

 private:
  template <int kRows>
  void rows(int64_t first) const {
    __m512 y[kE8pTokens][kRows];
    for (auto& token : y) {
      for (__m512& lanes : token) lanes = _mm512_setzero_ps();
    }
    for (int64_t begin = 0; begin < runs_; begin += kSpan) {
      const int64_t end = std::min(runs_, begin + kSpan);
      Prepared prepared[kRows][kSpan];
      for (int r = 0; r < kRows; ++r) {
        const std::byte* codes = w_.codes + 2 * (first + r) * w_.points();
        for (int64_t i = begin; i < end; ++i) {
          decoder_.prepare(codes + 2 * i * kRunCodes, w_.points() - i * kRunCodes, prepared[r][i - begin]);
        }
      }
      int64_t t = 0;
      for (; t + 2 <= call_.tokens; t += 2) multiply<kRows, 2>(prepared, begin, end, t, y + t);
      if (t < call_.tokens) multiply<kRows, 1>(prepared, begin, end, t, y + t);
    }
    for (int64_t t = 0; t < call_.tokens; ++t) {
      for (int r = 0; r < kRows; ++r) {
        call_.y[t * call_.y_stride + first + r] = w_.scale * _mm512_reduce_add_ps(y[t][r]);
      }
    }
  }

  /// y [kTokens][kRows] += products of runs [begin, end).
  template <int kRows, int kTokens>
  void multiply(const Prepared (&prepared)[kRows][kSpan], int64_t begin, int64_t end, int64_t token,
                __m512 (*y)[kRows]) const {
    __m512 totals[kTokens][kRows];
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < kRows; ++r) totals[t][r] = y[t][r];
    }
    for (int64_t i = begin; i < end; ++i) {
      __m512i sums[kTokens][kPlanes][kRows];
      for (int t = 0; t < kTokens; ++t) {
        for (int p = 0; p < kPlanes; ++p) {
          const __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(-(kE8pOffset + 1) * x_.sum(token + t, i, p)));
          const __m512i means = _mm512_load_si512(x_.eighths(token + t, i, p));
          for (int r = 0; r < kRows; ++r) {
            sums[t][p][r] = _mm512_dpbusd_epi32(start, _mm512_load_si512(prepared[r][i - begin].shifts), means);
          }
        }
      }
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        __m512i weights[kRows];
        for (int r = 0; r < kRows; ++r) weights[r] = decoder_.weights(prepared[r][i - begin], k);
        for (int t = 0; t < kTokens; ++t) {
          for (int p = 0; p < kPlanes; ++p) {
            const __m512i digits = _mm512_load_si512(x_.digits(token + t, i, p) + 64 * k);
            for (int r = 0; r < kRows; ++r) {
              sums[t][p][r] = _mm512_dpbusd_epi32(sums[t][p][r], weights[r], digits);
            }
          }
        }
      }
      for (int t = 0; t < kTokens; ++t) {
        for (int p = 0; p < kPlanes; ++p) {
          const __m512 factor = _mm512_set1_ps(Digits::weight(p) * x_.scale(token + t, i));
          for (int r = 0; r < kRows; ++r) {
            totals[t][r] = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(sums[t][p][r]), totals[t][r]);
          }
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int r = 0; r < kRows; ++r) y[t][r] = totals[t][r];
    }
  }

  using Digits = RunDigits<kPlanes, true>;
  const E8pDotCall& call_;
  const E8pRows& w_;
  int64_t runs_;
  Decoder decoder_;
  Digits x_;
};

}  // namespace

void e8p_dot_v256(const E8pDotCall& call);

void e8p_dot_avx512vbmi(const E8pDotCall& call) {
  if (!__builtin_cpu_supports("gfni")) {  // which other kernels with VBMI do without
    e8p_dot_v256(call);
  } else if (call.exact) {
    Loop<3>(call).run();
  } else {
    Loop<2>(call).run();
  }
}

}  // namespace bitloom
