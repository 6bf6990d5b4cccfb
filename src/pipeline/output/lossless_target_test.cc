#include "pipeline/output/lossless_target.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/memory/dtype.h"
#include "base/rng.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

/// Dense values that say they come from other storage.
class Labelled final : public RowSource {
 public:
  Labelled(DenseMatrix values, std::string storage) : values_(std::move(values)), storage_(std::move(storage)) {}
  int64_t rows() const override { return values_.rows(); }
  int64_t cols() const override { return values_.cols(); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override { values_.decode_rows(begin, end, out); }
  int64_t stored_bytes() const override { return values_.stored_bytes(); }
  std::string storage() const override { return storage_; }

 private:
  DenseMatrix values_;
  std::string storage_;
};

constexpr int64_t kRows = 50, kCols = 96, kGroup = 32;

/// Values level * scale, with levels and the scale of each group drawn by `level` and `scale`.
template <typename Level, typename Scale>
std::vector<float> draw(const Level& level, const Scale& scale) {
  Rng rng(3, 0);
  std::vector<float> values(kRows * kCols);
  for (size_t i = 0; i < values.size();) {
    const float s = scale(rng);
    for (int64_t j = 0; j < kGroup; ++j, ++i) values[i] = s * level(rng, j);
  }
  return values;
}

/// Q8_0 as its encoder leaves it: fp16 scales of any size, one code of +-127 in each block.
std::vector<float> q8_0() {
  return draw([](Rng& rng, int64_t j) { return j == 7 ? -127.0f : static_cast<float>(rng.next_u32() % 255) - 127.0f; },
              [](Rng& rng) { return f16_to_f32(f32_to_f16(std::exp2(static_cast<float>(rng.normal()) - 7))); });
}

std::optional<RoundingTarget> found(std::vector<float> values, const std::string& storage) {
  ThreadPool threads(2);
  return lossless_target(Labelled({kRows, kCols, std::move(values)}, storage), threads);
}

TEST(LosslessTarget, HoldsQ8_0) {
  const auto spec = found(q8_0(), "Q8_0");
  ASSERT_TRUE(spec.has_value());
  ThreadPool threads(2);
  const DenseMatrix w(kRows, kCols, q8_0());
  EXPECT_EQ(quantize_nearest("w", w, grid_target(*spec, "w"), threads)->decode_all(), w.values());
  EXPECT_EQ(nominal_bits(spec->storage, kRows, kCols), 8.5);
}

/// Every block holds E8M0 times levels of e2m1, whatever its largest level.
TEST(LosslessTarget, HoldsMxfp4) {
  constexpr float kLevels[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (const uint32_t levels : {8u, 7u, 6u, 5u, 4u, 3u, 2u, 1u}) {
    const auto values =
        draw([&](Rng& rng, int64_t) { return (rng.next_u32() % 2 ? -1.0f : 1.0f) * kLevels[rng.next_u32() % levels]; },
             [](Rng& rng) { return std::exp2(static_cast<float>(rng.next_u32() % 20) - 15); });
    EXPECT_EQ(found(values, "MXFP4"), parse_target("mxfp4")) << levels;
  }
}

TEST(LosslessTarget, IsNoneWhenAValueWouldChange) {
  std::vector<float> values = q8_0();
  for (int64_t j = 0; j < kGroup; ++j) values[j] = 0.25f * static_cast<float>(j);  // largest code 31
  values[5] += 1.0f / 64;
  EXPECT_FALSE(found(values, "Q8_0").has_value());
  EXPECT_FALSE(found(q8_0(), "F32").has_value());
  EXPECT_FALSE(found(q8_0(), "Q6_K").has_value());
}

TEST(LosslessTarget, IsNoneForWhatIsNotFinite) {
  std::vector<float> values = q8_0();
  values[kCols + 3] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(found(values, "Q8_0").has_value());
}

}  // namespace
}  // namespace bitloom
