#pragma once
// Products with keys and values of 8 bits, by VNNI: 64 of them are turned so that a sum needs no other lane. What they
// are multiplied by, queries and probabilities, becomes integers of 16 bits, in two digits of 8: half a step is 2^-16
// or less of the greatest, little beside the rounding of keys and values themselves. Loops stay out of their callers,
// which are many. In an unnamed namespace: for sources compiled with AVX-512 and VNNI.

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/cached_attention/x86_bytes_ahead.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_transpose.h"

namespace bitloom {
namespace {

/// The greatest lane in all lanes, by the bits: NaN counts as greater than any number. No lane is negative.
inline __m512i greatest_bits(__m512i x) {
  x = _mm512_max_epu32(x, _mm512_shuffle_i32x4(x, x, 0x4e));
  x = _mm512_max_epu32(x, _mm512_shuffle_i32x4(x, x, 0xb1));
  x = _mm512_max_epu32(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
  return _mm512_max_epu32(x, _mm512_shuffle_epi32(x, _MM_PERM_CDAB));
}

/// Four bytes from p on, in every lane.
inline __m512i four_bytes(const void* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

/// Where bytes 4 f to 4 f + 3 are when 32-bit numbers have become bytes, sixty-four at a time, by two steps of packing.
constexpr int64_t place_of_four(int64_t f) { return f / 16 * 64 + f % 4 * 16 + f / 4 % 4 * 4; }

/// The 64 codes from `from` on, or `count` and zeros.
inline __m512i some_codes(const std::byte* from, int64_t count) {
  return _mm512_maskz_loadu_epi8(count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1, from);
}

/// f.operator()<n>(i) for i in steps of n = 2 below kQueries, of 1 at last.
template <int kQueries, class F>
void for_pairs(const F& f) {
  for (int i = 0; i + 2 <= kQueries; i += 2) f.template operator()<2>(i);
  if constexpr (kQueries % 2 != 0) f.template operator()<1>(kQueries - 1);
}

/// q . k of queries, rounded once for all keys, and of 64 keys at a time.
class IntScores {
 public:
  static constexpr int64_t kMostChannels = 256, kMostQueries = 16, kKeys = 64;

  /// `count` queries of `dim` channels, padded with zeros, from q on.
  void take_queries(const float* q, int64_t stride, int64_t count, int64_t dim) {
    fours_ = (dim + 3) / 4;
    for (int64_t i = 0; i < count; ++i) round(q + i * stride, queries_[i]);
  }

  /// Keys of `dim` channels, from k on; those behind the last are the last.
  void take_keys(const std::byte* k, int64_t stride, int64_t keys, int64_t dim) {
    for (int64_t j = 0; j < kKeys; j += 16) {
      for (int64_t c = 0; c < dim; c += 64) {
        __m512i rows[16];
        for (int64_t i = 0; i < 16; ++i) {
          const __m512i codes = some_codes(k + std::min(j + i, keys - 1) * stride + c, dim - c);
          rows[i] = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
        }
        transpose_fours(rows);
        for (int64_t f = 0; f < std::min<int64_t>(16, fours_ - c / 4); ++f) {
          _mm512_store_si512(keys_[c / 4 + f] + j * 4, rows[f]);
        }
      }
    }
  }

  /// rows[i][j] <- query first + i times the codes of key j.
  template <int kQueries, int kWidth>
  void multiply(int64_t first, float (*rows)[kWidth], BytesAhead& ahead) const {
    for_pairs<kQueries>([&]<int kTogether>(int i) { multiply_some<kTogether>(queries_ + first + i, rows + i, ahead); });
  }
  /// How often multiply() of so many queries calls ahead.fetch().
  int64_t steps(int64_t queries) const { return (queries + 1) / 2 * fours_; }

 private:
  struct Query {
    alignas(64) int8_t digits[2][kMostChannels];  // the higher ones first, in the order of place_of_four()
    int32_t starts[2];                            // -128 times their sums
    float scale;
  };

  /// q = scale (256 digits[0] + digits[1]). The scale is NaN where a channel is not finite; digits are 0 beside it.
  [[gnu::noinline]] void round(const float* q, Query& to) const {
    const int64_t channels = fours_ * 4;
    __m512i most = _mm512_setzero_si512();
    for (int64_t c = 0; c < channels; c += 16) {
      most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(q + c))));
    }
    const float greatest = _mm512_cvtss_f32(_mm512_castsi512_ps(greatest_bits(most)));
    to.scale = greatest / (127 * 256) + 0.0f * greatest;
    const bool usable = to.scale >= std::numeric_limits<float>::min();
    const __m512 inverse = _mm512_set1_ps(usable ? 1 / to.scale : 0.0f);
    const auto converted = static_cast<__mmask16>(usable ? 0xffff : 0);  // NaN would become the least integer
    const auto integer = [&](int64_t c) {
      return c < channels ? _mm512_maskz_cvtps_epi32(converted, _mm512_mul_ps(_mm512_loadu_ps(q + c), inverse))
                          : _mm512_setzero_si512();
    };
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int64_t c = 0; c < channels; c += 64) {
      __m512i digits[2][2];
      for (int i = 0; i < 2; ++i) {
        const __m512i values = _mm512_packs_epi32(integer(c + 32 * i), integer(c + 32 * i + 16));
        digits[0][i] = _mm512_srai_epi16(_mm512_add_epi16(values, _mm512_set1_epi16(128)), 8);
        digits[1][i] = _mm512_sub_epi16(values, _mm512_slli_epi16(digits[0][i], 8));
      }
      for (int d = 0; d < 2; ++d) {
        const __m512i bytes = _mm512_packs_epi16(digits[d][0], digits[d][1]);
        _mm512_store_si512(to.digits[d] + c, bytes);
        sums[d] = _mm512_dpbusd_epi32(sums[d], _mm512_set1_epi8(1), bytes);
      }
    }
    for (int d = 0; d < 2; ++d) to.starts[d] = -128 * _mm512_reduce_add_epi32(sums[d]);
  }

