// For any machine, in plain loops that a compiler can vectorise: a block of a panel is widened to 16 bits once for all
// tokens of a block. The fused steps are those of the vector kernels, so that bits are theirs, too.

#include <algorithm>
#include <cmath>

#include "kernels/int_dot/group_numbers.h"
#include "kernels/int_gemm/panel_plan.h"

namespace bitloom {
namespace {

using Panel = PanelOf<int8_t>;  // levels [blocks, kPanelRows, kInputBlock], columns as panel_column() says

/// The sums of a block of tokens.
using Totals = float[kTokenBlock][kPanelRows];

int dot(const int16_t* a, const int16_t* b, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <int kBits, CodeKind kCodes>
class PanelLoop {
 public:
  explicit PanelLoop(const IntGemmCall& call)
      : call_(call), w_(call.w), plan_(plan_panels(call.w, kBits, false, false)) {}

  void run() const {
    for_panels<int8_t>(
        call_, [this](int64_t first, const Panel& to) { unpack(first, to); },
        [this](int64_t block, int64_t first, const Panel& from) { multiply(block, first, from); });
  }

 private:
  static constexpr int kOffset = kCodes == CodeKind::kMixed ? kMixedMiddle : 1 << (kBits - 1);

  /// Rows from `first` on; the last row again where there are no more.
  void unpack(int64_t first, const Panel& to) const {
    std::fill_n(to.scales, 2 * (call_.x.stride / 16) * kPanelRows, 0.0f);  // and the minimums
    for (int64_t lane = 0; lane < kPanelRows; ++lane) {
      const int64_t r = std::min(first + lane, call_.last - 1), row = w_.order == nullptr ? r : w_.order[r];
      for (int64_t c = 0; c < w_.cols; c += kInputBlock) unpack_block(row, c, lane, to);
      unpack_scales(row, lane, to);
    }
  }

  void unpack_block(int64_t row, int64_t first, int64_t lane, const Panel& to) const {
    const int64_t count = std::min(kInputBlock, w_.cols - first);
    uint8_t codes[kInputBlock];
    const std::byte* start = w_.codes + row * w_.row_bytes;
    if constexpr (kCodes == CodeKind::kMixed) {
      const CodeRun& run = w_.runs[first / kRunColumns];
      unpack_bits(start + run.start, 0, count, run.bits, codes);
    } else {
      unpack_bits(start, first, count, kBits, codes);
    }
    int8_t* levels = to.levels + (first * kPanelRows + lane * kInputBlock);
    std::fill_n(levels, kInputBlock, int8_t{0});
    int zeros[2] = {};
    for (int64_t half = 0; plan_.subtracts_zeros && half < 2 && first + 16 * half < w_.cols; ++half) {
      const GroupNumbers group = group_numbers(w_, kBits, row / w_.group_rows, (first + 16 * half) / w_.group);
      zeros[half] = static_cast<int>(group.zero);
    }
    for (int64_t i = 0; i < count; ++i) levels[panel_column(i)] = static_cast<int8_t>(level(codes[i]) - zeros[i / 16]);
  }

  /// Codes of eight bits with zero points are lowered by 128, which minimums make up for.
  int level(int code) const {
    if (w_.levels != nullptr) return w_.levels[code];
    if (plan_.subtracts_zeros) return code;
    return w_.zeros != nullptr ? code - kOffset : (code ^ kOffset) - kOffset;
  }

  void unpack_scales(int64_t row, int64_t lane, const Panel& to) const {
    const bool per_group = plan_.scales == PanelScales::kGroups;
    const int64_t groups = (w_.cols + w_.group - 1) / w_.group;
    for (int64_t g = 0; g < groups; ++g) {
      const auto [scale, zero] = group_numbers(w_, kBits, row / w_.group_rows, g);
      spread(scale, g, per_group ? 1 : plan_.steps_per_group, per_group ? groups : plan_.steps, lane, to.scales);
      if (plan_.minimum_columns == 0) continue;
      spread(scale * (static_cast<float>(kOffset) - zero), g, plan_.steps_per_group, plan_.steps, lane, to.minimums);
    }
  }

  /// What group g has, `each` times but before `end`, times the matrix's factor.
  void spread(float value, int64_t g, int64_t each, int64_t end, int64_t lane, float* to) const {
    for (int64_t i = g * each; i < std::min((g + 1) * each, end); ++i) to[i * kPanelRows + lane] = value * w_.factor;
  }

  /// A block of tokens, and where it begins in the input's arrays.
  struct Tokens {
    const int8_t* digits;
    const float *scales, *values;
    int64_t width, count;
  };

  /// Block b of a panel as 16 bits, and of the tokens.
  struct Wide {
    int16_t levels[kPanelRows][kInputBlock], digits[kTokenBlock][kInputBlock];
  };

  static void widen(const Panel& panel, const Tokens& x, int64_t b, Wide& to) {
    const int8_t* levels = panel.levels + b * kPanelRows * kInputBlock;
    std::copy_n(levels, kPanelRows * kInputBlock, &to.levels[0][0]);
    const int8_t* digits = x.digits + b * kInputBlock * x.width;
    for (int64_t c = 0; c < kInputBlock; c += 4) {
      for (int64_t t = 0; t < x.count; ++t) std::copy_n(digits + (c / 4 * x.width + t) * 4, 4, &to.digits[t][c]);
    }
  }

  void multiply(int64_t block, int64_t row, const Panel& panel) const {
    const int64_t first = block * kTokenBlock, in32 = first * (call_.x.stride / 32);
    const PanelInput& input = call_.x;
    const float* values =
        plan_.minimum_columns == 16 ? input.values16 + first * (input.stride / 16) : input.values32 + in32;
    const Tokens x = {input.digits + first * input.stride, input.scales + in32, values,
                      token_block(call_.tokens - first), std::min(kTokenBlock, call_.tokens - first)};
    Totals total = {}, part = {};
    Wide wide;
    for (int64_t b = 0; b < plan_.blocks; ++b) {
      widen(panel, x, b, wide);
      switch (plan_.scales) {
        case PanelScales::kSixteens:
          add_sixteens(panel, x, b, wide, total);
          break;
        case PanelScales::kBlocks:
          add_block(panel, x, b, wide, total);
          break;
        case PanelScales::kGroups:
          add_part(x, b, wide, part);
          if ((b + 1) % plan_.steps_per_group != 0 && b + 1 < plan_.blocks) continue;
          add_group(panel, x, b / plan_.steps_per_group, part, total);
      }
      const int64_t begin =
          plan_.scales == PanelScales::kGroups ? b / plan_.steps_per_group * plan_.steps_per_group : b;
      add_minimums(panel, x, begin, b + 1, total);
    }
    const int64_t rows = std::min(kPanelRows, call_.last - row);
    for (int64_t t = 0; t < x.count; ++t) std::copy_n(total[t], rows, call_.y + (first + t) * call_.y_stride + row);
  }

  static void add_sixteens(const Panel& panel, const Tokens& x, int64_t b, const Wide& wide, Totals& total) {
    const float* scales = panel.scales + 2 * b * kPanelRows;
    for (int64_t t = 0; t < x.count; ++t) {
      const float scale = x.scales[b * x.width + t];
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const auto low = static_cast<float>(dot(wide.levels[r], wide.digits[t], 16));
        const auto high = static_cast<float>(dot(wide.levels[r] + 16, wide.digits[t] + 16, 16));
        total[t][r] = std::fma(std::fma(high, scales[kPanelRows + r], low * scales[r]), scale, total[t][r]);
      }
    }
  }

  static void add_block(const Panel& panel, const Tokens& x, int64_t b, const Wide& wide, Totals& total) {
    const float* scales = panel.scales + b * kPanelRows;
    for (int64_t t = 0; t < x.count; ++t) {
      const float scale = x.scales[b * x.width + t];
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const auto sum = static_cast<float>(dot(wide.levels[r], wide.digits[t], kInputBlock));
        total[t][r] = std::fma(sum * scale, scales[r], total[t][r]);
      }
    }
  }

