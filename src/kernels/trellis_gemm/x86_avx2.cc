// Levels and digits in 16 bits, which hold T6V1's as well, in pairs of columns that lie 16 apart, as decoding gives
// them. A panel is one row of every group of sixteen.

#include <algorithm>

#include "kernels/trellis_dot/super_tile.h"
#include "kernels/trellis_dot/x86_avx2.h"
#include "kernels/trellis_gemm/trellis_gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kBlockLevels = kPanelRows * kTrellisCols;  // [16 columns, 16 rows, 2]
constexpr int64_t kMostBlocks = kTrellisGemmCols / kTrellisCols;
/// A line more than its levels, so that panels do not share their places in a cache.
constexpr int64_t kPanelLevels = kBlockLevels * kMostBlocks + 32;
/// Of panels; after them come a block of tokens' digits.
constexpr int64_t kLevelBytes = 2 * 16 * kPanelLevels;
static_assert(kLevelBytes + 2 * kTokenBlock * kTrellisGemmCols <= kTrellisGemmScratch);

/// Place of columns c and 16 + c in a block: the input's fours of columns (panel_column) one after the other.
constexpr int64_t pair_of(int64_t c) { return panel_column(c); }

class TrellisGemmLoop {
 public:
  explicit TrellisGemmLoop(const TrellisGemmCall& call)
      : call_(call),
        windows_(call.w),
        values_(call.w),
        digits_(reinterpret_cast<int32_t*>(call.scratch + kLevelBytes)) {}

  void run() const {
    const int64_t blocks = (call_.w.cols + kTrellisCols - 1) / kTrellisCols;
    for (int64_t s = call_.first; s < call_.last; ++s) {
      const SuperRow row = super_row(call_.w, s);
      for (int64_t first = 0; first < blocks; first += kMostBlocks) {
        const int64_t last = std::min(first + kMostBlocks, blocks);
        for (int64_t b = first; b < last; ++b) {
          SuperTileRoom room;
          unpack(whole_super_tile(row, row.tile(b), room), b - first);
        }
        for (int64_t token = 0; token < call_.tokens; token += kTokenBlock) {
          widen_digits(token, first, last);
          for (int64_t r = 0; r < 16; ++r) multiply(token, row, r, first, last);
        }
      }
    }
  }

 private:
  int16_t* panel(int64_t r) const { return reinterpret_cast<int16_t*>(call_.scratch) + r * kPanelLevels; }

  /// One super-tile to block `block` of all panels.
  void unpack(const std::byte* tile, int64_t block) const {
    for (int t = 0; t < 256 / call_.w.values; ++t) {
      const int c = t / 16 * call_.w.values;
      int16_t* at = panel(t % 16) + block * kBlockLevels;
      for (int half = 0; half < 2; ++half) {
        const TrellisPair pair = values_.at(tile, windows_.of[t], half);
        const auto store = [&](int64_t column, __m256i levels) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(at + pair_of(column) * 32 + 16 * half), levels);
        };
        if (call_.w.values == 2) {
          store(c, pair.first), store(c + 1, pair.second);
        } else {
          store(c, _mm256_add_epi16(pair.first, pair.second));
        }
      }
    }
  }

  /// digits_ [blocks, 4, tokens, 4] of a block of tokens: pairs.
  void widen_digits(int64_t token, int64_t first, int64_t last) const {
    const int64_t width = token_block(call_.tokens - token);
    const int8_t* from = call_.x.digits + token * call_.x.stride + first * kTrellisCols * width;
    int32_t* to = digits_;
    for (int64_t b = first; b < last; ++b, from += kTrellisCols * width) {
      for (int64_t i = 0; i < 4 * width; ++i, to += 4) {
        const auto four = [](const int8_t* p) {
          int32_t bytes;
          std::memcpy(&bytes, p, sizeof bytes);
          return _mm_cvtepi8_epi16(_mm_cvtsi32_si128(bytes));
        };
        const __m128i pairs = _mm_unpacklo_epi16(four(from + 4 * i), four(from + 16 * width + 4 * i));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), pairs);
      }
    }
  }

  /// Adds blocks [first, last) of row r of every group times a block of tokens.
  void multiply(int64_t token, const SuperRow& row, int64_t r, int64_t first, int64_t last) const {
    const int64_t tokens = std::min(kTokenBlock, call_.tokens - token);
    int64_t t = 0;
    for (; t + 4 <= tokens; t += 4) multiply_by<4>(token, t, row, r, first, last);
    for (; t + 2 <= tokens; t += 2) multiply_by<2>(token, t, row, r, first, last);
    if (t < tokens) multiply_by<1>(token, t, row, r, first, last);
  }

  template <int kTokens>
  void multiply_by(int64_t block, int64_t token, const SuperRow& row, int64_t r, int64_t first, int64_t last) const {
    const int64_t width = token_block(call_.tokens - block);
    const int16_t* levels = panel(r);
    const int32_t* digits = digits_ + 4 * token;
    const float* scales = call_.x.scales + block * (call_.x.stride / 32) + first * width + token;
    float* y = call_.y + (block + token) * call_.y_stride + row.first_row + r;
    const int64_t groups = std::min(row.groups, (call_.w.rows - row.first_row - r + 15) / 16);
    __m256 total[kTokens][2];
    for (int t = 0; t < kTokens; ++t) {
      alignas(32) float lanes[16] = {};
      for (int64_t j = 0; first > 0 && j < groups; ++j) lanes[j] = y[t * call_.y_stride + 16 * j];
      total[t][0] = _mm256_load_ps(lanes), total[t][1] = _mm256_load_ps(lanes + 8);
    }
    for (int64_t b = first; b < last; ++b, levels += kBlockLevels, digits += 16 * width, scales += width) {
      __m256i sum[kTokens][2];
      for (int t = 0; t < kTokens; ++t) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (int c = 0; c < 16; ++c) {
        const auto* at = reinterpret_cast<const __m256i*>(levels + 32 * c);
        const __m256i low = _mm256_load_si256(at), high = _mm256_load_si256(at + 1);
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; ++t) {
          const __m256i pair = _mm256_set1_epi32(digits[(c / 4 * width + t) * 4 + c % 4]);
          sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(low, pair));
          sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(high, pair));
        }
      }
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m256 scale = _mm256_set1_ps(scales[t]);
        for (int h = 0; h < 2; ++h) total[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t][h]), scale, total[t][h]);
      }
    }
    const bool whole = last * kTrellisCols >= call_.w.cols;
    const __m256 factor = _mm256_set1_ps(whole ? call_.w.scale : 1.0f);
    for (int t = 0; t < kTokens; ++t) {
      alignas(32) float lanes[16];
      for (int h = 0; h < 2; ++h) _mm256_store_ps(lanes + 8 * h, _mm256_mul_ps(factor, total[t][h]));
      for (int64_t j = 0; j < groups; ++j) y[t * call_.y_stride + 16 * j] = lanes[j];
    }
  }

  const TrellisGemmCall& call_;
  TrellisWindows windows_;
  TrellisValues values_;
  int32_t* digits_;
};

}  // namespace

void trellis_gemm_v256(const TrellisGemmCall& call) { TrellisGemmLoop(call).run(); }

}  // namespace bitloom
