// Runs that are stopped and go on: the bytes are those of a run that was never interrupted.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CalibratedRun;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::Listener;
using testing::TempDir;

CalibratedRun run_of(const std::string& model, const std::string& recipe, WalkOrder order = WalkOrder::kSequential) {
  CalibratedRun run{golden_model(model), recipe, testing::some_data(golden_model(model), {12, 7})};
  run.options.order = order;
  return run;
}

/// Stops before the calls first, first + stride ..., each time in a new directory; goes on once.
void stop_everywhere(const CalibratedRun& run, int first, int stride) {
  const TempDir whole;
  Listener complete;
  run.into(whole.file("out"), complete);
  const auto expected = testing::files_of(whole.file("out"));
  for (int call = first; call < complete.calls; call += stride) {
    const TempDir dir;
    Listener stopped(call);
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
    EXPECT_FALSE(fs::exists(dir.file("out")));
    run.into(dir.file("out"));
    testing::expect_same_files(testing::files_of(dir.file("out")), expected,
                               fmt::format("{}, {}, stopped at {}", run.model, run.recipe, call));
    EXPECT_FALSE(fs::exists(dir.file("out.journal")));
  }
}

// What a run took for the blocks that it left is counted with what the rest takes, through any number of stops.
TEST(Resume, ProcessorTimeIsThatOfAllParts) {
  const CalibratedRun run = run_of("llama_bf16", "gptq+int4-g16");
  const TempDir dir;
  Listener complete;
  run.into(dir.file("whole"), complete);
  const std::string spent = dir.file("out.journal/spent.json");
  Listener stopped(complete.calls / 2);
  EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
  const double of_first = read_json(spent).at("processor_seconds").get<double>();
  EXPECT_GT(of_first, 0);
  std::ofstream(spent) << R"({"processor_seconds": 1000})";
  Listener again(complete.calls / 2);
  EXPECT_THROW(run.into(dir.file("out"), again), std::runtime_error);
  EXPECT_GT(read_json(spent).at("processor_seconds").get<double>(), 1000) << "a block more is finished";
  const double all = run.into(dir.file("out")).processor_seconds;
  EXPECT_GT(all, 1000);
  EXPECT_LT(all, 2000) << "and nothing is counted twice";
  Listener damaged(complete.calls / 2);
  EXPECT_THROW(run.into(dir.file("other"), damaged), std::runtime_error);
  std::ofstream(dir.file("other.journal/spent.json")) << "{}";
  EXPECT_THAT(testing::refusal(ErrorKind::kRefused, [&] { run.into(dir.file("other")); }),
              AllOf(HasSubstr("other.journal/spent.json: what the run has taken"), HasSubstr("add --restart")));
}

TEST(Resume, AtEveryPoint) { stop_everywhere(run_of("llama_bf16", "gptq+int4-g16"), 0, 1); }

TEST(Resume, EveryAlgorithm) {
  int first = 0;
  for (const char* recipe :
       {"gptaq+int3-g16", "adaround:iterations=3+int4-g16", "smoothquant+int8-row", "smoothquant+gptaq+int4-g16",
        "awq:steps=3+gptq+int4-g16", "hadamard+gptq+int4-g16", "smoothquant+kmeans:outliers=0.01+codebook2.5-col",
        "claq-2.12", "billm-arb", "pb-1.7", "spqr+affine3-g16-s3x16", "slim+affine2-g16-mixed",
        "svid:feedback+sign_rank1", "aqlm:sweeps=2+aq2x4-g8", "gptvq:turns=5+vq3-g2", "gptvq:turns=5+vq3-g2-s8",
        "ldlq+e8p+frame-in16-out16", "int8-row@int8-tensor-kl"}) {
    stop_everywhere(run_of("llama_bf16", recipe), first++ % 5, 7);
  }
}

