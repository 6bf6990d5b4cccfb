// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include <array>

#include "kernels/int_dot/x86_avx512.h"
#include "kernels/int_gemm/panel_product.h"

namespace bitloom {
namespace {

/// Four bits that a table maps to levels, in the order of columns.
struct TableCodes : Bitstream<4> {
  static constexpr int kVectors = 1, offset = 128;
  explicit TableCodes(const IntRows& w) : table_(w) {}
  void bytes(const std::byte* row, int64_t column, const std::byte* end, __m512i (&out)[1]) const {
    out[0] =
        table_.look_up(BitCodes<4>::apart(Avx512::load_some(row + bytes_to(column), end - row - bytes_to(column))));
  }

 private:
  NibbleTable table_;
};

template <class C>
class PanelLoop {
 public:
  explicit PanelLoop(const IntGemmCall& call) : call_(call), w_(call.w), codes_(call.w) {
    const bool whole_row = w_.group >= w_.cols, sixteens = !whole_row && w_.group % 32 != 0;
    blocks_ = (w_.cols + 31) / 32;
    steps_ = sixteens ? (w_.cols + 15) / 16 : blocks_;
    step_ = sixteens ? 16 : 32;
    steps_per_group_ = whole_row ? steps_ : w_.group / step_;
    subtracts_zeros_ = w_.zeros != nullptr && C::kBits < 8;
    minimum_columns_ = C::kMinimums || (w_.zeros != nullptr && !subtracts_zeros_) ? step_ : 0;
    scales_ = sixteens ? PanelScales::kSixteens : steps_per_group_ == 1 ? PanelScales::kBlocks : PanelScales::kGroups;
    product_ = find_panel_product(scales_, minimum_columns_);
    end_ = w_.codes + w_.rows * w_.row_bytes;
  }

  void run() const {
    const int64_t panels = (call_.last - call_.first + kPanelRows - 1) / kPanelRows;
    for (int64_t i = 0; i < panels; ++i) unpack(call_.first + i * kPanelRows, panel(i));
    for (int64_t block = 0; block * kTokenBlock < call_.tokens; ++block) {
      for (int64_t i = 0; i < panels; ++i) multiply(block, call_.first + i * kPanelRows, panel(i));
    }
  }

 private:
  Panel panel(int64_t i) const {
    const int64_t wide = call_.x.stride, scales = kPanelRows * (wide / 16);
    std::byte* at = call_.scratch + i * panel_bytes(kPanelRows, w_.cols);
    auto* floats = reinterpret_cast<float*>(at + kPanelRows * wide);
    return {reinterpret_cast<uint8_t*>(at), floats, floats + scales};
  }

  /// Rows from `first` on; the last row again where there are no more.
  void unpack(int64_t first, const Panel& to) const {
    Row rows[kPanelRows];
    for (int64_t i = 0; i < kPanelRows; ++i) {
      rows[i] = row_of(w_, std::min(first + i, call_.last - 1));
      unpack_scales(rows[i], i, to);
      if (subtracts_zeros_) spread_zeros(rows[i], zeros_of(to, i));
    }
    const __m512i raise = _mm512_set1_epi8(static_cast<char>(128 - codes_.offset));
    for (int64_t c = 0; c < w_.cols; c += 64) {
      __m512i levels[kPanelRows];
      for (int64_t i = 0; i < kPanelRows; ++i) {
        __m512i codes[1];
        codes_.bytes(rows[i].codes, c, end_, codes);
        levels[i] = _mm512_add_epi8(codes[0], subtracts_zeros_ ? minus_zeros(zeros_of(to, i) + c / 16) : raise);
      }
      transpose_fours(levels, to.codes + c * kPanelRows);
    }
  }

  /// Lane `lane` of the panel's scales and minimums.
  void unpack_scales(const Row& row, int64_t lane, const Panel& to) const {
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    const bool by_group = scales_ == PanelScales::kGroups;
    float scales[kSegmentGroups + 32], minimums[kSegmentGroups];
    float *at = to.scales + lane, *minimum_at = to.minimums + lane;
    for (int64_t first = 0, b = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      if constexpr (C::kBlocks) {
        C::scales(row.codes, first, count, scales, minimums);
      } else {
        widen_scales(w_, row, first, count, scales);
        if (minimum_columns_ != 0) zero_minimums(row, first, count, scales, minimums);
      }
      for (int64_t g = 0; g < count; ++g) {
        const int64_t steps = std::min(steps_ - b, steps_per_group_);
        for (int64_t i = 0; i < (by_group ? 1 : steps); ++i, at += kPanelRows) *at = w_.factor * scales[g];
        for (int64_t i = 0; minimum_columns_ != 0 && i < steps; ++i, minimum_at += kPanelRows) {
          *minimum_at = w_.factor * minimums[g];
        }
        b += steps;
      }
    }
    if (scales_ != PanelScales::kSixteens || steps_ % 2 == 0) return;
    *at = 0;  // of the second half of the last block, which is read
    if (minimum_columns_ != 0) *minimum_at = 0;
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

  void multiply(int64_t block, int64_t row, const Panel& from) const {
    const TokenBlock x = token_block_of(call_, block, minimum_columns_);
    const auto rows = static_cast<__mmask16>((1 << std::min(kPanelRows, call_.last - row)) - 1);
    float* y = call_.y + block * kTokenBlock * call_.y_stride + row;
    product_(token_block(x.tokens), from, x, {blocks_, steps_per_group_}, rows, y, call_.y_stride);
  }

  const IntGemmCall& call_;
  const IntRows& w_;
  C codes_;
  PanelScales scales_;
  PanelProduct* product_;
  int64_t blocks_, steps_, steps_per_group_;  // a step is what a scale serves at least
  int step_, minimum_columns_;
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
BITLOOM_GEMM(t4, TableCodes)
#define BITLOOM_BLOCKS(name, kind) BITLOOM_GEMM(name, BlockCodes<CodeKind::kind>)
#include "kernels/int_dot/blocks.inc"
#undef BITLOOM_BLOCKS
#undef BITLOOM_GEMM

}  // namespace bitloom
