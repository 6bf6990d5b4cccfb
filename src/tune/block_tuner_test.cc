#include "tune/block_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>

#include "forward/block.h"
#include "forward/layers/embedding.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/walk_test_support.h"
#include "tune/learned/parametrisation.h"
#include "tune/tuners.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using testing::CalibratedRun;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::Listener;
using testing::refusal;
using testing::TempDir;

const std::vector<int64_t> kMany(12, 24);
constexpr const char* kPatient = "tune-blocks:epochs=8,rate=0.004,batch=1+";

CalibratedRun run_of(const std::string& recipe, const std::vector<int64_t>& lengths = kMany,
                     const std::string& model = "llama_bf16") {
  CalibratedRun run{golden_model(model), recipe, testing::some_data(golden_model(model), lengths)};
  run.tuner = &kTuner;
  return run;
}

Json record_in(const std::string& out) { return read_json(out + "/bitloom.json").at("calibration").at("block_tuning"); }

using Rows = std::vector<std::vector<float>>;  // by chunk

enum class Operands { kRounded, kPlain };

/// What a model's block makes of these streams; `length` rows a sequence. `operands`: whether attention's are rounded.
Rows behind(const Model& model, int block, Rows streams, int64_t length, Operands operands = Operands::kRounded) {
  ThreadPool threads(2);
  const Graph& graph = model.graph();
  BlockWeights weights = load_block_weights(model, block);
  if (operands == Operands::kPlain) weights.operands.clear();
  std::optional<RopeTable> rope;
  if (const int place = graph.blocks[static_cast<size_t>(block)].attention.rope; place >= 0) {
    rope.emplace(graph.ropes[static_cast<size_t>(place)]);
    rope->reach(length);
  }
  Workspace work;
  for (std::vector<float>& stream : streams) {
    const int64_t rows = static_cast<int64_t>(stream.size()) / graph.hidden;
    work.reserve(graph, rows);
    std::copy(stream.begin(), stream.end(), work.hidden.begin());
    BlockRunner(graph, block, weights, rope ? &*rope : nullptr).run(Pass::whole(rows / length, length), work, threads);
    std::copy_n(work.hidden.begin(), stream.size(), stream.begin());
  }
  return streams;
}

Rows embedded(const Model& model, const std::vector<std::vector<int32_t>>& sequences) {
  ThreadPool threads(1);
  const OuterWeights outer = load_outer_weights(model);
  Rows rows;
  Workspace work;
  for (const std::vector<int32_t>& tokens : sequences) {
    const Pass pass = Pass::whole(1, static_cast<int64_t>(tokens.size()));
    work.reserve(model.graph(), pass.rows());
    embed_tokens(model.graph(), outer, tokens, pass, work, threads);
    rows.emplace_back(work.hidden.begin(), work.hidden.begin() + pass.rows() * model.graph().hidden);
  }
  return rows;
}

/// The mean over tokens of |x - y|^2 / |y|^2.
double error_of(const std::vector<float>& x, const std::vector<float>& y, int64_t hidden) {
  double sum = 0;
  const size_t width = static_cast<size_t>(hidden), rows = x.size() / width;
  for (size_t r = 0; r < rows; ++r) {
    double error = 0, size = 0;
    for (size_t c = r * width; c < (r + 1) * width; ++c) {
      error += std::pow(static_cast<double>(x[c]) - static_cast<double>(y[c]), 2);
      size += std::pow(static_cast<double>(y[c]), 2);
    }
    sum += error / size / static_cast<double>(rows);
  }
  return sum;
}

