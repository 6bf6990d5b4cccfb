// 64 rows in the bytes of a register, four of those together. The products of a unit are planes of bytes, a plane's 256
// in four registers: two look-ups in 128 bytes (vpermi2b) and a blend by the code's highest bit. Bytes are kept
// unsigned and added as lanes of 16 bits, all of a lane and its upper one: the sum of the lower ones is their
// difference modulo 2^16.

#include <immintrin.h>

#include <cmath>
#include <limits>

#include "kernels/vector_dot/vector_products.h"

namespace bitloom {
namespace {

constexpr int64_t kRun = 32;  // units that share a scale; 255 times that is below 2^16
constexpr int kEntries = 256, kPlaneBytes = kEntries;

/// The products of all units as integers of 8 kPlanes bits, offset so that none is negative.
template <int kPlanes>
class DigitTables {
 public:
  static constexpr int32_t kOffset = 1 << (8 * kPlanes - 1);

  DigitTables(const AdditiveRows& w, std::byte* scratch)
      : w_(w),
        planes_(reinterpret_cast<uint8_t*>(scratch)),
        scales_(reinterpret_cast<float*>(scratch + w.units() * kPlanes * kPlaneBytes)) {}

  /// Of the run that begins with unit `first`.
  void prepare(const float* x, int64_t first) {
    float products[kRun * kEntries];
    const int64_t units = std::min(kRun, w_.units() - first);
    for (int64_t i = 0; i < units; ++i) products_of_unit<kEntries>(w_, first + i, x, products + i * kEntries);
    const float scale = scale_of(products, units * kEntries);
    scales_[first / kRun] = scale;
    round(products, units, scale > 0 ? 1 / scale : 0.0f, planes_ + first * kPlanes * kPlaneBytes);
  }

  /// Plane p of a unit, the least significant first.
  const uint8_t* plane(int64_t unit, int p) const { return planes_ + (unit * kPlanes + p) * kPlaneBytes; }
  float scale(int64_t run) const { return scales_[run]; }

 private:
  /// The greatest product becomes almost the greatest integer; NaN where a product is not finite.
  static float scale_of(const float* products, int64_t count) {
    __m512 most = _mm512_setzero_ps();
    __mmask16 finite = 0xffff;
    const __m512 limit = _mm512_set1_ps(std::numeric_limits<float>::max());
    for (int64_t i = 0; i < count; i += 16) {
      const __m512 size = _mm512_abs_ps(_mm512_loadu_ps(products + i));
      finite = static_cast<__mmask16>(finite & _mm512_cmp_ps_mask(size, limit, _CMP_LE_OQ));
      most = _mm512_max_ps(most, size);
    }
    if (finite != 0xffff) return std::numeric_limits<float>::quiet_NaN();
    return _mm512_reduce_max_ps(most) / static_cast<float>(kOffset - (kOffset >> 7));
  }

  static void round(const float* products, int64_t units, float inverse, uint8_t* planes) {
    const __m512i offset = _mm512_set1_epi32(kOffset);
    for (int64_t i = 0; i < units; ++i, planes += kPlanes * kPlaneBytes) {
      for (int64_t k = 0; k < kEntries; k += 16) {
        const __m512 scaled = _mm512_mul_ps(_mm512_set1_ps(inverse), _mm512_loadu_ps(products + i * kEntries + k));
        const __m512i digits = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), offset);
        for (int p = 0; p < kPlanes; ++p) {
          const __m512i byte = _mm512_srl_epi32(digits, _mm_cvtsi32_si128(8 * p));
          _mm_storeu_si128(reinterpret_cast<__m128i*>(planes + p * kPlaneBytes + k), _mm512_cvtepi32_epi8(byte));
        }
      }
    }
  }

  const AdditiveRows& w_;
  uint8_t* planes_;
  float* scales_;
};

/// Sums of one plane's bytes for 64 rows.
struct ByteSums {
  __m512i all = _mm512_setzero_si512(), upper = _mm512_setzero_si512();
  void add(__m512i bytes) {
    all = _mm512_add_epi16(all, bytes);
    upper = _mm512_add_epi16(upper, _mm512_srli_epi16(bytes, 8));
  }
  __m512i lower() const { return _mm512_sub_epi16(all, _mm512_slli_epi16(upper, 8)); }
};

/// 256 bytes and the look-up in them.
struct ByteTable {
  __m512i a, b, c, d;
  explicit ByteTable(const uint8_t* bytes)
      : a(_mm512_loadu_si512(bytes)),
        b(_mm512_loadu_si512(bytes + 64)),
        c(_mm512_loadu_si512(bytes + 128)),
        d(_mm512_loadu_si512(bytes + 192)) {}
  __m512i at(__m512i codes, __mmask64 second_half) const {
    return _mm512_mask_blend_epi8(second_half, _mm512_permutex2var_epi8(a, codes, b),
                                  _mm512_permutex2var_epi8(c, codes, d));
  }
};

/// Some units at a time go through some tiles, so that their tables stay in the first cache; all units of a tile at
/// once would read twice or three times as many bytes of tables as of codes from the second.
template <int kPlanes>
class Loop {
 public:
  explicit Loop(const VectorDotCall& call) : call_(call), w_(call.w), tables_(w_, call.scratch) {}

