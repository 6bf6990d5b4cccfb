// Of 256 vectors the portable loops with wider vectors for the products: look-ups in 256 entries would take 16 shuffles
// for 32 codes, and gathers are no faster than scalar loads. Of 16 vectors the products of a unit are planes of 16
// bytes, a look-up of 32 codes one shuffle (vpshufb). Bytes are kept unsigned and added as lanes of 16 bits, all of a
// lane and its upper one: the sum of the lower ones is their difference modulo 2^16.

#include <bit>
#include <limits>

#include "kernels/vector_dot/vector_products.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

constexpr int64_t kRun = 32;  // units that share a scale; 255 times that is below 2^16
constexpr int kEntries = 16;
constexpr int64_t kChunk = 64;  // rows of a register of codes

/// The products of all units as integers of 8 kPlanes bits, offset so that none is negative.
template <int kPlanes>
class NibbleTables {
 public:
  static constexpr int32_t kOffset = 1 << (8 * kPlanes - 1);

  NibbleTables(const AdditiveRows& w, std::byte* scratch)
      : w_(w),
        planes_(reinterpret_cast<uint8_t*>(scratch)),
        scales_(reinterpret_cast<float*>(scratch + w.units() * kPlanes * kEntries)) {}

  void prepare(const float* x) {
    for (int64_t first = 0; first < w_.units(); first += kRun) {
      const int64_t units = std::min(kRun, w_.units() - first);
      float products[kRun * kEntries];
      int32_t most_bits = 0;  // of magnitudes, in the order of the magnitudes: Inf and NaN above all others
      for (int64_t i = 0; i < units; ++i) products_of_unit<kEntries>(w_, first + i, x, products + i * kEntries);
      for (int64_t i = 0; i < units * kEntries; ++i) {
        most_bits = std::max(most_bits, std::bit_cast<int32_t>(products[i]) & 0x7fffffff);
      }
      const bool finite = most_bits < 0x7f800000;
      // The greatest product becomes almost the greatest integer.
      const float scale = std::bit_cast<float>(most_bits) / static_cast<float>(kOffset - (kOffset >> 7));
      scales_[first / kRun] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
      const float inverse = finite && scale > 0x1p-100f ? 1 / scale : 0;
      for (int64_t i = 0; i < units; ++i)
        round(products + i * kEntries, inverse, planes_ + (first + i) * kPlanes * kEntries);
    }
  }

  /// Plane p of a unit, the least significant first, in both halves.
  __m256i plane(int64_t unit, int p) const {
    return _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(planes_ + (unit * kPlanes + p) * kEntries)));
  }
  float scale(int64_t run) const { return scales_[run]; }

 private:
  static void round(const float* products, float inverse, uint8_t* planes) {
    for (int k = 0; k < kEntries; ++k) {
      const float value = inverse == 0 ? 0 : products[k] * inverse;
      const int32_t digits = static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f)) + kOffset;
      for (int p = 0; p < kPlanes; ++p) planes[p * kEntries + k] = static_cast<uint8_t>(digits >> (8 * p));
    }
  }

  const AdditiveRows& w_;
  uint8_t* planes_;
  float* scales_;
};

/// Sums of one plane's bytes for 32 rows.
struct ByteSums {
  __m256i all = _mm256_setzero_si256(), upper = _mm256_setzero_si256();
  void add(__m256i bytes) {
    all = _mm256_add_epi16(all, bytes);
    upper = _mm256_add_epi16(upper, _mm256_srli_epi16(bytes, 8));
  }
  __m256i lower() const { return _mm256_sub_epi16(all, _mm256_slli_epi16(upper, 8)); }
};

template <int kPlanes>
class NibbleLoop {
 public:
  explicit NibbleLoop(const VectorDotCall& call) : call_(call), w_(call.w), tables_(w_, call.scratch) {}

  void run() {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      tables_.prepare(call_.x + t * w_.cols);
      for (int64_t index = call_.first; index < call_.last; ++index) {
        tile(vector_tile(w_, index), call_.y + t * call_.y_stride);
      }
    }
  }

 private:
  /// Of a chunk: row 4 i + k at [k][i].
  using ChunkSums = float[4][16];

  void tile(const VectorTile& tile, float* y) const {
    alignas(32) ChunkSums sums[kVectorRows / kChunk] = {};
    for (int64_t begin = 0; begin < w_.units(); begin += kRun) {
      const int64_t end = std::min(w_.units(), begin + kRun);
      for (int64_t r = 0; r < tile.rows; r += kChunk) add_run(tile, r, begin, end, sums[r / kChunk]);
    }
    for (int64_t r = 0; r < tile.rows; ++r) {
      y[tile.first + r] = row_scale(w_, tile.first + r) * sums[r / kChunk][r % 4][r % kChunk / 4];
    }
  }

  /// Of rows from `first` on, in units [begin, end).
  void add_run(const VectorTile& tile, int64_t first, int64_t begin, int64_t end, ChunkSums& y) const {
    const int64_t bytes = std::min<int64_t>(kChunk / 2, tile.stride - first / 2);
    ByteSums even[kPlanes], odd[kPlanes];
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int64_t unit = begin; unit < end; ++unit) {
      const std::byte* from = tile.codes + unit * tile.stride + first / 2;
      alignas(32) std::byte last[kChunk / 2] = {};
      if (bytes < kChunk / 2) {
        std::memcpy(last, from, static_cast<size_t>(bytes));
        from = last;
      }
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const __m256i low = _mm256_and_si256(pairs, nibble), high = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble);
      for (int p = 0; p < kPlanes; ++p) {
        const __m256i table = tables_.plane(unit, p);
        even[p].add(_mm256_shuffle_epi8(table, low)), odd[p].add(_mm256_shuffle_epi8(table, high));
      }
    }
    const auto units = static_cast<int32_t>(end - begin);
    const __m256 factor = _mm256_set1_ps(tables_.scale(begin / kRun));
    __m256i words[4][kPlanes];
    for (int p = 0; p < kPlanes; ++p) {
      words[0][p] = even[p].lower(), words[1][p] = odd[p].lower(), words[2][p] = even[p].upper,
      words[3][p] = odd[p].upper;
    }
    for (int k = 0; k < 4; ++k) {
      add_words<0>(words[k], units, factor, y[k]);
      add_words<1>(words[k], units, factor, y[k] + 8);
    }
  }

  /// y [8] += factor (integers - units offset), of a half of the lanes.
  template <int kHalf>
  static void add_words(const __m256i (&words)[kPlanes], int32_t units, __m256 factor, float* y) {
    __m256i sum = _mm256_set1_epi32(-Tables::kOffset * units);
    for (int p = 0; p < kPlanes; ++p) {
      const __m256i wide = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words[p], kHalf));
      sum = _mm256_add_epi32(sum, _mm256_slli_epi32(wide, 8 * p));
    }
    _mm256_store_ps(y, _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(sum), _mm256_load_ps(y)));
  }

  using Tables = NibbleTables<kPlanes>;
  const VectorDotCall& call_;
  const AdditiveRows& w_;
  Tables tables_;
};

}  // namespace

void vector_dot_v256(const VectorDotCall& call) {
  if (call.w.bits == 8) {
    look_up_floats<256>(call);
  } else if (call.exact) {
    NibbleLoop<3>(call).run();
  } else {
    NibbleLoop<2>(call).run();
  }
}

}  // namespace bitloom