// The tenth sequence is held out. Every block is measured as it was written, on what the written blocks before it give.
TEST(BlockTuner, LowersTheHeldOutErrorOfWhatIsWritten) {
  for (const char* target : {"block", "model"}) {
    for (const char* rounding :
         {"aqlm+aq2x4-g4", "gptq+int2-g16", "nf4-row", "apiq:rounds=2+int2-g16-asym-mse+lowrank2-int8-row"}) {
      const CalibratedRun run =
          run_of(fmt::format("tune-blocks:epochs=8,rate=0.004,batch=1,target={}+{}", target, rounding));
      const TempDir dir;
      run.into(dir.file("out"));
      EXPECT_NO_THROW(testing::verify(dir.file("out")));
      const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out"));
      const Json record = record_in(dir.file("out"));
      ASSERT_EQ(record.size(), source->graph().blocks.size());
      int gains = 0;
      Rows quantized = embedded(*source, {run.data.sequences[9]}), original = quantized;
      for (int b = 0; b < static_cast<int>(record.size()); ++b) {
        const auto place = static_cast<size_t>(b);
        original = behind(*source, b, std::string_view(target) == "block" ? quantized : original, 24);
        quantized = behind(*tuned, b, quantized, 24);
        const double after = error_of(quantized[0], original[0], source->graph().hidden);
        EXPECT_NEAR(record[place]["error_after"].get<double>(), after, 1e-3 * after) << rounding << ", block " << b;
        EXPECT_LE(after, record[place]["error_before"].get<double>()) << rounding << ", block " << b;
        gains += after < 0.99 * record[place]["error_before"].get<double>() ? 1 : 0;
        EXPECT_EQ(record[place]["held_out_tokens"], 24);
      }
      EXPECT_GE(gains, 1) << rounding;
    }
  }
}

// Products that are rounded with the weights leave nothing behind but other codes: storages, and so sizes, are those of
// the recipe without them. What is measured reads rounded inputs, also those whose channels are moved.
TEST(BlockTuner, CorrectionsLowerTheErrorOfWhatIsWritten) {
  for (const char* parity : {"none", "paper"}) {
    for (const char* rounding : {"gptq+int3-row-asym@int8-asym-token", "reassemble+int4-row-asym@int4-asym-token",
                                 "e2m1-g16", "smoothquant+int3-g16-e8m0", "fpq:formats=all+e2m1-row"}) {
      const CalibratedRun run =
          run_of(fmt::format("tune-blocks:epochs=8,rate=0.004,batch=1,correction=2,parity={}+{}", parity, rounding));
      const TempDir dir;
      run.into(dir.file("out"));
      run_of(rounding).into(dir.file("plain"));
      EXPECT_NO_THROW(testing::verify(dir.file("out")));
      const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out")),
                 plain = Checkpoint::open(dir.file("plain"));
      int changed = 0;
      for (const CheckpointTensor& tensor : plain->tensors()) {
        if (tensor.name.find("proj") == tensor.name.npos) continue;
        const auto other = tuned->tensor(tensor.name).rows;
        // fpq chooses each matrix's own format, by inputs that a tuned block before has changed.
        if (!std::string_view(rounding).starts_with("fpq")) {
          EXPECT_EQ(other->storage(), tensor.rows->storage()) << tensor.name;
        }
        EXPECT_EQ(other->stored_bytes(), tensor.rows->stored_bytes()) << tensor.name;
        changed += other->decode_all() != tensor.rows->decode_all() ? 1 : 0;
      }
      EXPECT_GT(changed, 0) << parity << ", " << rounding;
      const Json record = record_in(dir.file("out"));
      Rows quantized = embedded(*source, {run.data.sequences[9]});
      double before = 0, after = 0;
      for (int b = 0; b < static_cast<int>(record.size()); ++b) {
        const Json& block = record[static_cast<size_t>(b)];
        const Rows target = behind(*source, b, quantized, 24);
        quantized = behind(*tuned, b, quantized, 24);
        const double written = error_of(quantized[0], target[0], source->graph().hidden);
        EXPECT_NEAR(block["error_after"].get<double>(), written, 1e-3 * written) << parity << ", " << rounding;
        before += block["error_before"].get<double>(), after += written;
      }
      // Nothing bounds what rounding makes of the sum afterwards.
      if (std::string_view(parity) == "none") {
        EXPECT_LT(after, 0.99 * before) << rounding;
      }
    }
  }
}

// Scales and biases that the walk changed are the student's too: it measures what is written.
TEST(BlockTuner, KeepsWhatTheWalkChangedBefore) {
  const CalibratedRun run =
      run_of(std::string("smoothquant+bias-correction+") + kPatient + "gptq+int3-g16", kMany, "gpt2");
  const TempDir dir;
  run.into(dir.file("out"));
  const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out"));
  const Rows start = embedded(*source, {run.data.sequences[9]});
  const double after =
      error_of(behind(*tuned, 0, start, 24)[0], behind(*source, 0, start, 24)[0], source->graph().hidden);
  EXPECT_NEAR(record_in(dir.file("out"))[0]["error_after"].get<double>(), after, 1e-3 * after);
}

