// A whole model by the kernels, token by token, against the same model decoded tile by tile.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "forward/decoder.h"
#include "forward/golden_models.h"
#include "ops/packed_linear.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

constexpr int64_t kTokens = 24;  // more than kFewTokens: one pass of them is decoded tile by tile

class KernelLogits : public ::testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Checkpoint> quantized(const std::string& model = testing::kDemo) {
    testing::quantize(model, directory_.file("q"), GetParam());
    return Checkpoint::open(directory_.file("q"));
  }

  static std::vector<int32_t> tokens(const Graph& graph) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < kTokens; ++i) ids.push_back(static_cast<int32_t>((i * 37 + 11) % graph.vocab_size));
    return ids;
  }

  /// In one pass: by tiles, but for rounded inputs by kernels where there are such.
  static std::vector<float> by_tiles(Decoder& decoder, std::span<const int32_t> ids) {
    std::vector<float> logits(static_cast<size_t>(kTokens * decoder.graph().vocab_size));
    decoder.logits(decoder.forward(ids, 1, kTokens), kTokens, logits.data());
    return logits;
  }

  static std::vector<float> by_kernels(Decoder& decoder, std::span<const int32_t> ids) {
    const int64_t vocab = decoder.graph().vocab_size;
    std::vector<float> logits(static_cast<size_t>(kTokens * vocab));
    KvCache cache(decoder.graph(), kTokens);
    for (int64_t t = 0; t < kTokens; ++t) {
      decoder.logits(decoder.step(ids.subspan(static_cast<size_t>(t), 1), cache), 1, logits.data() + t * vocab);
    }
    return logits;
  }

  /// Largest difference, as a share of the range of `a`.
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    const auto [low, high] = std::minmax_element(a.begin(), a.end());
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
    return worst / (static_cast<double>(*high) - *low);
  }

  testing::TempDir directory_;
  ThreadPool threads_{2};
};

// Two orders of the same fp32 sums: as in forward/decoder_test.cc, far below 1e-5 of the range.
TEST_P(KernelLogits, ExactOnesAreThoseOfTileDecoding) {
  Decoder decoder(quantized(), threads_);
  const std::vector<int32_t> ids = tokens(decoder.graph());
  const std::vector<float> tiles = by_tiles(decoder, ids), kernels = by_kernels(decoder, ids);
  EXPECT_NE(tiles, kernels) << "not one sum in another order: the kernels did not run";
  EXPECT_LE(difference(tiles, kernels), 1e-5);
}

TEST_P(KernelLogits, OfARealModelToo) {
  BITLOOM_REQUIRE_SMOLLM2();
  Decoder decoder(quantized(testing::smollm2_path()), threads_);
  const std::vector<int32_t> ids = tokens(decoder.graph());
  EXPECT_LE(difference(by_tiles(decoder, ids), by_kernels(decoder, ids)), 1e-5);
}

// What checks guesses (runtime/lookup.h) relies on it.
TEST_P(KernelLogits, AFewTokensHaveTheLogitsOfSingleOnes) {
  const auto model = quantized();
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    Decoder decoder(model, threads_, activations);
    const std::vector<int32_t> ids = tokens(decoder.graph());
    const int64_t vocab = decoder.graph().vocab_size;
    KvCache cache(decoder.graph(), kTokens);
    std::vector<float> together(static_cast<size_t>(kTokens * vocab));
    for (int64_t t = 0; t < kTokens; t += kUnpackedTokens) {
      const auto some = std::span(ids).subspan(static_cast<size_t>(t), kUnpackedTokens);
      decoder.logits(decoder.step(some, cache), kUnpackedTokens, together.data() + t * vocab);
    }
    EXPECT_EQ(together, by_kernels(decoder, ids));
  }
}

class EveryArchitecture : public KernelLogits {};

// Rounded without data, written, opened again.
TEST_P(EveryArchitecture, GivesTheLogitsOfTileDecoding) {
  for (const std::string& name : testing::golden_models()) {
    testing::quantize(testing::golden("forward/" + name), directory_.file(name), GetParam());
    Decoder decoder(Checkpoint::open(directory_.file(name)), threads_);
    const std::vector<int32_t> ids = tokens(decoder.graph());
    const std::vector<float> tiles = by_tiles(decoder, ids);
    EXPECT_TRUE(std::all_of(tiles.begin(), tiles.end(), [](float x) { return std::isfinite(x); })) << name;
    EXPECT_LE(difference(tiles, by_kernels(decoder, ids)), 1e-5) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, EveryArchitecture, ::testing::Values("int4-g16"));

// Rounding an input errs by at most 1 / 254 of a block's largest value, 1 / 440 on average of uniform steps, and the
// errors of a hundred columns mostly cancel: a few hundredths of the range through all layers would be a mistake.
TEST_P(KernelLogits, RoundedInputsStayClose) {
  const auto model = quantized();
  Decoder exact(model, threads_), rounded(model, threads_, Activations::kInt8);
  const std::vector<int32_t> ids = tokens(exact.graph());
  const double found = difference(by_kernels(exact, ids), by_kernels(rounded, ids));
  EXPECT_GT(found, 0) << "the integer kernels did not run";
  EXPECT_LE(found, 0.03);
  const double whole = difference(by_tiles(exact, ids), by_tiles(rounded, ids));
  EXPECT_EQ(whole > 0, rounded.has_kernels_for(kTokens)) << "many tokens are rounded where a kernel serves them";
  EXPECT_LE(whole, 0.03);
}

INSTANTIATE_TEST_SUITE_P(Recipes, KernelLogits,
                         ::testing::Values("int4-g128", "int4-g32", "int8-row", "int4-row+frame-in64-out64"));

}  // namespace
}  // namespace bitloom
