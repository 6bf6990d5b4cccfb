// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mavx512bf16.

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/bf16_gemm/bf16_gemm.h"
#include "kernels/x86_transpose.h"

namespace bitloom {
namespace {

constexpr int kVectors = kBf16PanelRows / 16;                    // a lane each row
constexpr int64_t kPairBytes = kBf16PanelRows * 4;               // of a panel: two columns of its rows
static_assert(kBf16PanelRows == 64);                             // a bit each
static_assert(kBf16PaddedCols == 32);                            // of a row in a vector
static_assert(kBf16TokenBlock * kVectors + kVectors + 1 <= 32);  // sums, weights and a token's pair in registers

class Bf16GemmLoop {
 public:
  explicit Bf16GemmLoop(const Bf16GemmCall& call) : call_(call) {}

  void run() const {
    const int64_t cols_each = bf16_gemm_cols(call_.cols);
    for (int64_t row = call_.first; row < call_.last; row += kBf16PieceRows) {
      const int64_t end = std::min(row + kBf16PieceRows, call_.last);
      for (int64_t c = 0; c < call_.cols; c += cols_each) {
        const int64_t cols = std::min(cols_each, call_.x.stride - c);
        for (int64_t r = row; r < end; r += kBf16PanelRows) unpack(r, c, cols, panel(r - row, cols));
        for (int64_t token = 0; token < call_.tokens; token += kBf16TokenBlock) {
          for (int64_t r = row; r < end; r += kBf16PanelRows) multiply(token, r, c, cols, panel(r - row, cols));
        }
      }
    }
  }

 private:
  std::byte* panel(int64_t row, int64_t cols) const { return call_.scratch + row * cols * 2; }

  /// Columns [c, c + cols) of rows from `first` on, the last row again where there are no more.
  void unpack(int64_t first, int64_t c, int64_t cols, std::byte* to) const {
    for (int v = 0; v < kVectors; ++v) {
      const std::byte* rows[16];
      for (int64_t i = 0; i < 16; ++i) {
        const int64_t r = std::min(first + 16 * v + i, call_.last - 1);
        rows[i] = call_.w + ((call_.order == nullptr ? r : call_.order[r]) * call_.cols + c) * 2;
      }
      for (int64_t k = 0; k < cols; k += kBf16PaddedCols) {
        const int64_t count = std::min(kBf16PaddedCols, call_.cols - c - k);
        const auto mask = static_cast<__mmask32>((uint64_t{1} << count) - 1);
        __m512i pairs[16];
        for (int i = 0; i < 16; ++i) pairs[i] = _mm512_maskz_loadu_epi16(mask, rows[i] + 2 * k);
        transpose_fours(pairs);
        std::byte* at = to + k / 2 * kPairBytes + 64 * v;
        for (int i = 0; i < 16; ++i) _mm512_store_si512(at + i * kPairBytes, pairs[i]);
      }
    }
  }

  void multiply(int64_t token, int64_t row, int64_t c, int64_t cols, const std::byte* weights) const {
    switch (bf16_token_block(call_.tokens - token)) {
      case 2:
        return multiply_by<2>(token, row, c, cols, weights);
      case 4:
        return multiply_by<4>(token, row, c, cols, weights);
      default:
        return multiply_by<kBf16TokenBlock>(token, row, c, cols, weights);
    }
  }

  /// Adds a panel's columns times a block of tokens.
  template <int kTokens>
  [[gnu::noinline]] void multiply_by(int64_t token, int64_t row, int64_t c, int64_t cols,
                                     const std::byte* weights) const {
    const int64_t tokens = std::min<int64_t>(kTokens, call_.tokens - token);
    const uint64_t rows = ~uint64_t{0} >> (kBf16PanelRows - std::min(kBf16PanelRows, call_.last - row));
    const uint16_t* x = call_.x.pairs + token * call_.x.stride + c * kTokens;
    float* y = call_.y + token * call_.y_stride + row;
    const auto rows_of = [rows](int v) { return static_cast<__mmask16>(rows >> 16 * v); };
    __m512 sums[kTokens][kVectors];
#pragma GCC unroll 6
    for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[t][v] = c == 0 || t >= tokens ? _mm512_setzero_ps()
                                           : _mm512_maskz_loadu_ps(rows_of(v), y + t * call_.y_stride + 16 * v);
      }
    }
    for (int64_t pair = 0; pair < cols / 2; ++pair, weights += kPairBytes, x += 2 * kTokens) {
      __m512bh w[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) w[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(weights + 64 * v));
#pragma GCC unroll 6
      for (int t = 0; t < kTokens; ++t) {
        int32_t two;
        std::memcpy(&two, x + 2 * t, sizeof two);
        const auto values = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[t][v] = _mm512_dpbf16_ps(sums[t][v], w[v], values);
      }
    }
#pragma GCC unroll 6
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tokens) break;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        _mm512_mask_storeu_ps(y + t * call_.y_stride + 16 * v, rows_of(v), sums[t][v]);
      }
    }
  }

  const Bf16GemmCall& call_;
};

}  // namespace

void bf16_gemm_avx512bf16(const Bf16GemmCall& call) { Bf16GemmLoop(call).run(); }

}  // namespace bitloom