// A tuned block is passed through with all its formats, also by a run that goes on behind it.
TEST(BlockTuner, LaterBlocksReadWhatFormatsMadeOfEarlierOnes) {
  for (const char* formats : {"+kv:int2-token", "@int3-token", "@int3-token+kv:int2-token"}) {
    const CalibratedRun run = run_of(std::string("tune-blocks:epochs=1,batch=1+gptq+int4-g16") + formats);
    const TempDir dir;
    run.into(dir.file("out"));
    const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out"));
    const Rows read = behind(*tuned, 0, embedded(*source, {run.data.sequences[9]}), 24);
    const double after = error_of(behind(*tuned, 1, read, 24, Operands::kPlain)[0], behind(*source, 1, read, 24)[0],
                                  source->graph().hidden);
    EXPECT_NEAR(record_in(dir.file("out"))[1]["error_after"].get<double>(), after, 1e-3 * after) << formats;
  }
}

TEST(BlockTuner, GivesTheSameBytesWithOneThread) {
  CalibratedRun run = run_of(std::string(kPatient) + "additive+aq2x4-g4");
  const auto two = run.files();
  run.threads = 1;
  testing::expect_same_files(run.files(), two, "threads");
}

TEST(BlockTuner, CorrectionsGiveTheSameBytesWithOneThread) {
  for (const char* parity : {"none", "paper"}) {
    CalibratedRun run = run_of(fmt::format(
        "tune-blocks:epochs=2,batch=1,correction=3,parity={}+reassemble+int4-row-asym@int4-asym-token", parity));
    const auto two = run.files();
    run.threads = 1;
    testing::expect_same_files(run.files(), two, "threads");
  }
}

TEST(BlockTuner, SpilledActivationsGiveTheSameBytes) {
  CalibratedRun run = run_of("tune-blocks:epochs=2,batch=1+gptq+int3-g16");
  const auto in_memory = run.files();
  ThreadPool threads(2);
  QuantizeOptions options = run.options;
  options.data = &run.data;
  options.memory = 1;  // what is least is asked for
  const WalkCost cost = predict_calibration(
      make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, threads), threads, &kBlockTuner);
  EXPECT_TRUE(cost.spills);
  run.options.memory = cost.peak_memory + (int64_t{64} << 20);
  testing::expect_same_files(run.files(), in_memory, "memory");
}

TEST(BlockTuner, GoesOnWhereAKilledRunStopped) {
  for (const char* recipe : {"tune-blocks:epochs=2,batch=1+gptq+int3-g16",
                             "tune-blocks:epochs=2,batch=1,target=model+smoothquant+additive+aq2x4-g4",
                             "tune-blocks:epochs=2,batch=1,target=model,correction=2+smoothquant+reassemble+gptq+"
                             "int4-row-asym@int4-asym-token"}) {
    const CalibratedRun run = run_of(recipe);
    const TempDir whole;
    Listener complete;
    run.into(whole.file("out"), complete);
    const auto expected = testing::files_of(whole.file("out"));
    bool went_on = false;
    for (int call = 1; call < complete.calls; call += 41) {
      const TempDir dir;
      Listener stopped(call), rest;
      EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
      run.into(dir.file("out"), rest);
      for (const std::string& line : rest.lines) went_on = went_on || line.find("going on after block") != line.npos;
      testing::expect_same_files(testing::files_of(dir.file("out")), expected, fmt::format("stopped at {}", call));
    }
    EXPECT_TRUE(went_on);
  }
}

