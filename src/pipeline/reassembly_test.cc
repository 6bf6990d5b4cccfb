// Recipes that split and merge channels of inputs: what is written, what is computed, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "forward/decoder.h"
#include "forward/test_inputs.h"
#include "pipeline/rounding/matrix_rounder.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "pipeline/walk_test_support.h"
#include "round/fpq/fpq.h"
#include "transform/reassembly/moved_columns.h"
#include "transform/scaling/channel_scaling.h"

namespace bitloom {
namespace {

using testing::CalibratedRun;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::TempDir;

constexpr int64_t kTokens = 14;

std::vector<int32_t> tokens_of(const Graph& graph) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kTokens; ++i) tokens.push_back(static_cast<int32_t>((5 * i * i + 1) % graph.vocab_size));
  return tokens;
}

std::vector<float> logits_of(const std::shared_ptr<const Checkpoint>& model, bool by_steps = false) {
  ThreadPool threads(2);
  Decoder decoder(model, threads);
  const std::vector<int32_t> tokens = tokens_of(model->graph());
  const int64_t vocab = model->graph().vocab_size;
  std::vector<float> out(static_cast<size_t>(kTokens * vocab));
  if (!by_steps) {
    decoder.logits(decoder.forward(tokens, 1, kTokens), kTokens, out.data());
    return out;
  }
  KvCache cache(model->graph(), kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto token = std::span(tokens).subspan(static_cast<size_t>(t), 1);
    decoder.logits(decoder.step(token, cache), 1, out.data() + t * vocab);
  }
  return out;
}

/// |a - b| / |b|
double apart(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y), square += y * y;
  }
  return std::sqrt(difference / square);
}

/// The same function with two channels 16 times as large behind every norm.
std::shared_ptr<const Checkpoint> stressed(const std::string& path) {
  const auto model = Checkpoint::open(path);
  PendingEdits edits(*model);
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    for (const ChannelGroup& group : channel_groups(model->graph(), b)) {
      if (!std::holds_alternative<NormAbsorber>(group.absorber)) continue;
      std::vector<float> s(static_cast<size_t>(group.scales), 1.0f);
      s[3] = s[8] = 1.0f / 16;
      scale_input(edits, group, s);
    }
  }
  return Checkpoint::edited(model, edits.take());
}

/// Lengths of so many sequences that experts see more tokens than they have channels.
const std::vector<int64_t> kManyTokens(16, 60);

QuantizeResult quantized(const std::shared_ptr<const Checkpoint>& model, const std::string& recipe,
                         const std::string& out, Progress& progress, WalkOrder order = WalkOrder::kSequential,
                         const std::vector<int64_t>& lengths = {24, 24, 17, 24}) {
  ThreadPool threads(2);
  Context context{threads, progress};
  const CalibrationData data = testing::some_data(model->path(), lengths);
  QuantizeOptions options;
  options.data = &data;
  options.order = order;
  return quantize_model(make_task(model, load_recipe(recipe), options, threads), out, context);
}

class EveryModel : public ::testing::TestWithParam<std::string> {};

// Whatever reads the inputs (experts, routers, fused matrices) reads what was moved: one of the large channels in front
// of another's weights would leave nothing of the logits. (Layers lose less than without; logits need not.)
TEST_P(EveryModel, ReadsWhatWasMoved) {
  const TempDir dir;
  testing::Listener progress;
  const auto model = stressed(golden_model(GetParam()));
  const std::vector<float> exact = logits_of(model);
  const auto by = [&](const std::string& recipe, const std::string& out) {
    quantized(model, recipe, dir.file(out), progress, WalkOrder::kSequential, kManyTokens);
  };
  by("int8-row@int6-asym-token", "plain");
  by("reassemble:ratio=0.5+int8-row@int6-asym-token", "moved");
  EXPECT_NO_THROW(testing::verify(dir.file("moved")));
  const double plain = apart(logits_of(Checkpoint::open(dir.file("plain"))), exact),
               moved = apart(logits_of(Checkpoint::open(dir.file("moved"))), exact);
  EXPECT_LT(moved, (plain + 1) / 2);  // of the logits: nearer to what is lost without moves than to all
  const std::string config = testing::files_of(dir.file("moved")).at("config.json");
  EXPECT_THAT(config, HasSubstr("-staggered["));
  EXPECT_THAT(progress.lines,
              ::testing::Contains(HasSubstr("channels are merged into others for parts of large ones")));
}

