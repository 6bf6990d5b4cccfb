// Eight rows in the lanes of a register, a tile of 16 at a time.

#include <algorithm>

#include "kernels/bit_lanes.h"
#include "kernels/column_dot/column_words.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_nibbles_avx2.h"

namespace bitloom {
namespace {

constexpr int64_t kTile = 16;  // rows

/// Of columns of 16 codes of 1 to 8 bits: of rows 0 to 7, and of the others.
struct Unpacking {
  BitLanes<8> halves[2];
  explicit constexpr Unpacking(int bits) : halves{BitLanes<8>(bits), BitLanes<8>(bits, 8)} {}
};
constexpr Unpacking kUnpackings[] = {Unpacking(1), Unpacking(2), Unpacking(3), Unpacking(4),
                                     Unpacking(5), Unpacking(6), Unpacking(7), Unpacking(8)};

/// The 16 codes of a column; nothing at `end` or beyond is read.
__m256i load_codes(const std::byte* codes, int bits, const std::byte* end) {
  alignas(16) std::byte few[16] = {};
  if (end - codes < 16) {
    std::memcpy(few, codes, static_cast<size_t>(2 * bits));
    codes = few;
  }
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

/// Those of rows 8 half to 8 half + 7.
__m256i unpack_codes(__m256i all, int bits, int half) {
  const BitLanes<8>& how = kUnpackings[bits - 1].halves[half];
  const __m256i bytes = _mm256_shuffle_epi8(all, _mm256_load_si256(reinterpret_cast<const __m256i*>(how.places)));
  const __m256i shifted = _mm256_srlv_epi32(bytes, _mm256_load_si256(reinterpret_cast<const __m256i*>(how.shifts)));
  return _mm256_and_si256(shifted, _mm256_set1_epi32((1 << bits) - 1));
}

template <int kPlanes>
class Loop {
 public:
  explicit Loop(const ColumnDotCall& call) : call_(call), w_(call.w), words_((w_.layout->row_bytes + 3) / 4) {}

  void run() const {
    const ColumnDigits<kPlanes> tables(w_, call_.scratch);
    for (int64_t t = 0; t < call_.tokens; ++t) {
      ColumnWalk walk(w_, call_.x + t * w_.cols);
      tables.prepare(w_, walk);
      for (int64_t tile = call_.first; tile < call_.last; ++tile) {
        run_tile(tables, walk, tile, call_.y + t * call_.y_stride + kTile * tile);
      }
    }
  }

 private:
  void run_tile(const ColumnDigits<kPlanes>& tables, ColumnWalk walk, int64_t tile, float* y) const {
    const std::byte* codes = w_.codes + tile * w_.layout->tile_bytes;
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t first = 0; first < words_; first += kMostWords) {
      DigitSums<kPlanes> digits;
      for (int64_t i = first; i < std::min(words_, first + kMostWords); ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(codes + 64 * i + w_.layout->tile_bytes), _MM_HINT_T1);
        const int64_t bytes = std::min<int64_t>(4, w_.layout->row_bytes - 4 * i);
        digits.add(tables.words[i], NibbleIndices(load_word(codes + 64 * i, bytes)));
      }
      const RowInts ints = digits.total();
      const __m256 scale = _mm256_set1_ps(tables.scales[first / kMostWords]);
      for (int half = 0; half < 2; ++half) {
        sums[half] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(ints.half[half]), sums[half]);
      }
    }
    add_odd_columns(walk, codes + kTile * w_.layout->row_bytes, sums);
    float out[kTile];
    _mm256_storeu_ps(out, sums[0]);
    _mm256_storeu_ps(out + 8, sums[1]);
    std::copy_n(out, std::min(kTile, w_.rows - kTile * tile), y);
  }

  void add_odd_columns(ColumnWalk& walk, const std::byte* odd, __m256 (&sums)[2]) const {
    for (const int bits : kOddWidths) {
      for (int64_t i = 0; i < w_.layout->odd[static_cast<size_t>(bits)]; ++i, odd += 2 * bits) {
        float products[256];
        walk.next_column(bits, products);
        const __m256i codes = load_codes(odd, bits, w_.codes + w_.layout->tile_bytes * ((w_.rows + kTile - 1) / kTile));
        for (int half = 0; half < 2; ++half) {
          const __m256i at = unpack_codes(codes, bits, half);
          const __m256 found = bits == 3 ? _mm256_permutevar8x32_ps(_mm256_loadu_ps(products), at)
                                         : _mm256_i32gather_ps(products, at, 4);
          sums[half] = _mm256_add_ps(sums[half], found);
        }
      }
    }
  }

  const ColumnDotCall& call_;
  const ColumnTables& w_;
  int64_t words_;
};

}  // namespace

void column_dot_v256(const ColumnDotCall& call) {
  if (call.exact) {
    Loop<3>(call).run();
  } else {
    Loop<2>(call).run();
  }
}

}  // namespace bitloom