TEST(Resume, EveryOrder) {
  for (const WalkOrder order : {WalkOrder::kBlock, WalkOrder::kNone}) {
    stop_everywhere(run_of("llama_bf16", "gptq+int4-g16", order), 1, 7);
    stop_everywhere(run_of("opt", "smoothquant+bias-correction+gptq+int4-g16", order), 3, 11);
  }
}

TEST(Resume, BiasesAndTransposedMatrices) {
  stop_everywhere(run_of("opt", "bias-correction+gptaq+int4-g16"), 2, 9);
  stop_everywhere(run_of("gpt2", "smoothquant+bias-correction+int4-g16"), 0, 9);
  const TempDir dir;
  std::ofstream(dir.file("r.yaml")) << "steps: [{transform: smoothquant}, {quantize: int4-g16, targets: [mlp_down]}]\n";
  stop_everywhere(run_of("gpt2", dir.file("r.yaml")), 1, 7);
}

// Every run gets a little further than the one before.
TEST(Resume, ManyTimes) {
  const CalibratedRun run = run_of("llama", "gptq+int4-g16");
  const TempDir dir;
  const auto expected = run.files();
  int stops = 0;
  for (int call = 3;; call += 2, ++stops) {
    Listener listener(call);
    try {
      run.into(dir.file("out"), listener);
      break;
    } catch (const std::runtime_error& error) {
      ASSERT_STREQ(error.what(), "stopped");
    }
  }
  EXPECT_GT(stops, 10);
  testing::expect_same_files(testing::files_of(dir.file("out")), expected, "stopped many times");
}

TEST(Resume, SaysWhereItGoesOn) {
  const CalibratedRun run = run_of("llama", "gptq+int4-g16");
  Listener complete;
  const TempDir whole;
  run.into(whole.file("out"), complete);
  const TempDir dir;
  Listener stopped(complete.calls - 5);  // while writing
  EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
  Listener resumed;
  run.into(dir.file("out"), resumed);
  EXPECT_THAT(resumed.lines, ::testing::Contains(HasSubstr("going on after block 3 of 3")));
}

// Also before the first block: the backward pass is most of what such a run has done by then.
TEST(Resume, MomentsByGradientsAreGatheredOnce) {
  const std::string two_sided = "ldlq:two-sided,drift=1+trellis2-l12+frame-in16-out16";
  stop_everywhere(run_of("llama_bf16", two_sided), 0, 7);
  stop_everywhere(run_of("mixtral", "gptq:guided+int3-g16"), 1, 23);
  const CalibratedRun run = run_of("llama_bf16", two_sided);
  const TempDir whole;
  Listener complete;
  run.into(whole.file("out"), complete);
  int taken = 0;
  for (int call = 1; call < complete.calls; call += 3) {
    const TempDir dir;
    Listener stopped(call), resumed;
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
    const bool kept = fs::exists(dir.file("out.journal/moments")),
               blocks = fs::exists(dir.file("out.journal/block-0001"));
    run.into(dir.file("out"), resumed);
    const auto says = ::testing::Contains(HasSubstr("the layers' moments are taken from"));
    if (kept && !blocks) {
      ++taken;
      EXPECT_THAT(resumed.lines, says) << call;
      const int steps = 2 * 2 * 2;  // of the gradients: forward and back, two chunks, two blocks
      EXPECT_LE(resumed.calls, complete.calls - steps) << call;
    } else {
      EXPECT_THAT(resumed.lines, ::testing::Not(says)) << call;
    }
  }
  EXPECT_GT(taken, 5);
}