INSTANTIATE_TEST_SUITE_P(Tiny, EveryModel,
                         ::testing::Values("llama", "mixtral", "qwen2_moe", "phi3", "gemma3_text", "gpt2"),
                         [](const auto& test) { return test.param; });

// One token at a time, by kernels, reads the same as whole sequences do.
TEST(Reassembly, StepsReadWhatSequencesRead) {
  const TempDir dir;
  testing::Listener progress;
  for (const std::string recipe : {"reassemble+int8-row@int4-token", "reassemble+int4-g16@int4-asym-token",
                                   "reassemble:parity=paper+int8-row@int4-token"}) {
    const std::string out = dir.file("moved" + std::to_string(recipe.size()));
    quantized(stressed(golden_model("llama")), recipe, out, progress);
    const auto model = Checkpoint::open(out);
    // Sums in another order, and what lies at a tie then goes the other way: a step of one value in some.
    EXPECT_LT(apart(logits_of(model, true), logits_of(model)), 0.05) << recipe;
  }
}

class EveryRecipe : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryRecipe, HasTheSameFilesForAnyThreadsAndAfterInterruptions) {
  const std::string model = golden_model("mixtral");
  CalibratedRun run{model, GetParam(), testing::three_chunks(model)};
  run.options.order = WalkOrder::kSequential;
  const auto expected = run.files();
  run.threads = 5;
  testing::expect_same_files(run.files(), expected, "five threads");
  testing::Listener complete;
  const TempDir dir;
  run.into(dir.file("whole"), complete);
  const int calls = complete.calls;
  for (const int call : {calls / 4, calls / 2, calls - 2}) {
    testing::Listener stopped(call);
    const std::string again = dir.file("again" + std::to_string(call));
    EXPECT_THROW(run.into(again, stopped), std::runtime_error);
    run.into(again);
    testing::expect_same_files(testing::files_of(again), expected, "stopped at " + std::to_string(call));
  }
}

INSTANTIATE_TEST_SUITE_P(Moves, EveryRecipe,
                         ::testing::Values("reassemble+int4-row@int4-asym-token",
                                           "smoothquant+reassemble:ratio=0.5+int4-g16@int3-token",
                                           "reassemble+gptq+int4-g16@int3-g8"),
                         [](const auto& test) { return "r" + std::to_string(test.index); });

// Error feedback and drift see what the matrices will read, whatever the order of the walk.
TEST(Reassembly, EveryOrderOfTheWalk) {
  const auto model = stressed(golden_model("llama"));
  const std::vector<float> exact = logits_of(model);
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    const TempDir dir;
    testing::Listener progress;
    quantized(model, "reassemble:ratio=0.5+gptaq+int8-row@int6-asym-token", dir.file("out"), progress, order);
    EXPECT_LT(apart(logits_of(Checkpoint::open(dir.file("out"))), exact), 0.5) << to_string(order);
    EXPECT_THAT(progress.lines, ::testing::Contains(HasSubstr("channels are merged into others")));
  }
}

// The inputs that no step names are not counted among those that could have been moved.
TEST(Reassembly, SaysOfHowManyInputs) {
  const TempDir dir;
  std::ofstream(dir.file("some.yaml")) << "steps: [{transform: {reassemble: {ratio: 0.5}}, targets: [mlp]},"
                                          " {quantize: int8-row, activations: int6-asym-token}]\n";
  testing::Listener progress;
  quantized(stressed(golden_model("llama")), dir.file("some.yaml"), dir.file("moved"), progress);
  EXPECT_THAT(progress.lines, ::testing::Contains(::testing::AllOf(HasSubstr(" of the 3 inputs that it is for; "),
                                                                   HasSubstr("channels are merged into others"))));
}

