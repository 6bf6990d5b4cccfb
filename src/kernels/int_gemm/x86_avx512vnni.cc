// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include <array>

#include "kernels/int_dot/x86_avx512.h"
#include "kernels/int_gemm/folded_columns.h"
#include "kernels/int_gemm/panel_product.h"

namespace bitloom {
namespace {

/// How codes become bytes of a panel. By default 64 columns of a row in their order.
template <class C>
struct PanelCodes : C {
  using C::C;
  static constexpr bool kPairs = false, kFolded = false;
};

/// Codes of four bits come apart after they have been transposed: split() makes the even columns' bytes and the odd
/// ones' of pairs.
template <>
struct PanelCodes<BitCodes<4>> : BitCodes<4> {
  explicit PanelCodes(const IntRows& w) : BitCodes<4>(w), flip_(_mm512_set1_epi8(w.zeros == nullptr ? 8 : 0)) {}
  static constexpr bool kPairs = true, kFolded = false;
  void split(__m512i pairs, __m512i (&out)[2]) const {
    const __m512i mask = _mm512_set1_epi8(15), raise = _mm512_set1_epi8(120);
    out[0] = _mm512_add_epi8(masked(pairs, mask, flip_), raise);
    out[1] = _mm512_add_epi8(masked(_mm512_srli_epi16(pairs, 4), mask, flip_), raise);
  }

