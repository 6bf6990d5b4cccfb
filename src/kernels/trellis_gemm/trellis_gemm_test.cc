// Every kernel against the format's own decoding, in double precision, and against the portable one, bit for bit.

#include "kernels/trellis_gemm/trellis_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "format/families/trellis/trellis_storage.h"
#include "kernels/int_gemm/test_input.h"
#include "kernels/trellis_dot/test_dot.h"

namespace bitloom {
namespace {

struct Case {
  TrellisCode code;
  int64_t rows, cols, tokens;
};

class RandomGemm {
 public:
  explicit RandomGemm(const Case& shape, uint32_t seed)
      : shape_(shape),
        weights_(shape.code, shape.rows, shape.cols, 1, DotInput::kInt8, seed),
        input_(random_input(shape, seed).data(), shape.tokens, shape.cols, 1),
        scratch_(testing::guarded_scratch(kTrellisGemmScratch)) {}

  /// Every value from a table of one level, every input the same.
  RandomGemm(const Case& shape, int8_t level, float input)
      : shape_(shape),
        table_(64, level),
        weights_(shape.code, shape.rows, shape.cols, 1, DotInput::kInt8, 1),
        input_(std::vector<float>(static_cast<size_t>(shape.tokens * shape.cols), input).data(), shape.tokens,
               shape.cols, 1),
        scratch_(testing::guarded_scratch(kTrellisGemmScratch)) {
    weights_.call.w.table = table_.data();
  }

  testing::GuardedVector<float> product(const TrellisGemmEntry& entry, int64_t pieces = 1) {
    testing::GuardedVector<float> y(static_cast<size_t>(shape_.tokens * shape_.rows), std::nanf(""));
    TrellisGemmCall call;
    call.w = weights_.call.w, call.tokens = shape_.tokens, call.x = input_.view;
    call.scratch = scratch_.data();
    call.y = y.data(), call.y_stride = shape_.rows;
    const int64_t last = weights_.call.last;
    for (int64_t p = 0; p < pieces; ++p) {
      call.first = p * last / pieces, call.last = (p + 1) * last / pieces;
      entry.kernel(call);
    }
    return y;
  }

  double scale() const { return static_cast<double>(weights_.call.w.scale); }

  void expect_decoding(const testing::GuardedVector<float>& y) const {
    const TrellisLayout layout(shape_.code, shape_.rows, shape_.cols);
    std::vector<double> w(static_cast<size_t>(layout.tile_rows() * 16 * shape_.cols));
    for (int64_t i = 0; i < layout.tile_rows(); ++i) {
      for (int64_t j = 0; j < layout.tile_cols(); ++j) {
        int16_t values[kTrellisTile];
        const TrellisLayout::Place place = layout.place(i, j);
        decode_trellis_tile(shape_.code, weights_.words.data() + place.first, place.stride, values);
        for (int v = 0; v < kTrellisTile; ++v) {
          const TrellisPlace at = trellis_place(shape_.code, v);
          const int64_t c = j * 16 + at.col;
          if (c < shape_.cols) w[static_cast<size_t>((i * 16 + at.row) * shape_.cols + c)] = values[v];
        }
      }
    }
    const double scale = static_cast<double>(weights_.call.w.scale);
    for (int64_t t = 0; t < shape_.tokens; ++t) {
      for (int64_t r = 0; r < shape_.rows; ++r) {
        double sum = 0, size = 0;
        for (int64_t c = 0; c < shape_.cols; ++c) {
          const double term = w[static_cast<size_t>(r * shape_.cols + c)] * static_cast<double>(input_.value(t, c));
          sum += term, size += std::abs(term);
        }
        // A fused step for each 32 columns, the scale, and the input's own product as it is given here.
        const double error = static_cast<double>(shape_.cols / 32 + 4) * 0x1p-24;
        ASSERT_NEAR(y[static_cast<size_t>(t * shape_.rows + r)], scale * sum, scale * size * error)
            << "token " << t << " row " << r;
      }
    }
  }

 private:
  static std::vector<float> random_input(const Case& shape, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<size_t>(shape.tokens * shape.cols));
    for (float& value : x) value = normal(random);
    return x;
  }

  Case shape_;
  testing::GuardedVector<int8_t> table_;
  testing::RandomTrellisDot weights_;
  testing::GemmBuffers input_;
  testing::GuardedVector<std::byte> scratch_;
};

/// By the portable kernel as the format says, by all others the same.
void expect_all(const Case& shape, uint32_t seed) {
  SCOPED_TRACE(::testing::Message() << shape.code.values << " values, " << shape.code.half_bits << " half bits, ["
                                    << shape.rows << ", " << shape.cols << "], " << shape.tokens << " tokens");
  RandomGemm gemm(shape, seed);
  const auto want = gemm.product(find_trellis_gemm(Isa::kPortable));
  gemm.expect_decoding(want);
  for (const TrellisGemmEntry& entry : trellis_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    ASSERT_EQ(gemm.product(entry), want) << entry.name;
  }
}

TEST(TrellisGemm, EveryRate) {
  uint32_t seed = 0;
  for (int values = 1; values <= 2; ++values) {
    for (int half_bits = 2; half_bits <= (values == 2 ? 8 : 10); ++half_bits) {
      expect_all({{values, half_bits}, 272, 72, 9}, ++seed);
    }
  }
}

TEST(TrellisGemm, EveryShapeAndNumberOfTokens) {
  uint32_t seed = 20;
  for (const TrellisCode& code : {TrellisCode{2, 4}, {1, 7}}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {17, 33}, {256, 64}, {300, 40}, {40, 2500}}) {
      for (const int64_t tokens : {1, 2, 3, 7, 14, 17, 33}) expect_all({code, rows, cols, tokens}, ++seed);
    }
  }
}

// Digits of 127 and the table's greatest level, or that of eight bits: sums within blocks have no room for more.
TEST(TrellisGemm, GreatestSums) {
  for (const TrellisCode& code : {TrellisCode{2, 4}, {1, 7}}) {
    for (const int8_t level : {int8_t{-128}, int8_t{127}}) {
      for (const float input : {-1.0f, 1.0f}) {
        RandomGemm gemm({code, 17, 96, 3}, level, input);
        const double value = static_cast<double>(level) * (code.values == 1 ? 2 : 1) * static_cast<double>(input) * 96;
        for (const TrellisGemmEntry& entry : trellis_gemm_kernels()) {
          if (!machine_has(entry.isa)) continue;
          for (const float y : gemm.product(entry)) {
            ASSERT_NEAR(y / gemm.scale(), value, std::abs(value) * 0x1p-21) << entry.name << " level " << int{level};
          }
        }
      }
    }
  }
}

TEST(TrellisGemm, RowsOfSuperTilesStandAlone) {
  RandomGemm gemm({{2, 4}, 600, 96, 15}, 5);
  for (const TrellisGemmEntry& entry : trellis_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    EXPECT_EQ(gemm.product(entry, 3), gemm.product(entry)) << entry.name;
  }
}

}  // namespace
}  // namespace bitloom