// Of fewer tokens than channels there is no telling which channels are alike.
TEST(Reassembly, LeavesExpertsThatSawTooLittle) {
  const TempDir dir;
  const auto model = stressed(golden_model("mixtral"));
  const auto moved_inputs = [&](const std::string& out, bool of_experts) {
    int64_t moved = 0;
    const auto result = Checkpoint::open(out);
    for (const Block& block : result->graph().blocks) {
      for (const Input& input : block.inputs) {
        moved += (input.expert >= 0) == of_experts && input.activations && !input.activations->moves.empty() ? 1 : 0;
      }
    }
    return moved;
  };
  const auto remark = HasSubstr("not reassembled: its expert saw ");
  const std::string recipe = "reassemble:ratio=0.5+int8-row@int6-asym-token";
  testing::Listener of_few, of_many;
  quantized(model, recipe, dir.file("few"), of_few, WalkOrder::kSequential, {9});  // an input has 32 channels, or 48
  quantized(model, recipe, dir.file("many"), of_many, WalkOrder::kSequential, kManyTokens);
  EXPECT_EQ(moved_inputs(dir.file("few"), true), 0);
  EXPECT_GT(moved_inputs(dir.file("few"), false), 0);
  EXPECT_GT(moved_inputs(dir.file("many"), true), 0);
  // Two blocks of four experts with two inputs each.
  EXPECT_THAT(of_few.lines, ::testing::Contains(remark).Times(16));
  EXPECT_THAT(of_few.lines, ::testing::Contains(HasSubstr("calibration tokens, fewer than its 48 channels")).Times(8));
}

// The first input is the float model's: moved once, and rounded by the format without moves, it is what `fpq` judges
// the moved matrices by.
TEST(Reassembly, OutputsAreJudgedOnInputsMovedOnce) {
  const TempDir dir;
  testing::Listener progress;
  const auto model = stressed(golden_model("llama"));
  const std::string text = "reassemble:ratio=0.5+fpq+e2m1-row@int4-token";
  quantized(model, text, dir.file("moved"), progress);
  const auto found = Checkpoint::open(dir.file("moved"));
  const Input& input = input_at(found->graph(), 0, 0);
  ASSERT_TRUE(input.activations);
  const ActivationFormat& with_moves = *input.activations;
  ASSERT_FALSE(with_moves.moves.empty());
  const ActivationFormat plain = parse_activation_format("int4-token");
  const Reassembly reassembly(with_moves.moves);

  ThreadPool threads(2);
  const CalibrationData data = testing::three_chunks(model->path());
  InputStatistics statistics(input.width, needs_of(FpqRounding{}));
  int64_t first_token = 0;
  for (const SequenceChunk& chunk : make_chunks(lengths_of(data.sequences))) {
    testing::visit_inputs(*model, tokens_of(chunk, data.sequences), chunk.batch, chunk.length, threads,
                          [&](int block, int of_block, std::span<const float> x) {
                            if (block != 0 || of_block != 0) return;
                            std::vector<float> y(x.begin(), x.end());
                            for (int64_t row = 0; row < chunk.rows(); ++row) {
                              reassembly.move_values(y.data() + row * input.width);
                            }
                            statistics.add(nullptr, y.data(), chunk.rows(), threads, first_token);
                          });
    first_token += chunk.rows();
  }
  const std::map<std::string, RecipeStep> steps = resolve(load_recipe(text), model->graph());
  Ranks alone;
  bool told_apart = false;
  for (const Site& site : linear_sites(model->graph(), 0)) {
    if (site.input != 0) continue;
    const std::string& name = site.linear->weight;
    const RowSourcePtr w = moved_columns(model->matrix(*site.linear), reassembly);
    const auto rounded = [&](const ActivationFormat& format) {
      SiteRecord record;
      return MatrixRounder(&statistics, alone, threads, &format).round(name, *w, steps.at(name), record);
    };
    const std::vector<float> written = found->matrix(*site.linear)->decode_all();
    EXPECT_EQ(written, rounded(plain).matrix->decode_all()) << name;
    told_apart |= written != rounded(with_moves).matrix->decode_all();
  }
  EXPECT_TRUE(told_apart) << "moving the inputs twice chooses the same codes";
}