 private:
  __m512i flip_;
};

/// The same of what a table maps to levels.
template <>
struct PanelCodes<NibbleTable> : NibbleTable {
  using NibbleTable::NibbleTable;
  static constexpr bool kPairs = true, kFolded = false;
  void split(__m512i pairs, __m512i (&out)[2]) const {
    out[0] = look_up(pairs), out[1] = look_up(_mm512_srli_epi16(pairs, 4));
  }
};

/// Two vectors of folded columns.
template <CodeKind kKind>
struct FoldedPanelCodes : BlockCodes<kKind>, FoldedColumns<kKind> {
  static constexpr bool kPairs = false, kFolded = true;
  static constexpr int offset = 128;
  explicit FoldedPanelCodes(const IntRows& w) : BlockCodes<kKind>(w) {}
  void bytes(const std::byte* row, int64_t column, const std::byte*, __m512i (&out)[1]) const {
    const auto half = [&](int64_t at) { return FoldedColumns<kKind>::folded_columns(row, at); };
    out[0] = _mm512_inserti64x4(_mm512_castsi256_si512(half(column)), half(column + 32), 1);
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

template <class C>
class PanelLoop {
 public:
  explicit PanelLoop(const IntGemmCall& call) : call_(call), w_(call.w), codes_(call.w), real_(call.w) {
    const PanelPlan plan = plan_panels(w_, C::kBits, C::kMinimums, Codes::kFolded);
    scales_ = plan.scales, blocks_ = plan.blocks, steps_ = plan.steps, steps_per_group_ = plan.steps_per_group;
    minimum_columns_ = plan.minimum_columns, subtracts_zeros_ = plan.subtracts_zeros;
    product_ = find_panel_product(scales_, minimum_columns_);
    end_ = w_.codes + w_.rows * w_.row_bytes;
  }

  void run() const {
    if (call_.tokens <= kTokenBlock) return run_few();
    for_panels<uint8_t>(
        call_, [this](int64_t first, const Panel& to) { unpack(first, to); },
        [this](int64_t block, int64_t first, const Panel& from) { multiply(block, first, from, 0, blocks_); });
  }

 private:
  using Codes = PanelCodes<C>;
  static constexpr int64_t kEight = 0x0808080808080808;

  /// Of a single block of tokens, which needs a panel once: some columns at a time, which are multiplied from the first
  /// cache and leave memory the time to bring the next ones.
  void run_few() const {
    const int64_t together = scales_ == PanelScales::kGroups ? steps_per_group_ : 1;
    int64_t count = together;  // of blocks: whole groups, and whole 128 columns, as unpack_pairs() takes them
    while (count < blocks_ && (count < 8 || count % 4 != 0)) count += together;
    const Panel panel = panel_of<uint8_t>(call_, 0);
    for (int64_t row = call_.first; row < call_.last; row += kPanelRows) {
      Row rows[kPanelRows];
      start(row, rows, panel);
      for (int64_t b = 0; b < blocks_; b += count) {
        const int64_t end = std::min(b + count, blocks_);
        unpack_columns(rows, panel, b * kInputBlock, std::min(end * kInputBlock, w_.cols));
        multiply(0, row, panel, b, end);
      }
    }
  }

  void unpack(int64_t first, const Panel& to) const {
    Row rows[kPanelRows];
    start(first, rows, to);
    unpack_columns(rows, to, 0, w_.cols);
  }

  /// Rows from `first` on, the last row again where there are no more; their scales.
  [[gnu::noinline]] void start(int64_t first, Row (&rows)[kPanelRows], const Panel& to) const {
    for (int64_t i = 0; i < kPanelRows; ++i) {
      rows[i] = row_of(w_, std::min(first + i, call_.last - 1));
      if (subtracts_zeros_) spread_zeros(rows[i], zeros_of(to, i));
    }
    if constexpr (Codes::kFolded) {
      unpack_folded_scales(rows, to);
    } else {
      unpack_scales(rows, to);
    }
  }

  /// The rows that follow. They are fetched in the order in which they lie, whatever is unpacked meanwhile: the
  /// processor's own fetching follows one stream in a page of memory, not the four of as many rows.
  const char* next_panel(const Row (&rows)[kPanelRows]) const {
    return reinterpret_cast<const char*>(rows[0].codes + kPanelRows * w_.row_bytes);
  }

  /// Columns [first, last), which the panel begins with.
  [[gnu::noinline]] void unpack_columns(const Row (&rows)[kPanelRows], const Panel& to, int64_t first,
                                        int64_t last) const {
    if constexpr (Codes::kPairs) {
      if (!subtracts_zeros_) return unpack_pairs(rows, to, first, last);
    }
    if constexpr (C::kVectors == 1) unpack_codes(rows, to, first, last);
  }

  void unpack_codes(const Row (&rows)[kPanelRows], const Panel& to, int64_t first, int64_t last) const {
    const __m512i raise = _mm512_set1_epi8(static_cast<char>(128 - codes_.offset));
    const __m512i places = _mm512_set1_epi64(0x0705030106040200);  // of panel_column()
    const __m512i order = _mm512_add_epi8(places, _mm512_set_epi64(kEight, 0, kEight, 0, kEight, 0, kEight, 0));
    const int64_t step = w_.row_bytes * 64 / w_.cols;
    const char* next = next_panel(rows) + first / 64 * kPanelRows * step;
    for (int64_t c = first; c < last; c += 64) {
      __m512i levels[kPanelRows];
      for (int64_t i = 0; i < kPanelRows; ++i, next += step) {
        __m512i codes[1];
        _mm_prefetch(next, _MM_HINT_T1);
        codes_.bytes(rows[i].codes, c, end_, codes);
        const __m512i up = subtracts_zeros_ ? minus_zeros(zeros_of(to, i) + c / 16) : raise;
        levels[i] = _mm512_shuffle_epi8(_mm512_add_epi8(codes[0], up), order);
      }
      transpose_fours(levels);
      for (int k = 0; k < 16; ++k) _mm512_store_si512(to.levels + (c - first) * kPanelRows + 64 * k, levels[k]);
    }
  }

  void unpack_pairs(const Row (&rows)[kPanelRows], const Panel& to, int64_t first, int64_t last) const {
    const char* next = next_panel(rows) + first / 2 * kPanelRows;
    for (int64_t c = first; c < last; c += 128) {
      __m512i pairs[kPanelRows];
      for (int64_t i = 0; i < kPanelRows; ++i, next += 64) {
        const std::byte* p = rows[i].codes + c / 2;
        _mm_prefetch(next, _MM_HINT_T1);
        pairs[i] = Avx512::load_some(p, end_ - p);
      }
      transpose_fours(pairs);
      for (int k = 0; k < 16; ++k) {
        __m512i bytes[2];
        codes_.split(pairs[k], bytes);
        uint8_t* at = to.levels + (c - first) * kPanelRows + 128 * k;
        _mm512_store_si512(at, bytes[0]), _mm512_store_si512(at + 64, bytes[1]);
      }
    }
  }

  /// The panel's scales and minimums.
  void unpack_scales(const Row (&rows)[kPanelRows], const Panel& to) const {
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    const int64_t scales_per_group = scales_ == PanelScales::kGroups ? 1 : steps_per_group_;
    const int64_t scales_end = scales_ == PanelScales::kGroups ? groups : steps_;
    alignas(64) float scales[kPanelRows][kSegmentGroups + 32], minimums[kPanelRows][kSegmentGroups];
    for (int64_t first = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      for (int64_t i = 0; i < kPanelRows; ++i) {
        if constexpr (C::kBlocks) {
          C::scales(rows[i].codes, first, count, scales[i], minimums[i]);
        } else if (w_.real_zeros) {
          SecondNumbers second;
          widen_second(rows[i], first, count, second);
          real_.widen(rows[i], second, first, count, codes_.offset, scales[i], minimums[i]);
        } else {
          widen_scales(w_, rows[i], first, count, scales[i]);
          if (minimum_columns_ != 0) zero_minimums(rows[i], first, count, scales[i], minimums[i]);
        }
      }
      spread(scales, first, count, scales_per_group, scales_end, to.scales);
      if (minimum_columns_ != 0) spread(minimums, first, count, steps_per_group_, steps_, to.minimums);
    }
    if (scales_ != PanelScales::kSixteens || steps_ % 2 == 0) return;
    // Of the second half of the last block, which is read.
    _mm512_store_ps(to.scales + steps_ * kPanelRows, _mm512_setzero_ps());
    if (minimum_columns_ != 0) _mm512_store_ps(to.minimums + steps_ * kPanelRows, _mm512_setzero_ps());
  }

  /// The same of folded codes: a scale for 256 columns, a minimum for sixteen.
  void unpack_folded_scales(const Row (&rows)[kPanelRows], const Panel& to) const {
    const int64_t groups = w_.cols / 16;
    alignas(64) float scales[kPanelRows][kSegmentGroups / 16], minimums[kPanelRows][kSegmentGroups];
    for (int64_t first = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      for (int64_t i = 0; i < kPanelRows; ++i) {
        float unused[kSegmentGroups];
        if constexpr (C::kMinimums) C::scales(rows[i].codes, first, count, unused, minimums[i]);
        for (int64_t b = 0; b < count / 16; ++b) {
          scales[i][b] = Codes::block_scale(C::block(rows[i].codes, (first + 16 * b) * 16));
        }
      }
      spread(scales, first / 16, count / 16, 1, groups / 16, to.scales);
      if constexpr (C::kMinimums) spread(minimums, first, count, 1, groups, to.minimums);
    }
  }

  /// Groups [first, first + count) of all rows, `each` times but before `end`, times the matrix's factor.
  template <int kWidth>
  void spread(const float (&rows)[kPanelRows][kWidth], int64_t first, int64_t count, int64_t each, int64_t end,
              float* to) const {
    const __m512 factor = _mm512_set1_ps(w_.factor);
    for (int64_t g = 0; g < count; g += 16) {
      __m512i values[kPanelRows];
      for (int64_t i = 0; i < kPanelRows; ++i) {
        values[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(rows[i] + g), factor));
      }
      transpose_fours(values);
      for (int64_t k = 0; k < std::min<int64_t>(16, count - g); ++k) {
        const int64_t at = (first + g + k) * each;
        for (int64_t i = at; i < std::min(at + each, end); ++i) {
          _mm512_store_si512(to + i * kPanelRows, values[k]);
        }
      }
    }
  }

  void zero_minimums(const Row& row, int64_t first, int64_t count, const float* scales, float* minimums) const {
    for (int64_t g = 0; g < count; ++g) {
      minimums[g] = scales[g] * static_cast<float>(codes_.offset - zero_at(row, C::kBits, first + g));
    }
  }

  /// Zero points of every sixteen columns of the panel's row `lane`, in the place of minimums.
  int8_t* zeros_of(const Panel& to, int64_t lane) const {
    return reinterpret_cast<int8_t*>(to.minimums) + lane * (call_.x.stride / 16);
  }
  void spread_zeros(const Row& row, int8_t* zeros) const {
    const int64_t sixteens = (w_.cols + 15) / 16, per_group = w_.group >= w_.cols ? sixteens : w_.group / 16;
    for (int64_t b = 0, g = 0; b < sixteens; b += per_group, ++g) {
      std::fill_n(zeros + b, std::min(per_group, sixteens - b), static_cast<int8_t>(zero_at(row, C::kBits, g)));
    }
  }
  /// 128 less the zero points of 64 columns.
  static __m512i minus_zeros(const int8_t* zeros) {
    int32_t four;
    std::memcpy(&four, zeros, sizeof four);
    const __m512i places = _mm512_set_epi64(0x0303030303030303, 0x0303030303030303, 0x0202020202020202,
                                            0x0202020202020202, 0x0101010101010101, 0x0101010101010101, 0, 0);
    return _mm512_sub_epi8(_mm512_set1_epi8(-128), _mm512_shuffle_epi8(_mm512_set1_epi32(four), places));
  }

  /// Blocks of columns [first, last).
  void multiply(int64_t block, int64_t row, const Panel& from, int64_t first, int64_t last) const {
    const TokenBlock x = token_block_of(call_, block, minimum_columns_);
    const auto rows = static_cast<__mmask16>((1 << std::min(kPanelRows, call_.last - row)) - 1);
    float* y = call_.y + block * kTokenBlock * call_.y_stride + row;
    product_(token_block(x.tokens), from, x, {first, last, steps_per_group_}, rows, y, call_.y_stride);
  }

  const IntGemmCall& call_;
  const IntRows& w_;
  Codes codes_;
  RealScales real_;
  PanelScales scales_;
  PanelProduct* product_;
  int64_t blocks_, steps_, steps_per_group_;  // a step is what a scale serves at least
  int minimum_columns_;
  bool subtracts_zeros_;
  const std::byte* end_;
};

}  // namespace

#define BITLOOM_GEMM(name, ...) \
  void int_gemm_##name##_avx512vnni(const IntGemmCall& call) { PanelLoop<__VA_ARGS__>(call).run(); }
BITLOOM_GEMM(i2, BitCodes<2>)
BITLOOM_GEMM(i3, BitCodes<3>)
BITLOOM_GEMM(i4, BitCodes<4>)
BITLOOM_GEMM(i5, BitCodes<5>)
BITLOOM_GEMM(i6, BitCodes<6>)
BITLOOM_GEMM(i7, BitCodes<7>)
BITLOOM_GEMM(i8, BitCodes<8>)
BITLOOM_GEMM(t4, NibbleTable)
BITLOOM_GEMM(mixed, MixedCodes)
#define BITLOOM_BLOCKS(name, kind) BITLOOM_GEMM(name, BlockCodes<CodeKind::kind>)
#include "kernels/int_dot/blocks.inc"
#undef BITLOOM_BLOCKS
#undef BITLOOM_GEMM

}  // namespace bitloom
