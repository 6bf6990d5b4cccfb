#pragma once
// A panel of unpacked rows times blocks of tokens, in 256-bit vectors. Products of bytes are added in 16 bits first,
// which holds as many of them as the levels are small, but where ARM has a step for dot products of bytes, or for those
// of two rows with two tokens. In an unnamed namespace: for sources with flags of their own.

#include <algorithm>
#include <cstring>

#if defined(__ARM_FEATURE_DOTPROD)
#include "kernels/arm_dot.h"
#endif
#include "kernels/int_dot/x86_avx2.h"
#include "kernels/int_gemm/folded_columns.h"
#include "kernels/int_gemm/panel_plan.h"

namespace bitloom {
namespace {

/// How levels of a panel are multiplied. kOffset: what they are raised by, to unsigned bytes; 0: their signs go to the
/// input. kSteps: fours of columns whose products fit 16 bits, 2 * 127 times the greatest byte each.
template <int kOffset_>
struct Raised {
  static constexpr int kOffset = kOffset_, kSteps = kOffset == 0 ? 1 : 64 / std::max(kOffset, 1);
};

/// Less a zero point a level may be as great as all of its bits.
constexpr int raise_of(bool wide, int bits) { return wide || bits > 6 ? 0 : bits <= 4 ? 16 : 1 << bits; }

/// How codes become levels of a panel: 32 columns of a row in their order.
template <class C>
struct PanelCodes : C, Raised<raise_of(C::kWide, C::kBits)> {
  using C::C;
  static constexpr bool kFolded = false;
};

template <CodeKind kKind>
struct FoldedPanelCodes : BlockCodes<kKind>, FoldedColumns<kKind>, Raised<0> {
  static constexpr bool kFolded = true;
  static constexpr int offset = 128;
  explicit FoldedPanelCodes(const IntRows& w) : BlockCodes<kKind>(w) {}
  void bytes(const std::byte* row, int64_t column, const std::byte*, __m256i (&out)[1]) const {
    out[0] = FoldedColumns<kKind>::folded_columns(row, column);
  }
};
template <>
struct PanelCodes<BlockCodes<CodeKind::kQ2_K>> : FoldedPanelCodes<CodeKind::kQ2_K> {
  using FoldedPanelCodes::FoldedPanelCodes;
};
template <>
struct PanelCodes<BlockCodes<CodeKind::kQ3_K>> : FoldedPanelCodes<CodeKind::kQ3_K> {
  using FoldedPanelCodes::FoldedPanelCodes;
};

using Panel = PanelOf<int8_t>;  // levels raised by kOffset

/// Columns of a row that lie side by side in a panel, which is [columns / kSideColumns, kPanelRows, kSideColumns].
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int kSideColumns = 8;
#else
constexpr int kSideColumns = 4;
#endif

/// Some tokens of a block: what they begin with in the input's arrays, and how many lie side by side there.
struct Tokens {
  const int8_t* digits;
  const float *scales, *values;
  const int32_t *sums16, *sums32;
  int64_t width;
};

struct Sums {
  __m256i halves[2];  // eight rows each
};
struct Totals {
  __m256 halves[2];
};

inline Totals load_rows(const float* p) { return {{_mm256_load_ps(p), _mm256_load_ps(p + 8)}}; }
inline Totals to_float(const Sums& sums) {
  return {{_mm256_cvtepi32_ps(sums.halves[0]), _mm256_cvtepi32_ps(sums.halves[1])}};
}
inline Totals multiply(const Totals& a, const Totals& b) {
  return {{_mm256_mul_ps(a.halves[0], b.halves[0]), _mm256_mul_ps(a.halves[1], b.halves[1])}};
}
inline void add_product(const Totals& a, const Totals& b, Totals& to) {
  for (int h = 0; h < 2; ++h) to.halves[h] = _mm256_fmadd_ps(a.halves[h], b.halves[h], to.halves[h]);
}
inline Totals every_row(float x) { return {{_mm256_set1_ps(x), _mm256_set1_ps(x)}}; }

/// What a level and four digits of the input make, in pairs.
template <class R>
inline __m256i multiply_bytes(__m256i levels, __m256i digits) {
  if constexpr (R::kOffset > 0) return _mm256_maddubs_epi16(levels, digits);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(digits, levels));
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/// Eight columns of two tokens, which lie by fours, as rows of a matrix.
inline int8x16_t two_tokens(const int8_t* digits, int64_t width) {
  const int32x2_t low = vreinterpret_s32_s8(vld1_s8(digits)), high = vreinterpret_s32_s8(vld1_s8(digits + 4 * width));
  return vreinterpretq_s8_s32(vcombine_s32(vzip1_s32(low, high), vzip2_s32(low, high)));
}

/// sums[r] += of rows 2 r and 2 r + 1 (the matrices' rows) times tokens t and t + 1 (their columns), for even t. A last
/// token has one of the block's padding beside it.
template <int kTokens, int kColumns>
inline void add_products(const int8_t* levels, const int8_t* digits, int64_t width,
                         int32x4_t (&sums)[(kTokens + 1) / 2][kPanelRows / 2]) {
  constexpr int kPairs = (kTokens + 1) / 2;
  for (int k = 0; k < kColumns / 8; ++k) {
    int8x16_t input[kPairs];
#pragma GCC unroll 2
    for (int p = 0; p < kPairs; ++p) input[p] = two_tokens(digits + (2 * k * width + 2 * p) * 4, width);
#pragma GCC unroll 8
    for (int r = 0; r < kPanelRows / 2; ++r) {
      const int8x16_t weights = vld1q_s8(levels + (k * kPanelRows + 2 * r) * 8);
#pragma GCC unroll 2
      for (int p = 0; p < kPairs; ++p) sums[p][r] = vmmlaq_s32(sums[p][r], weights, input[p]);
    }
  }
}

/// Eight rows of a token, which is column `token` of two.
inline __m256i rows_of_token(const int32x4_t* sums, int token) {
  const auto four = [token](int32x4_t a, int32x4_t b) {
    return simde__m128i_from_neon_i32(token == 0 ? vuzp1q_s32(a, b) : vuzp2q_s32(a, b));
  };
  return _mm256_set_m128i(four(sums[2], sums[3]), four(sums[0], sums[1]));
}
#endif

/// sum <- products of kColumns columns with kTokens tokens, whose digits' sums times -128 are given.
template <class R, int kTokens, int kColumns>
inline void multiply_columns(const int8_t* levels, const int8_t* digits, const int32_t* sums, int64_t width,
                             Sums (&sum)[kTokens]) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
  int32x4_t products[(kTokens + 1) / 2][kPanelRows / 2];
  for (int t = 0; t < kTokens; t += 2) {
    const int32_t starts[2] = {sums[t] / 128 * R::kOffset, sums[t + 1] / 128 * R::kOffset};
    for (int32x4_t& of_rows : products[t / 2]) of_rows = vcombine_s32(vld1_s32(starts), vld1_s32(starts));
  }
  add_products<kTokens, kColumns>(levels, digits, width, products);
  for (int t = 0; t < kTokens; ++t) {
    sum[t] = {{rows_of_token(products[t / 2], t % 2), rows_of_token(products[t / 2] + 4, t % 2)}};
  }
#else
  for (int t = 0; t < kTokens; ++t) {
    const __m256i start = _mm256_set1_epi32(sums[t] / 128 * R::kOffset);
    sum[t] = {{start, start}};
  }
#if defined(__ARM_FEATURE_DOTPROD)
  for (int k = 0; k < kColumns / 4; ++k) {
    const auto* at = reinterpret_cast<const __m256i*>(levels + k * 4 * kPanelRows);
    const __m256i weights[2] = {_mm256_load_si256(at), _mm256_load_si256(at + 1)};
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      int32_t four;
      std::memcpy(&four, digits + (k * width + t) * 4, sizeof four);
      const __m256i input = _mm256_set1_epi32(four);
      for (int h = 0; h < 2; ++h) sum[t].halves[h] = signed_dot(sum[t].halves[h], weights[h], input);
    }
  }
#else
  constexpr int kTogether = std::min(R::kSteps, kColumns / 4);
  for (int k = 0; k < kColumns / 4; k += kTogether) {
    __m256i pairs[kTokens][2];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) {
      const auto* at = reinterpret_cast<const __m256i*>(levels + (k + i) * 4 * kPanelRows);
      const __m256i weights[2] = {_mm256_load_si256(at), _mm256_load_si256(at + 1)};
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        int32_t four;
        std::memcpy(&four, digits + ((k + i) * width + t) * 4, sizeof four);
        const __m256i input = _mm256_set1_epi32(four);
        for (int h = 0; h < 2; ++h) {
          const __m256i products = multiply_bytes<R>(weights[h], input);
          pairs[t][h] = i == 0 ? products : _mm256_add_epi16(pairs[t][h], products);
        }
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      for (int h = 0; h < 2; ++h) {
        const __m256i fours = _mm256_madd_epi16(pairs[t][h], _mm256_set1_epi16(1));
        sum[t].halves[h] = _mm256_add_epi32(sum[t].halves[h], fours);
      }
    }
  }