  template <int kQueries, int kWidth>
  [[gnu::noinline]] void multiply_some(const Query* queries, float (*rows)[kWidth], BytesAhead& ahead) const {
    __m512i sums[kQueries][2][4];
    for (int i = 0; i < kQueries; ++i) {
      for (int d = 0; d < 2; ++d) {
        for (__m512i& sum : sums[i][d]) sum = _mm512_set1_epi32(queries[i].starts[d]);
      }
    }
    for (int64_t f = 0; f < fours_; ++f) {
      ahead.fetch();
      __m512i keys[4];
      for (int v = 0; v < 4; ++v) keys[v] = _mm512_load_si512(keys_[f] + 64 * v);
      for (int i = 0; i < kQueries; ++i) {
        for (int d = 0; d < 2; ++d) {
          const __m512i digits = four_bytes(queries[i].digits[d] + place_of_four(f));
          for (int v = 0; v < 4; ++v) sums[i][d][v] = _mm512_dpbusd_epi32(sums[i][d][v], keys[v], digits);
        }
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      const __m512 scale = _mm512_set1_ps(queries[i].scale);
      for (int v = 0; v < 4; ++v) {
        const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(sums[i][0][v], 8), sums[i][1][v]);
        _mm512_store_ps(rows[i] + 16 * v, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
      }
    }
  }

  int64_t fours_ = 0;                                       // of channels
  alignas(64) uint8_t keys_[kMostChannels / 4][kKeys * 4];  // [channels / 4, keys, 4]: codes + 128
  Query queries_[kMostQueries];
};

/// Values times what their probabilities and scales make of them, of at most 64 values at a time.
class IntValues {
 public:
  static constexpr int64_t kMostChannels = 256, kKeys = 64;

  /// `keys` values of `dim` channels, from v on.
  void take_values(const std::byte* v, int64_t stride, int64_t keys, int64_t dim) {
    fours_ = (keys + 3) / 4, vectors_ = padded_channels(dim) / 16;
    for (int64_t f = 0; f < fours_; ++f) {
      const std::byte* rows[4];  // those behind the last are multiplied by 0
      for (int64_t i = 0; i < 4; ++i) rows[i] = v + std::min(4 * f + i, keys - 1) * stride;
      for (int64_t c = 0; c < dim; c += 64) turn(rows, c, dim, values_[c / 64][f]);
    }
  }

  /// values [kQueries, stride] <- values shrink + shares V; a row has kKeys shares, none negative, zeros behind the
  /// last.
  template <int kQueries, int kWidth>
  void add(const float (*shares)[kWidth], const float* shrink, float* values, int64_t stride, BytesAhead& ahead) const {
    for_pairs<kQueries>(
        [&]<int kTogether>(int i) { add_some<kTogether>(shares + i, shrink + i, values + i * stride, stride, ahead); });
  }
  /// How often add() of so many queries calls ahead.fetch().
  int64_t steps(int64_t queries) const { return (queries + 1) / 2 * fours_ * ((vectors_ + 3) / 4); }

 private:
  struct Shares {
    alignas(64) uint8_t digits[2][kKeys];  // the higher ones first, in the order of place_of_four()
    __m512 scale;
  };

