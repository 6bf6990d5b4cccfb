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
    step_ = w_.group % 32 == 0 || w_.group >= w_.cols ? 32 : 16;
    steps_ = (w_.cols + step_ - 1) / step_;
    steps_per_group_ = w_.group >= w_.cols ? steps_ : w_.group / step_;
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

  bool has_minimums() const { return C::kMinimums || w_.zeros != nullptr; }

  /// Rows from `first` on; the last row again where there are no more.
  void unpack(int64_t first, const Panel& to) const {
    Row rows[kPanelRows];
    for (int64_t i = 0; i < kPanelRows; ++i) {
      rows[i] = row_of(w_, std::min(first + i, call_.last - 1));
      unpack_scales(rows[i], i, to);
    }
    const __m512i raise = _mm512_set1_epi8(static_cast<char>(128 - codes_.offset));
    for (int64_t c = 0; c < w_.cols; c += 64) {
      __m512i levels[kPanelRows];
      for (int64_t i = 0; i < kPanelRows; ++i) {
        __m512i codes[1];
        codes_.bytes(rows[i].codes, c, end_, codes);
        levels[i] = _mm512_add_epi8(codes[0], raise);
      }
      transpose_fours(levels, to.codes + c * kPanelRows);
    }
  }

  /// Lane `lane` of the panel's scales and minimums.
  void unpack_scales(const Row& row, int64_t lane, const Panel& to) const {
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    float scales[kSegmentGroups + 32], minimums[kSegmentGroups];
    for (int64_t first = 0, b = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      if constexpr (C::kBlocks) {
        C::scales(row.codes, first, count, scales, minimums);
      } else {
        widen_scales(w_, row, first, count, scales);
        if (w_.zeros != nullptr) zero_minimums(row, first, count, scales, minimums);
      }
      for (int64_t g = 0; g < count; ++g) {
        const float scale = w_.factor * scales[g], minimum = has_minimums() ? w_.factor * minimums[g] : 0.0f;
        for (int64_t end = std::min(steps_, b + steps_per_group_); b < end; ++b) {
          to.scales[b * kPanelRows + lane] = scale;
          if (has_minimums()) to.minimums[b * kPanelRows + lane] = minimum;
        }
      }
    }
  }

  void zero_minimums(const Row& row, int64_t first, int64_t count, const float* scales, float* minimums) const {
    for (int64_t g = 0; g < count; ++g) {
      minimums[g] = scales[g] * static_cast<float>(codes_.offset - zero_at(row, C::kBits, first + g));
    }
  }

  void multiply(int64_t block, int64_t row, const Panel& from) const {
    const TokenBlock x = token_block_of(call_, block, step_);
    const auto rows = static_cast<__mmask16>((1 << std::min(kPanelRows, call_.last - row)) - 1);
    float* y = call_.y + block * kTokenBlock * call_.y_stride + row;
    const int64_t width = token_block(x.tokens);
    if (step_ == 32) {
      has_minimums() ? panel_product_of<32, true>(width, from, x, steps_, rows, y, call_.y_stride)
                     : panel_product_of<32, false>(width, from, x, steps_, rows, y, call_.y_stride);
    } else {
      has_minimums() ? panel_product_of<16, true>(width, from, x, steps_, rows, y, call_.y_stride)
                     : panel_product_of<16, false>(width, from, x, steps_, rows, y, call_.y_stride);
    }
  }

  const IntGemmCall& call_;
  const IntRows& w_;
  C codes_;
  int64_t step_, steps_, steps_per_group_;
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