  void run() {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      for (int64_t index = call_.first; index < call_.last; index += kSpan) span(index, t);
    }
  }

 private:
  static constexpr int64_t kSpan = 16;                        // tiles
  static constexpr int64_t kTogether = kPlanes == 2 ? 4 : 2;  // vectors: sums of all planes must fit the registers
  static constexpr int64_t kUnits = kPlanes == 2 ? kRun : kRun / 2;  // whose tables fit half of the first cache

  /// Sums of 64 rows: of an even number, then of an odd one.
  struct RowSums {
    __m512 of[2][2];
  };

  void span(int64_t first, int64_t token) {
    const int64_t last = std::min(call_.last, first + kSpan);
    RowSums sums[kSpan][kVectorRows / 64];
    for (auto& tile : sums) {
      for (RowSums& rows : tile) {
        for (auto& parity : rows.of) parity[0] = parity[1] = _mm512_setzero_ps();
      }
    }
    const int64_t units = w_.units();
    for (int64_t begin = 0; begin < units; begin += kUnits) {
      if (first == call_.first && begin % kRun == 0) tables_.prepare(call_.x + token * w_.cols, begin);
      const int64_t end = std::min(units, begin + kUnits);
      for (int64_t index = first; index < last; ++index) {
        const VectorTile tile = vector_tile(w_, index);
        // The codes that come next: of the next tile, or of the first one.
        const std::byte* next = index + 1 < last ? vector_tile(w_, index + 1).codes + begin * kVectorRows
                                                 : vector_tile(w_, first).codes + end * kVectorRows;
        int64_t r = 0;
        for (; r + 64 * kTogether <= tile.rows; r += 64 * kTogether) {
          add_run<kTogether>(tile, r, begin, end, next + r, sums[index - first] + r / 64);
        }
        for (; r < tile.rows; r += 64) add_run<1>(tile, r, begin, end, next + r, sums[index - first] + r / 64);
      }
    }
    for (int64_t index = first; index < last; ++index) {
      const VectorTile tile = vector_tile(w_, index);
      for (int64_t r = 0; r < tile.rows; r += 64) {
        alignas(64) float in_lanes[2][32];
        std::memcpy(in_lanes, &sums[index - first][r / 64], sizeof in_lanes);
        for (int64_t i = 0; i < std::min<int64_t>(64, tile.rows - r); ++i) {
          call_.y[token * call_.y_stride + tile.first + r + i] =
              row_scale(w_, tile.first + r + i) * in_lanes[i % 2][i / 2];
        }
      }
    }
  }

  /// Rows [first, first + 64 kVectors) of a tile, of which the last may not be there where kVectors is 1, in units
  /// [begin, end).
  template <int kVectors>
  void add_run(const VectorTile& tile, int64_t first, int64_t begin, int64_t end, const std::byte* next,
               RowSums* y) const {
    const int64_t count = tile.rows - first;
    const __mmask64 there = count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
    const std::byte* codes = tile.codes + begin * tile.rows + first;
    ByteSums sums[kPlanes][kVectors];
    for (int64_t unit = begin; unit < end; ++unit, codes += tile.rows, next += kVectorRows) {
      for (int v = 0; v < kVectors; ++v) _mm_prefetch(reinterpret_cast<const char*>(next + 64 * v), _MM_HINT_T1);
      add_unit<kVectors>(unit, codes, there, sums);
    }
    flush<kVectors>(sums, static_cast<int32_t>(end - begin), tables_.scale(begin / kRun), y);
  }

  template <int kVectors>
  void add_unit(int64_t unit, const std::byte* codes, __mmask64 there, ByteSums (&sums)[kPlanes][kVectors]) const {
    __m512i code[kVectors];
    __mmask64 second_half[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      code[v] = kVectors == 1 ? _mm512_maskz_loadu_epi8(there, codes) : _mm512_loadu_si512(codes + 64 * v);
      second_half[v] = _mm512_movepi8_mask(code[v]);
    }
    for (int p = 0; p < kPlanes; ++p) {
      const ByteTable table(tables_.plane(unit, p));
      for (int v = 0; v < kVectors; ++v) sums[p][v].add(table.at(code[v], second_half[v]));
    }
  }

  /// y += scale (integers - units offset).
  template <int kVectors>
  static void flush(const ByteSums (&sums)[kPlanes][kVectors], int32_t units, float scale, RowSums* y) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (int v = 0; v < kVectors; ++v) {
      for (int half = 0; half < 2; ++half) {
        // The offset is a whole number of the highest plane's units, so that sums of 24 bits do not overflow.
        __m512i lower = _mm512_set1_epi32(-128 * units), upper = lower;
        for (int p = kPlanes - 1; p >= 0; --p) {
          lower =
              _mm512_add_epi32(_mm512_slli_epi32(lower, p == kPlanes - 1 ? 0 : 8), widened(sums[p][v].lower(), half));
          upper = _mm512_add_epi32(_mm512_slli_epi32(upper, p == kPlanes - 1 ? 0 : 8), widened(sums[p][v].upper, half));
        }
        y[v].of[0][half] = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(lower), y[v].of[0][half]);
        y[v].of[1][half] = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(upper), y[v].of[1][half]);
      }
    }
  }

  static __m512i widened(__m512i words, int half) {
    return _mm512_cvtepu16_epi32(half == 0 ? _mm512_castsi512_si256(words) : _mm512_extracti64x4_epi64(words, 1));
  }

  const VectorDotCall& call_;
  const AdditiveRows& w_;
  DigitTables<kPlanes> tables_;
};

}  // namespace

void vector_dot_v256(const VectorDotCall& call);

void vector_dot_avx512vbmi(const VectorDotCall& call) {
  if (call.w.bits == 4) {
    vector_dot_v256(call);  // which shuffles twice as often, each time half as many bytes
  } else if (call.exact) {
    Loop<3>(call).run();
  } else {
    Loop<2>(call).run();
  }
}

}  // namespace bitloom