  /// Channels [c, c + 64) of four values: in quarter l of vector i the channels 16 l + 4 i + (0, 1, 2, 3).
  static void turn(const std::byte* const (&rows)[4], int64_t c, int64_t dim, int8_t (&to)[256]) {
    __m512i in[4];
    for (int i = 0; i < 4; ++i) in[i] = some_codes(rows[i] + c, dim - c);
    const __m512i low01 = _mm512_unpacklo_epi8(in[0], in[1]), high01 = _mm512_unpackhi_epi8(in[0], in[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(in[2], in[3]), high23 = _mm512_unpackhi_epi8(in[2], in[3]);
    _mm512_store_si512(to, _mm512_unpacklo_epi16(low01, low23));
    _mm512_store_si512(to + 64, _mm512_unpackhi_epi16(low01, low23));
    _mm512_store_si512(to + 128, _mm512_unpacklo_epi16(high01, high23));
    _mm512_store_si512(to + 192, _mm512_unpackhi_epi16(high01, high23));
  }

  /// shares [kKeys] = scale (256 digits[0] + digits[1]), of a power of two as the scale, so that the greatest has all
  /// 16 bits. The scale is NaN where a share is not finite.
  [[gnu::noinline]] static void round(const float* shares, Shares& to) {
    __m512i most = _mm512_setzero_si512(), halves[2];
    for (int v = 0; v < 4; ++v) most = _mm512_max_epu32(most, _mm512_load_si512(shares + 16 * v));
    // 2^e, not more than the greatest share, or 2^-111: 2^(15 - e) is a number then.
    const __m512i exponent = _mm512_and_si512(greatest_bits(most), _mm512_set1_epi32(0x7f800000));
    const __m512i power = _mm512_max_epu32(exponent, _mm512_set1_epi32(16 << 23));
    const __m512i inverse = _mm512_sub_epi32(_mm512_set1_epi32(static_cast<int>((2u * 127 + 15) << 23)), power);
    const __m512 size = _mm512_castsi512_ps(power);
    to.scale = _mm512_fmadd_ps(size, _mm512_set1_ps(0x1p-15f), _mm512_mul_ps(size, _mm512_setzero_ps()));
    const auto integer = [&](int v) {
      return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(shares + 16 * v), _mm512_castsi512_ps(inverse)));
    };
    for (int i = 0; i < 2; ++i) halves[i] = _mm512_packus_epi32(integer(2 * i), integer(2 * i + 1));
    const __m512i low = _mm512_set1_epi16(255);
    _mm512_store_si512(to.digits[0],
                       _mm512_packus_epi16(_mm512_srli_epi16(halves[0], 8), _mm512_srli_epi16(halves[1], 8)));
    _mm512_store_si512(to.digits[1],
                       _mm512_packus_epi16(_mm512_and_si512(halves[0], low), _mm512_and_si512(halves[1], low)));
  }

  template <int kQueries, int kWidth>
  [[gnu::noinline]] void add_some(const float (*shares)[kWidth], const float* shrink, float* values, int64_t stride,
                                  BytesAhead& ahead) const {
    Shares rounded[kQueries];
    for (int i = 0; i < kQueries; ++i) round(shares[i], rounded[i]);
    for (int64_t b = 0; b * 4 < vectors_; ++b) {
      __m512i sums[kQueries][2][4];
      for (auto& of_query : sums) {
        for (auto& of_digit : of_query) {
          for (__m512i& sum : of_digit) sum = _mm512_setzero_si512();
        }
      }
      for (int64_t f = 0; f < fours_; ++f) {
        ahead.fetch();
        __m512i codes[4];
        for (int v = 0; v < 4; ++v) codes[v] = _mm512_load_si512(values_[b][f] + 64 * v);
        for (int i = 0; i < kQueries; ++i) {
          for (int d = 0; d < 2; ++d) {
            const __m512i digits = four_bytes(rounded[i].digits[d] + place_of_four(f));
            for (int v = 0; v < 4; ++v) sums[i][d][v] = _mm512_dpbusd_epi32(sums[i][d][v], digits, codes[v]);
          }
        }
      }
      for (int i = 0; i < kQueries; ++i) {
        __m512i turned[4];
        for (int v = 0; v < 4; ++v) turned[v] = _mm512_add_epi32(_mm512_slli_epi32(sums[i][0][v], 8), sums[i][1][v]);
        in_order(turned);
        const __m512 scale = rounded[i].scale, kept = _mm512_set1_ps(shrink[i]);
        float* out = values + i * stride + b * 64;
        for (int64_t v = 0; v < std::min<int64_t>(4, vectors_ - b * 4); ++v) {
          const __m512 before = _mm512_mul_ps(_mm512_loadu_ps(out + 16 * v), kept);
          _mm512_storeu_ps(out + 16 * v, _mm512_fmadd_ps(_mm512_cvtepi32_ps(turned[v]), scale, before));
        }
      }
    }
  }

  /// Quarter l of vector i to quarter i of vector l.
  static void in_order(__m512i (&in)[4]) {
    const __m512i low01 = _mm512_shuffle_i32x4(in[0], in[1], 0x44), high01 = _mm512_shuffle_i32x4(in[0], in[1], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(in[2], in[3], 0x44), high23 = _mm512_shuffle_i32x4(in[2], in[3], 0xee);
    in[0] = _mm512_shuffle_i32x4(low01, low23, 0x88), in[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    in[2] = _mm512_shuffle_i32x4(high01, high23, 0x88), in[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }

  int64_t fours_ = 0, vectors_ = 0;                                   // of keys; of channels, in sixteens
  alignas(64) int8_t values_[kMostChannels / 64][kKeys / 4][4 * 64];  // [channels / 64, keys / 4, as turn() has them]
};

}  // namespace
}  // namespace bitloom