  static void add_part(const Tokens& x, int64_t b, const Wide& wide, Totals& part) {
    for (int64_t t = 0; t < x.count; ++t) {
      const float scale = x.scales[b * x.width + t];
      for (int64_t r = 0; r < kPanelRows; ++r) {
        const auto sum = static_cast<float>(dot(wide.levels[r], wide.digits[t], kInputBlock));
        part[t][r] = std::fma(sum, scale, part[t][r]);
      }
    }
  }

  static void add_group(const Panel& panel, const Tokens& x, int64_t group, Totals& part, Totals& total) {
    const float* scales = panel.scales + group * kPanelRows;
    for (int64_t t = 0; t < x.count; ++t) {
      for (int64_t r = 0; r < kPanelRows; ++r) {
        total[t][r] = std::fma(part[t][r], scales[r], total[t][r]);
        part[t][r] = 0;
      }
    }
  }

  /// Those of blocks [begin, end).
  void add_minimums(const Panel& panel, const Tokens& x, int64_t begin, int64_t end, Totals& total) const {
    if (plan_.minimum_columns == 0) return;
    const int64_t each = kInputBlock / plan_.minimum_columns;
    for (int64_t i = begin * each; i < end * each; ++i) {
      const float* minimums = panel.minimums + i * kPanelRows;
      for (int64_t t = 0; t < x.count; ++t) {
        for (int64_t r = 0; r < kPanelRows; ++r) {
          total[t][r] = std::fma(x.values[i * x.width + t], minimums[r], total[t][r]);
        }
      }
    }
  }

  const IntGemmCall& call_;
  const IntRows& w_;
  PanelPlan plan_;
};

}  // namespace

#define BITLOOM_GEMM(name, bits, codes) \
  void int_gemm_##name##_portable(const IntGemmCall& call) { PanelLoop<bits, CodeKind::codes>(call).run(); }
BITLOOM_GEMM(i2, 2, kInteger)
BITLOOM_GEMM(i3, 3, kInteger)
BITLOOM_GEMM(i4, 4, kInteger)
BITLOOM_GEMM(i5, 5, kInteger)
BITLOOM_GEMM(i6, 6, kInteger)
BITLOOM_GEMM(i7, 7, kInteger)
BITLOOM_GEMM(i8, 8, kInteger)
BITLOOM_GEMM(t4, 4, kTable)
BITLOOM_GEMM(mixed, kMostMixedBits, kMixed)
#undef BITLOOM_GEMM

}  // namespace bitloom