// Steps as large as the values themselves: whatever they lead to, the vectors of the best check are what is written.
TEST(BlockTuner, IsNeverWorseOnWhatIsHeldOut) {
  const std::string rounding = "gptq+int3-g16";
  const TempDir dir;
  const CalibratedRun run = run_of("tune-blocks:epochs=4,rate=1,batch=1+" + rounding);
  run.into(dir.file("out"));
  run_of(rounding).into(dir.file("plain"));
  const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out")),
             plain = Checkpoint::open(dir.file("plain"));
  const int64_t hidden = source->graph().hidden;
  Rows read = embedded(*source, {run.data.sequences[9]});
  const double before = error_of(behind(*plain, 0, read, 24)[0], behind(*source, 0, read, 24)[0], hidden);
  const Json record = record_in(dir.file("out"));
  EXPECT_NEAR(record[0]["error_before"].get<double>(), before, 1e-3 * before);
  for (int b = 0; b < static_cast<int>(source->graph().blocks.size()); ++b) {
    const Json& block = record[static_cast<size_t>(b)];
    const Rows target = behind(*source, b, read, 24);
    read = behind(*tuned, b, read, 24);
    const double written = error_of(read[0], target[0], hidden);
    EXPECT_NEAR(block["error_after"].get<double>(), written, 1e-3 * written);
    EXPECT_LE(written, block["error_before"].get<double>() * (1 + 1e-3));
    EXPECT_LT(block["best_step"].get<int64_t>(), block["steps"].get<int64_t>()) << "steps that lost were tried";
  }
}

// A token whose hidden state overflows, in the sequence that is held out: blocks stay as they were rounded, and it is
// said.
TEST(BlockTuner, LearnsNothingOfAnErrorThatIsNotFinite) {
  constexpr int32_t kToken = 7;
  const std::string rounding = "gptq+int3-g16";
  const TempDir dir;
  const std::string model = dir.file("model");
  testing::copy_model(golden_model("granite"), model);
  CalibratedRun run = run_of("tune-blocks:epochs=2,batch=1+" + rounding, kMany, "granite");
  run.model = model;
  for (std::vector<int32_t>& sequence : run.data.sequences) std::replace(sequence.begin(), sequence.end(), kToken, 8);
  run.data.sequences[9][5] = kToken;
  const float huge = 3e38f;  // infinite behind granite's multiplier
  testing::patch_tensor(model + "/model.safetensors", "model.embed_tokens.weight",
                        4 * kToken * Checkpoint::open(model)->graph().hidden,
                        std::string(reinterpret_cast<const char*>(&huge), sizeof huge));
  Listener listener;
  run.into(dir.file("out"), listener);
  const Json record = record_in(dir.file("out"));
  ASSERT_EQ(record.size(), 2);
  for (const Json& block : record) {
    EXPECT_TRUE(block["error_before"].is_null() && block["error_after"].is_null()) << block;
    EXPECT_EQ(block["steps"], 0);
  }
  EXPECT_THAT(listener.lines, ::testing::Contains(HasSubstr("nothing is learned of block 0, 1: the error on the 24 "
                                                            "held-out calibration tokens is not finite")));
  EXPECT_NO_THROW(testing::verify(dir.file("out")));
  run.recipe = rounding;
  run.into(dir.file("plain"));
  const auto plain = testing::files_of(dir.file("plain")), tuned = testing::files_of(dir.file("out"));
  EXPECT_EQ(tuned.at("model.safetensors"), plain.at("model.safetensors"));
}

// Nothing was lost there that could be made up for.
TEST(BlockTuner, BlocksInWhichNothingIsQuantizedStay) {
  const TempDir dir;
  std::ofstream(dir.file("r.yaml")) << "steps: [{transform: {tune-blocks: {batch: 1, epochs: 2}}}, "
                                       "{quantize: int3-g16, rounding: gptq, targets: ['model.layers.1.*']}]\n";
  const CalibratedRun run = run_of(dir.file("r.yaml"));
  run.into(dir.file("out"));
  const Json record = record_in(dir.file("out"));
  ASSERT_EQ(record.size(), 1);
  EXPECT_EQ(record[0]["block"], 1);
  const auto source = Checkpoint::open(run.model), tuned = Checkpoint::open(dir.file("out"));
  int learned = 0;
  for (const CheckpointTensor& tensor : source->tensors()) {
    if (tensor.name.find("norm") == tensor.name.npos) continue;
    const bool same = tensor.rows->decode_all() == tuned->tensor(tensor.name).rows->decode_all();
    EXPECT_TRUE(same || tensor.name.find("layers.0.") == tensor.name.npos) << tensor.name;
    learned += same ? 0 : 1;
  }
  EXPECT_GT(learned, 0);
}