// Those of another run are neither taken nor dropped unasked: they may have taken hours.
TEST(Resume, MomentsOfAnotherRunAreRefused) {
  CalibratedRun run = run_of("llama_bf16", "gptq:guided+int3-g16");
  const TempDir dir;
  for (int call = 1; !fs::exists(dir.file("out.journal/moments")); ++call) {
    Listener stopped(call);
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
  }
  run.options.seed = 5;
  EXPECT_THAT(testing::refusal(ErrorKind::kUsage, [&] { run.into(dir.file("out")); }),
              AllOf(HasSubstr("the layers' moments of another run"), HasSubstr("seed was 0, is 5")));
  EXPECT_TRUE(fs::exists(dir.file("out.journal/moments")));
  run.options.restart = true;
  Listener other;
  run.into(dir.file("out"), other);
  EXPECT_THAT(other.lines, ::testing::Not(::testing::Contains(HasSubstr("the layers' moments are taken"))));
  testing::expect_same_files(testing::files_of(dir.file("out")), run.files(), "another seed");
}

/// A run that stopped after its first block.
void stop_after_a_block(const CalibratedRun& run, const std::string& out) {
  for (int call = 1;; ++call) {
    Listener listener(call);
    EXPECT_THROW(run.into(out, listener), std::runtime_error);
    if (fs::exists(out + ".journal/block-0000")) return;
    ASSERT_LT(call, 1000);
  }
}

TEST(Resume, RefusesAnotherRun) {
  const TempDir dir;
  const std::string model = dir.file("model");
  testing::copy_model(golden_model("llama_bf16"), model);
  CalibratedRun run = run_of("llama_bf16", "gptq+int4-g16");
  run.model = model;
  stop_after_a_block(run, dir.file("out"));
  const auto journal = testing::files_of(dir.file("out.journal"));

  const auto refused = [&](const CalibratedRun& other) {
    std::string message = testing::refusal(ErrorKind::kUsage, [&] { other.into(dir.file("out")); });
    EXPECT_THAT(message, AllOf(HasSubstr("of another run for"), HasSubstr("--restart")));
    EXPECT_EQ(testing::files_of(dir.file("out.journal")), journal);
    return message;
  };
  CalibratedRun other = run;
  other.recipe = "gptq+int3-g16";
  EXPECT_THAT(refused(other), HasSubstr("recipe.steps.0.quantize was \"int4-g16\", is \"int3-g16\";"));
  other = run;
  other.data = testing::some_data(model, {12, 7}, 2);
  EXPECT_THAT(refused(other),
              AllOf(HasSubstr("calibration ids_sha256 was"), HasSubstr("calibration seed was 1, is 2")));
  other = run;
  other.options.seed = 5;
  EXPECT_THAT(refused(other), HasSubstr("calibration run_seed was 0, is 5"));
  other = run;
  other.options.order = WalkOrder::kNone;
  EXPECT_THAT(refused(other), HasSubstr("calibration order was \"sequential\", is \"none\""));
  other = run;
  other.options.precision = ActivationPrecision::kBF16;
  EXPECT_THAT(refused(other), HasSubstr("calibration activations was \"F32\", is \"BF16\""));

  testing::patch_tensor(model + "/model.safetensors", "model.norm.weight", 0, std::string(2, '\0'));
  EXPECT_THAT(refused(run), HasSubstr("source model.safetensors was"));
  other = run;
  other.options.restart = true;
  other.into(dir.file("out"));
  testing::expect_same_files(testing::files_of(dir.file("out")), run.files(), "restarted");
}

TEST(Resume, ExistingOutputIsRefusedBeforeAnyWork) {
  const TempDir dir;
  fs::create_directory(dir.file("out"));
  Listener listener;
  const CalibratedRun run = run_of("llama", "gptq+int4-g16");
  const auto refused = [&](const std::string& out) {
    return testing::refusal(ErrorKind::kUsage, [&] { run.into(out, listener); });
  };
  EXPECT_THAT(refused(dir.file("out")), HasSubstr("exists; --force replaces it"));
  EXPECT_THAT(refused("."), HasSubstr("is or holds the working directory"));
  EXPECT_EQ(listener.calls, 0);
  EXPECT_FALSE(fs::exists(dir.file("out.journal")));
}

}  // namespace
}  // namespace bitloom