std::string refused(ErrorKind kind, const std::string& model, const std::string& recipe) {
  const TempDir dir;
  return testing::refusal(kind, [&] {
    CalibratedRun{model, recipe, testing::three_chunks(golden_model("llama"))}.into(dir.file("out"));
  });
}

TEST(Reassembly, WhatItIsNotFor) {
  const TempDir dir;
  std::ofstream(dir.file("some.yaml")) << "steps: [{transform: reassemble, targets: [down, q]}, {quantize: int4-row},"
                                          " {quantize: int4-row, targets: [down], activations: int4-token}]\n";
  EXPECT_THAT(refused(ErrorKind::kUsage, golden_model("llama"), dir.file("some.yaml")),
              HasSubstr("step 1: 'reassemble' is for 'model.layers.0.self_attn.q_proj.weight', whose input is not "
                        "rounded; give it activations, such as int4-asym-token, or name targets"));
  for (const std::string format : {"int4-tensor", "int4-tensor-absmax", "int4-tensor-at[2]", "int4-token-had16"}) {
    EXPECT_THAT(refused(ErrorKind::kUsage, golden_model("llama"), "reassemble+int4-row@" + format),
                HasSubstr("whose input is rounded to " + format + "; channels are moved where tokens have ranges"));
  }
}

TEST(Reassembly, MovesOfAnotherFormatAreNotGoneOnWith) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  const CalibratedRun run{model, "reassemble+int8-row@int4-token", testing::three_chunks(model)};
  testing::Listener complete;
  run.into(dir.file("whole"), complete);
  testing::Listener stopped(complete.calls - 1);
  EXPECT_THROW(run.into(dir.file("q"), stopped), std::runtime_error);
  const std::string path = dir.file("q.journal/block-0000/block.json");
  Json outcome = read_json(path);
  outcome["activations"]["0"] = "int4-asym-token-reassembled[1>0=2;3>0=2]";
  std::ofstream(path) << dump_json(outcome);
  EXPECT_THAT(testing::refusal(ErrorKind::kRefused, [&] { run.into(dir.file("q")); }),
              HasSubstr("block 0, input 0: int4-asym-token with 2 moves of channels does not come of the recipe; add "
                        "--restart to begin anew"));
}

TEST(Reassembly, WhatItLeavesIsNoSource) {
  const TempDir dir;
  testing::Listener progress;
  quantized(stressed(golden_model("llama")), "reassemble+int8-row@int4-asym-token", dir.file("moved"), progress);
  EXPECT_THAT(refused(ErrorKind::kRefused, dir.file("moved"), "int4-g16"),
              HasSubstr("reads channels that were split and merged; quantize the model that it was made of"));
  // Moves that do not fit are found when the model is opened.
  Json config = read_json(dir.file("moved") + "/config.json");
  Json& activations = config["quantization_config"]["activations"];
  activations["blocks.1.mlp"] = "int4-asym-token-reassembled[1>0=64]";
  std::ofstream(dir.file("moved") + "/config.json") << dump_json(config);
  EXPECT_THAT(testing::refusal(ErrorKind::kRefused, [&] { Checkpoint::open(dir.file("moved")); }),
              HasSubstr("there is no channel 64 among "));
}

}  // namespace
}  // namespace bitloom
