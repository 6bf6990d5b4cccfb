// Moments that know the loss, gathered block by block, against one gradient through the whole model.

#include "pipeline/walk/guided_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "forward/adjoint/model_gradient.h"
#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

using testing::CalibratedRun;
using testing::golden_model;
using testing::TempDir;

constexpr const char* kTwoSided = "ldlq:two-sided+trellis2-l12+frame-in16-out16";
constexpr Needs kBoth{.guided_moment = true, .output_moment = true};

double most(const SecondMoment& moment) {
  const std::vector<double> squares = moment.mean_squares();
  return *std::max_element(squares.begin(), squares.end());
}

void expect_near(const SecondMoment& a, const SecondMoment& b, const std::string& what) {
  ASSERT_EQ(a.channels(), b.channels()) << what;
  EXPECT_EQ(a.tokens(), b.tokens()) << what;
  for (int64_t i = 0; i < a.channels(); ++i) {
    for (int64_t j = 0; j < a.channels(); ++j) {
      // The same fp32 products, of chunks in one case and of all sequences in the other.
      ASSERT_NEAR(a.mean(i, j), b.mean(i, j), 1e-4 * most(b)) << what << " " << i << ", " << j;
    }
  }
}

TEST(GuidedWalk, MomentsAreThoseOfOneGradient) {
  for (const std::string name : {"llama", "mixtral", "gemma2", "opt_350m"}) {
    const std::string path = golden_model(name);
    const TempDir dir;
    CalibratedRun run{path, kTwoSided, testing::some_data(path, {24, 24, 24})};
    run.options.statistics_out = dir.file("kept");
    run.into(dir.file("out"));

    const auto model = Checkpoint::open(path);
    std::vector<int32_t> tokens;
    for (const auto& sequence : run.data.sequences) tokens.insert(tokens.end(), sequence.begin(), sequence.end());
    ThreadPool threads(2);
    std::map<std::string, GuidedMoments> expected;
    GradientSink sink;
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      auto& moments = expected.try_emplace(linear.weight, linear.in, linear.out, kBoth).first->second;
      moments.add(x.data(), dy.data(), static_cast<int64_t>(x.size()) / linear.in, threads);
    };
    model_gradient(*model, tokens, 3, 24, sampled_cross_entropy(0, 0, 24), sink, {}, threads);
    for (const Site& site : linear_sites(model->graph())) {
      if (site.linear->role == "router") continue;  // stays as it is
      const GuidedMoments kept = load_moments(dir.file("kept"), site.block, *site.linear, kBoth);
      const auto found = expected.find(site.linear->weight);
      if (found == expected.end()) {  // an expert that saw nothing
        EXPECT_EQ(kept.weighted.tokens(), 0);
        continue;
      }
      expect_near(kept.in(), found->second.in(), name + " " + site.linear->weight);
      expect_near(kept.out(), found->second.out(), name + " " + site.linear->weight);
    }
  }
}

TEST(GuidedWalk, SameBytesForAnyNumberOfThreadsAndOfKeptMoments) {
  for (const std::string recipe : {kTwoSided, "ldlq:guided+trellis2-l12", "gptq:guided+int3-g16"}) {
    const std::string path = golden_model("llama");
    const TempDir dir;
    CalibratedRun run{path, recipe, testing::three_chunks(path)};
    run.options.statistics_out = dir.file("kept");
    run.into(dir.file("one"));
    run.threads = 3;
    run.options.statistics_out.clear();
    run.into(dir.file("three"));
    testing::expect_same_files(testing::files_of(dir.file("one")), testing::files_of(dir.file("three")), recipe);
    QuantizeOptions options;
    options.statistics_in = dir.file("kept");
    testing::quantize(path, dir.file("kept_used"), recipe, options);
    EXPECT_EQ(testing::files_of(dir.file("one")).at("model.safetensors"),
              testing::files_of(dir.file("kept_used")).at("model.safetensors"))
        << recipe;
    EXPECT_NE(testing::files_of(dir.file("one")).at("model.safetensors"), "") << recipe;
  }
}

TEST(GuidedWalk, LabelsDependOnTheSeed) {
  const std::string path = golden_model("llama");
  CalibratedRun run{path, kTwoSided, testing::three_chunks(path)};
  const auto first = run.files();
  run.options.seed = 1;
  EXPECT_NE(first.at("model.safetensors"), run.files().at("model.safetensors"));
}

TEST(GuidedWalk, SaysThatKeptStatisticsLackMoments) {
  const std::string path = golden_model("llama");
  const TempDir dir;
  CalibratedRun run{path, "gptq+int3-g16", testing::three_chunks(path)};
  run.options.statistics_out = dir.file("kept");
  run.into(dir.file("out"));
  QuantizeOptions options;
  options.statistics_in = dir.file("kept");
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused,
                                  [&] { testing::quantize(path, dir.file("other"), "gptq:guided+int3-g16", options); }),
              ::testing::HasSubstr("block-0000.layer.q.safetensors: missing"));
}

}  // namespace
}  // namespace bitloom