TEST(BlockTuner, RefusesWhatItCannotLearnFrom) {
  const std::string recipe = "tune-blocks:batch=4+gptq+int3-g16";
  const TempDir dir;
  const auto message = [&](const CalibratedRun& run) {
    return refusal(ErrorKind::kUsage, [&] { run.into(dir.file("out")); });
  };
  EXPECT_THAT(message(run_of(recipe, {24, 24, 24})), HasSubstr("3 of them make one; give tune-blocks a smaller batch"));
  EXPECT_THAT(message(run_of(recipe, {24})), HasSubstr("1 of them make one; at least 2 are needed"));
  EXPECT_THAT(message(run_of("tune-blocks:batch=1,correction=4+additive+aq2x4-g4")),
              HasSubstr("correction=4 of 'tune-blocks' is for grids without side terms"));
  CalibratedRun without = run_of(recipe);
  without.tuner = nullptr;
  EXPECT_THAT(message(without), HasSubstr("is not offered here"));
  CalibratedRun kept = run_of(recipe);
  kept.options.statistics_out = dir.file("statistics");
  EXPECT_THAT(message(kept), HasSubstr("statistics cannot be kept or used then"));
  CalibratedRun small = run_of("tune-blocks:batch=1+gptq+int3-g16");
  small.options.memory = 1;
  EXPECT_THAT(refusal(ErrorKind::kFailed, [&] { small.into(dir.file("out")); }),
              HasSubstr("--mem 1 B is too little for this model and recipe: at least "));
  EXPECT_TRUE(fs::is_empty(dir.path())) << "refused before any work";
}

TEST(BlockTuner, CostsGrowWithEpochs) {
  ThreadPool threads(1);
  const auto cost = [&](int epochs, int rank = 0) {
    const CalibratedRun run =
        run_of(fmt::format("tune-blocks:epochs={},batch=1,correction={}+gptq+int3-g16", epochs, rank));
    QuantizeOptions options;
    options.data = &run.data;
    return kBlockTuner.cost(make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, threads));
  };
  const double one = cost(1).flops, two = cost(2).flops, three = cost(3).flops;
  EXPECT_GT(one, 0);
  EXPECT_NEAR(three - two, two - one, 1e-9 * one);
  const auto graph = Checkpoint::open(golden_model("llama_bf16"))->graph();
  EXPECT_GE(cost(1).memory, 4 * 24 * 12 * graph.hidden) << "activations of a batch";
  int64_t weights = 0;
  for (const Linear& linear : graph.blocks[0].linears) weights += linear.out * linear.in;
  EXPECT_GE(cost(1, 2).memory, cost(1).memory + 8 * weights) << "as they were, and within their codes";
  EXPECT_GT(cost(1, 2).memory, cost(1, 1).memory);
  EXPECT_GT(cost(1, 2).flops, one);
}

// Two matrices [hidden, hidden] and [hidden, width] that have as much to learn: the gradient of the wider takes more.
TEST(BlockTuner, MemoryCountsGradientsOfWeights) {
  ThreadPool threads(1);
  const TempDir dir;
  const auto memory = [&](const std::string& target) {
    std::ofstream(dir.file("r.yaml")) << "steps: [{transform: {tune-blocks: {batch: 1}}}, {quantize: int3-row, "
                                         "rounding: gptq, targets: ['*."
                                      << target << ".weight']}]\n";
    const CalibratedRun run = run_of(dir.file("r.yaml"));
    QuantizeOptions options;
    options.data = &run.data;
    return kBlockTuner.cost(make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, threads)).memory;
  };
  const auto model = Checkpoint::open(golden_model("llama_bf16"));
  const Graph& graph = model->graph();
  const int64_t hidden = graph.hidden, width = graph.blocks[0].mlp.width;
  ASSERT_LE(hidden, kGradientWave * kGradientPanel);
  EXPECT_EQ(memory("down_proj") - memory("o_proj"), 4 * hidden * (width - hidden));
}

}  // namespace
}  // namespace bitloom