#endif
#endif
}

/// A panel times kTokens tokens: see PanelScales.
template <class R, int kTokens>
void multiply_panel(const Panel& panel, const Tokens& x, const PanelPlan& plan, int64_t rows, float* y,
                    int64_t y_stride) {
  Totals total[kTokens];
  for (Totals& of_token : total) of_token = every_row(0);
  Sums sum[kTokens];
  const float* scales = panel.scales;
  const int64_t together = plan.scales == PanelScales::kGroups ? plan.steps_per_group : 1;
  const int64_t minimums = plan.minimum_columns == 0 ? 0 : kInputBlock / plan.minimum_columns;
  for (int64_t b = 0, end; b < plan.blocks; b = end) {
    end = std::min(b + together, plan.blocks);
    const int8_t* levels = panel.levels + b * kInputBlock * kPanelRows;
    const int8_t* digits = x.digits + b * kInputBlock * x.width;
    if (plan.scales == PanelScales::kSixteens) {
      multiply_columns<R, kTokens, 16>(levels, digits, x.sums16 + 2 * b * x.width, x.width, sum);
      Totals part[kTokens];
      for (int t = 0; t < kTokens; ++t) part[t] = multiply(to_float(sum[t]), load_rows(scales));
      multiply_columns<R, kTokens, 16>(levels + 16 * kPanelRows, digits + 16 * x.width,
                                       x.sums16 + (2 * b + 1) * x.width, x.width, sum);
      for (int t = 0; t < kTokens; ++t) {
        add_product(to_float(sum[t]), load_rows(scales + kPanelRows), part[t]);
        add_product(part[t], every_row(x.scales[b * x.width + t]), total[t]);
      }
      scales += 2 * kPanelRows;
    } else if (plan.scales == PanelScales::kBlocks) {
      multiply_columns<R, kTokens, kInputBlock>(levels, digits, x.sums32 + b * x.width, x.width, sum);
      for (int t = 0; t < kTokens; ++t) {
        const Totals value = multiply(to_float(sum[t]), every_row(x.scales[b * x.width + t]));
        add_product(value, load_rows(scales), total[t]);
      }
      scales += kPanelRows;
    } else {
      Totals part[kTokens];
      for (Totals& of_token : part) of_token = every_row(0);
      for (int64_t i = b; i < end; ++i) {
        multiply_columns<R, kTokens, kInputBlock>(panel.levels + i * kInputBlock * kPanelRows,
                                                  x.digits + i * kInputBlock * x.width, x.sums32 + i * x.width, x.width,
                                                  sum);
        for (int t = 0; t < kTokens; ++t) {
          add_product(to_float(sum[t]), every_row(x.scales[i * x.width + t]), part[t]);
        }
      }
      for (int t = 0; t < kTokens; ++t) add_product(part[t], load_rows(scales), total[t]);
      scales += kPanelRows;
    }
    for (int64_t i = b * minimums; i < end * minimums; ++i) {
      for (int t = 0; t < kTokens; ++t) {
        add_product(every_row(x.values[i * x.width + t]), load_rows(panel.minimums + i * kPanelRows), total[t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    alignas(32) float of_rows[kPanelRows];
    _mm256_store_ps(of_rows, total[t].halves[0]), _mm256_store_ps(of_rows + 8, total[t].halves[1]);
    std::copy_n(of_rows, rows, y + t * y_stride);
  }
}

template <class C>
class PanelLoop {
 public:
  explicit PanelLoop(const IntGemmCall& call)
      : call_(call),
        w_(call.w),
        codes_(call.w),
        real_(call.w),
        plan_(plan_panels(call.w, C::kBits, C::kMinimums, Codes::kFolded)),
        end_(w_.codes + w_.rows * w_.row_bytes) {}

  void run() const {
    for_panels<int8_t>(
        call_, [this](int64_t first, const Panel& to) { unpack(first, to); },
        [this](int64_t block, int64_t first, const Panel& from) { multiply_block(block, first, from); });
  }

 private:
  using Codes = PanelCodes<C>;

  /// Rows from `first` on; the last row again where there are no more.
  void unpack(int64_t first, const Panel& to) const {
    for (int64_t i = 0; i < kPanelRows; ++i) {
      const Row row = row_of(w_, std::min(first + i, call_.last - 1));
      unpack_levels(row, i, to);
      Codes::kFolded ? unpack_folded_scales(row, i, to) : unpack_scales(row, i, to);
    }
  }

  void unpack_levels(const Row& row, int64_t lane, const Panel& to) const {
    const __m256i order = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0f0d0b090e0c0a08, 0x0705030106040200));
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    for (int64_t c = 0; c < w_.cols; c += 32) {
      __m256i bytes[1];
      codes_.bytes(row.codes, c, end_, bytes);
      __m256i offsets = _mm256_set1_epi8(static_cast<char>(codes_.offset - Codes::kOffset));
      if (plan_.subtracts_zeros) {
        const auto zero = [&](int64_t column) {
          const int code = zero_at(row, C::kBits, std::min(column / w_.group, groups - 1));
          return _mm_set1_epi8(static_cast<char>(code - Codes::kOffset));
        };
        offsets = _mm256_set_m128i(zero(c + 16), zero(c));
      }
      const __m256i levels = _mm256_shuffle_epi8(_mm256_sub_epi8(bytes[0], offsets), order);
      alignas(32) int8_t sides[32];
      _mm256_store_si256(reinterpret_cast<__m256i*>(sides), levels);
      int8_t* at = to.levels + c * kPanelRows + lane * kSideColumns;
      for (int k = 0; k < 32; k += kSideColumns) std::memcpy(at + k * kPanelRows, sides + k, kSideColumns);
    }
  }

  void unpack_scales(const Row& row, int64_t lane, const Panel& to) const {
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    const bool per_group = plan_.scales == PanelScales::kGroups;
    float scales[kSegmentGroups + 32], minimums[kSegmentGroups];
    for (int64_t first = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      if constexpr (C::kBlocks) {
        C::scales(row.codes, first, count, scales, minimums);
      } else if (w_.real_zeros) {
        SecondNumbers second;
        widen_second(row, first, count, second);
        real_.widen(row, second, first, count, codes_.offset, scales, minimums);
      } else {
        widen_scales(w_, row, first, count, scales);
        for (int64_t g = 0; plan_.minimum_columns != 0 && g < count; ++g) {
          minimums[g] = scales[g] * static_cast<float>(codes_.offset - zero_at(row, C::kBits, first + g));
        }
      }
      spread(scales, first, count, per_group ? 1 : plan_.steps_per_group, per_group ? groups : plan_.steps, lane,
             to.scales);
      if (plan_.minimum_columns != 0) {
        spread(minimums, first, count, plan_.steps_per_group, plan_.steps, lane, to.minimums);
      }
    }
    if (plan_.scales != PanelScales::kSixteens || plan_.steps % 2 == 0) return;
    // Of the second half of the last block, which is read.
    to.scales[plan_.steps * kPanelRows + lane] = 0;
    if (plan_.minimum_columns != 0) to.minimums[plan_.steps * kPanelRows + lane] = 0;
  }

  /// The same of folded codes: a scale for 256 columns, a minimum for sixteen.
  void unpack_folded_scales(const Row& row, int64_t lane, const Panel& to) const {
    if constexpr (Codes::kFolded) {
      for (int64_t b = 0; b < w_.cols / 256; ++b) {
        to.scales[b * kPanelRows + lane] = w_.factor * Codes::block_scale(C::block(row.codes, b * 256));
        if constexpr (C::kMinimums) {
          float unused[16], minimums[16];
          C::scales(row.codes, 16 * b, 16, unused, minimums);
          spread(minimums, 16 * b, 16, 1, w_.cols / 16, lane, to.minimums);
        }
      }
    }
  }

  /// Groups [first, first + count) of a row, `each` times but before `end`, times the matrix's factor.
  void spread(const float* row, int64_t first, int64_t count, int64_t each, int64_t end, int64_t lane,
              float* to) const {
    for (int64_t g = 0; g < count; ++g) {
      const int64_t at = (first + g) * each;
      for (int64_t i = at; i < std::min(at + each, end); ++i) to[i * kPanelRows + lane] = row[g] * w_.factor;
    }
  }

  void multiply_block(int64_t block, int64_t row, const Panel& from) const {
    const int64_t first = block * kTokenBlock, tokens = std::min(kTokenBlock, call_.tokens - first);
    const int64_t width = token_block(call_.tokens - first), rows = std::min(kPanelRows, call_.last - row);
    const PanelInput& x = call_.x;
    const float* values =
        plan_.minimum_columns == 16 ? x.values16 + first * (x.stride / 16) : x.values32 + first * (x.stride / 32);
    const Tokens all = {x.digits + first * x.stride,        x.scales + first * (x.stride / 32), values,
                        x.sums16 + first * (x.stride / 16), x.sums32 + first * (x.stride / 32), width};
    float* y = call_.y + first * call_.y_stride + row;
    const auto multiply_some = [&]<int kTokens>(int64_t t) {
      const Tokens some = {all.digits + 4 * t, all.scales + t, all.values + t, all.sums16 + t, all.sums32 + t, width};
      multiply_panel<Codes, kTokens>(from, some, plan_, rows, y + t * call_.y_stride, call_.y_stride);
    };
    int64_t t = 0;
    for (; t + 4 <= tokens; t += 4) multiply_some.template operator()<4>(t);
    for (; t + 2 <= tokens; t += 2) multiply_some.template operator()<2>(t);
    if (t < tokens) multiply_some.template operator()<1>(t);
  }

  const IntGemmCall& call_;
  const IntRows& w_;
  Codes codes_;
  RealScales real_;
  PanelPlan plan_;
  const std::byte* end_;
};

}  // namespace
}  // namespace bitloom
