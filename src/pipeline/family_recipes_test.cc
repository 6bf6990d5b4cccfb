// The recipes of the column-wise and binary family and of vectors on a small model: what is written is verified, is the
// same after an interruption, and, where there are kernels, is multiplied by them as its decoded rows are.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "forward/decoder.h"
#include "ops/choose_isa.h"
#include "ops/packed_linear.h"
#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

constexpr int64_t kTokens = 12;  // more than kFewTokens: one pass of them is decoded tile by tile

/// The demo's first block: groups of 64 and 128 columns, the last one shorter.
class FamilyRecipe : public ::testing::TestWithParam<const char*> {
 protected:
  FamilyRecipe() {
    testing::copy_model(testing::kDemo, model());
    Json config = read_json(model() + "/config.json");
    config["num_hidden_layers"] = 1;
    std::ofstream(model() + "/config.json") << dump_json(config);
  }
  std::string model() const { return dir_.file("model"); }
  std::string out(const char* name) const { return dir_.file(name); }
  testing::CalibratedRun run() const { return {model(), GetParam(), testing::some_data(model(), {40, 17})}; }

  testing::TempDir dir_;
};

TEST_P(FamilyRecipe, HasTheSameFilesAfterAnInterruptionAndIsVerified) {
  testing::Listener complete;
  run().into(out("whole"), complete);
  EXPECT_NO_THROW(testing::verify(out("whole")));
  const auto expected = testing::files_of(out("whole"));
  const int calls = complete.calls;
  for (const int call : {calls / 2, calls - 2}) {  // while it rounds, and while it writes
    const std::string again = dir_.file("again" + std::to_string(call));
    testing::Listener stopped(call);
    EXPECT_THROW(run().into(again, stopped), std::runtime_error);
    EXPECT_FALSE(std::filesystem::exists(again));
    run().into(again);
    testing::expect_same_files(testing::files_of(again), expected, "stopped at " + std::to_string(call));
  }
}

/// Of storages with kernels.
class KernelRecipe : public FamilyRecipe {};

/// Largest difference, as a share of the range of `a`.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  const auto [low, high] = std::minmax_element(a.begin(), a.end());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  return worst / (static_cast<double>(*high) - *low);
}

TEST_P(KernelRecipe, HasTheLogitsOfItsDecodedRows) {
  run().into(out("whole"));
  const auto checkpoint = Checkpoint::open(out("whole"));
  const Graph& graph = checkpoint->graph();
  for (const Linear& linear : graph.blocks.front().linears) {
    for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
      EXPECT_NE(PackedLinear::pack(checkpoint->matrix(linear), {}, {best_isa(), activations}), nullptr)
          << linear.weight;
    }
  }
  ThreadPool threads(2);
  Decoder decoder(checkpoint, threads);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kTokens; ++i) ids.push_back(static_cast<int32_t>((i * 37 + 11) % graph.vocab_size));
  std::vector<float> by_tiles(static_cast<size_t>(kTokens * graph.vocab_size)), by_kernels(by_tiles.size());
  decoder.logits(decoder.forward(ids, 1, kTokens), kTokens, by_tiles.data());
  KvCache cache(graph, kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto token = std::span(ids).subspan(static_cast<size_t>(t), 1);
    decoder.logits(decoder.step(token, cache), 1, by_kernels.data() + t * graph.vocab_size);
  }
  EXPECT_NE(by_tiles, by_kernels) << "not one sum in another order: the kernels did not run";
  // As in kernel_logits_test.cc.
  EXPECT_LE(difference(by_tiles, by_kernels), 1e-5);
}

std::string name_of(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
}

constexpr const char* kKernelRecipes[] = {"claq-2",
                                          "claq-2.1",
                                          "claq-2.12",
                                          "claq-3",
                                          "claq-3.12",
                                          "claq-4",
                                          "billm",
                                          "billm-arb",
                                          "pb-1.7",
                                          "slim-2",
                                          "slim-3",
                                          "spqr-3",
                                          "hqq-2",
                                          "hqq-3",
                                          "hqq-4",
                                          "onebit-svid",
                                          "gptvq-2.125",
                                          "gptvq-2.125:dimension=2",
                                          "gptvq-2.125:dimension=1",
                                          "e8p-2",
                                          "aqlm-4x4",
                                          "loftq-2"};
INSTANTIATE_TEST_SUITE_P(Recipes, FamilyRecipe, ::testing::ValuesIn(kKernelRecipes), name_of);
INSTANTIATE_TEST_SUITE_P(Recipes, KernelRecipe, ::testing::ValuesIn(kKernelRecipes), name_of);
INSTANTIATE_TEST_SUITE_P(Others, FamilyRecipe,
                         ::testing::Values("qllm-w4a4:correction=none", "qllm-w4a8:rounding=gptq,correction=none",
                                           "qllm-w6a6:qkv=paper,correction=none"),
                         name_of);

}  // namespace
}  // namespace bitloom
