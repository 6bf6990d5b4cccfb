#include "tune/adapter/tune_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "export/peft/adapt.h"
#include "forward/decoder.h"
#include "io/safetensors/safetensors.h"
#include "pipeline/walk_test_support.h"
#include "tune/adapter/begin_adapter.h"
#include "tune/learned/parametrisation.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::Listener;
using testing::message_of;
using testing::TempDir;

constexpr int64_t kLength = 16;

/// Windows that can be learned: each token is the one before and seven.
TokenSequences some_windows(int64_t count, int64_t vocab) {
  TokenSequences sequences;
  for (int64_t s = 0; s < count; ++s) {
    std::vector<int32_t>& sequence = sequences.emplace_back();
    for (int64_t t = 0; t < kLength; ++t) sequence.push_back(static_cast<int32_t>((s * 3 + t * 7) % vocab));
  }
  return sequences;
}

PeftAdapter begun(const Model& model, const NewAdapter& options) {
  ThreadPool threads(2);
  return begin_adapter(model, options, threads);
}

/// One way to tune a golden model on 20 windows, of which the tenth and the twentieth are held out.
AdapterTask some_task(const std::string& model = golden_model("llama_bf16")) {
  AdapterTask task;
  task.model = Checkpoint::open(model);
  task.adapter = begun(*task.model, {.rank = 4, .alpha = 8, .targets = {}});
  task.sequences = some_windows(20, task.model->graph().vocab_size);
  task.text = {{"source", "sevens"}, {"ids_sha256", "some"}, {"length", kLength}};
  task.options.batch = 3, task.options.epochs = 4, task.options.rate = 0.01;
  return task;
}

AdapterTuned tune(const AdapterTask& task, const std::string& out, Progress& progress, int threads = 2) {
  ThreadPool pool(threads);
  Context context{pool, progress};
  return tune_adapter(task, out, context);
}
AdapterTuned tune(const AdapterTask& task, const std::string& out, int threads = 2) {
  Progress silent;
  return tune(task, out, silent, threads);
}

std::string refused(ErrorKind kind, const AdapterTask& task) {
  const TempDir dir;
  const std::string message = message_of(kind, [&] { tune(task, dir.file("out")); });
  EXPECT_TRUE(fs::is_empty(dir.path())) << "refused before any work";
  return message;
}

/// The mean over all tokens but the first of the windows at these places, of the model with what was written.
double loss_with(const AdapterTask& task, const std::string& adapter, const std::vector<size_t>& places) {
  ThreadPool threads(2);
  const auto model = adapted(task.model, read_peft_adapter(adapter));
  Decoder decoder(model, threads);
  const auto vocab = static_cast<size_t>(model->graph().vocab_size);
  double sum = 0, tokens = 0;
  for (const size_t place : places) {
    const std::vector<int32_t>& window = task.sequences[place];
    std::vector<float> logits(window.size() * vocab);
    decoder.logits(decoder.forward(window, 1, kLength), kLength, logits.data());
    for (size_t t = 0; t + 1 < window.size(); ++t, ++tokens) {
      double all = 0;
      for (size_t v = 0; v < vocab; ++v) all += std::exp(static_cast<double>(logits[t * vocab + v]));
      sum += std::log(all) - static_cast<double>(logits[t * vocab + static_cast<size_t>(window[t + 1])]);
    }
  }
  return sum / tokens;
}

// Sums in fp32, of a loss of some nats: 1e-5 of it.
TEST(TuneAdapter, LowersTheLossOfWhatIsHeldOutAndSaysIt) {
  const TempDir dir;
  const AdapterTask task = some_task();
  const AdapterTuned tuned = tune(task, dir.file("out"));
  EXPECT_LT(tuned.loss_after, 0.8 * tuned.loss_before);
  EXPECT_NEAR(loss_with(task, dir.file("out"), {9, 19}), tuned.loss_after, 1e-5 * tuned.loss_after);
  EXPECT_EQ(tuned.windows, 18);
  EXPECT_EQ(tuned.held_out, 2);
  EXPECT_EQ(tuned.steps_planned, 4 * 6);
  EXPECT_FALSE(fs::exists(tuning_checkpoint(dir.file("out"))));
  const Json record = read_json(dir.file("out") + "/" + kTuningRecord);
  EXPECT_EQ(record.at("result").at("loss_after"), tuned.loss_after);
  EXPECT_FALSE(record.at("result").contains("seconds"));
  // What was written is what it goes on from: alpha and ranks included.
  AdapterTask more = task;
  more.adapter = read_peft_adapter(dir.file("out"));
  for (const auto& [name, module] : more.adapter.modules) EXPECT_EQ(module.scale, 2) << name;
  const AdapterTuned again = tune(more, dir.file("more"));
  EXPECT_NEAR(again.loss_before, tuned.loss_after, 1e-9);
  EXPECT_LT(again.loss_after, again.loss_before);
}

TEST(TuneAdapter, LearnsMagnitudesToo) {
  const TempDir dir;
  AdapterTask task = some_task();
  task.adapter = begun(*task.model, {.rank = 4, .alpha = 8, .targets = {}, .dora = true});
  const AdapterTuned tuned = tune(task, dir.file("out"));
  EXPECT_LT(tuned.loss_after, 0.8 * tuned.loss_before);
  EXPECT_NEAR(loss_with(task, dir.file("out"), {9, 19}), tuned.loss_after, 1e-5 * tuned.loss_after);
  EXPECT_EQ(read_json(dir.file("out") + "/" + kAdapterConfig).at("use_dora"), true);
  const PeftAdapter written = read_peft_adapter(dir.file("out"));
  for (const auto& [name, module] : written.modules) {
    EXPECT_NE(module.magnitude, task.adapter.modules.at(name).magnitude) << name;
  }
}

TEST(TuneAdapter, GivesTheSameBytesWithOneThread) {
  const TempDir dir;
  tune(some_task(), dir.file("two"), 2);
  tune(some_task(), dir.file("one"), 1);
  testing::expect_same_files(testing::files_of(dir.file("one")), testing::files_of(dir.file("two")), "threads");
}

TEST(TuneAdapter, GoesOnWhereAKilledRunStood) {
  const TempDir dir;
  Listener complete;
  tune(some_task(), dir.file("whole"), complete);
  const auto expected = testing::files_of(dir.file("whole"));
  EXPECT_EQ(complete.done, complete.announced) << "progress ends where it said";
  bool went_on = false;
  for (int call = 1; call < complete.calls; call += 7) {
    const std::string out = dir.file("out" + std::to_string(call));
    Listener stopped(call), rest;
    EXPECT_THROW(tune(some_task(), out, stopped), std::runtime_error);
    EXPECT_FALSE(fs::exists(out));
    tune(some_task(), out, rest);
    for (const std::string& line : rest.lines) went_on = went_on || line.find("going on after step") != line.npos;
    testing::expect_same_files(testing::files_of(out), expected, fmt::format("stopped at {}", call));
  }
  EXPECT_TRUE(went_on);
}

TEST(TuneAdapter, AnotherRunsCheckpointIsRefusedOrDiscarded) {
  const TempDir dir;
  Listener complete;
  tune(some_task(), dir.file("whole"), complete);
  Listener stopped(complete.calls - 2);
  EXPECT_THROW(tune(some_task(), dir.file("out"), stopped), std::runtime_error);
  AdapterTask other = some_task();
  other.options.rate = 0.02;
  const std::string message = message_of(ErrorKind::kUsage, [&] { tune(other, dir.file("out")); });
  EXPECT_THAT(message, HasSubstr("out.tuning.safetensors: where another run stood: lr was 0.01, is 0.02; "));
  EXPECT_THAT(message, HasSubstr("add --restart"));
  other.options.restart = true;
  tune(other, dir.file("out"));
  EXPECT_EQ(read_json(dir.file("out") + "/" + kTuningRecord).at("run").at("lr"), 0.02);
}

// Steps as large as the factors themselves: whatever they lead to, the best adapter is kept.
TEST(TuneAdapter, IsNeverWorseOnWhatIsHeldOut) {
  const TempDir dir;
  AdapterTask task = some_task();
  task.options.rate = 300;
  const AdapterTuned tuned = tune(task, dir.file("out"));
  EXPECT_LE(tuned.loss_after, tuned.loss_before);
  EXPECT_LT(tuned.steps, tuned.steps_planned) << "it ended early";
  EXPECT_NEAR(loss_with(task, dir.file("out"), {9, 19}), tuned.loss_after, 1e-5 * tuned.loss_after);
}

// A token whose hidden state overflows, in one of the windows that are learned from, and then in one that is held out.
TEST(TuneAdapter, RefusesAStepThatIsNotFinite) {
  constexpr int32_t kToken = 7;
  const TempDir dir;
  const std::string model = dir.file("model");
  testing::copy_model(golden_model("granite"), model);
  const auto source = Checkpoint::open(model);
  ASSERT_EQ(source->tensor("model.embed_tokens.weight").rows->storage(), "F32");
  const float huge = 3e38f;
  testing::patch_tensor(model + "/model.safetensors", "model.embed_tokens.weight", 4 * kToken * source->graph().hidden,
                        std::string(reinterpret_cast<const char*>(&huge), sizeof huge));
  AdapterTask task = some_task(model);
  for (std::vector<int32_t>& window : task.sequences) std::replace(window.begin(), window.end(), kToken, 8);
  task.options.batch = 1;
  const auto poisoned = [&](size_t window) {
    AdapterTask with = task;
    with.sequences[window][5] = kToken;
    return with;
  };
  Listener heard;
  const AdapterTuned tuned = tune(poisoned(6), dir.file("out"), heard);
  EXPECT_THAT(heard.lines, Contains(HasSubstr("its loss or gradient is not finite")));
  EXPECT_LT(tuned.steps, 18);
  EXPECT_LE(tuned.loss_after, tuned.loss_before);
  EXPECT_NEAR(loss_with(task, dir.file("out"), {9, 19}), tuned.loss_after, 1e-5 * tuned.loss_after);
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { tune(poisoned(9), dir.file("never")); }),
              HasSubstr("the loss on the 2 held-out windows is not finite before the first step"));
  EXPECT_FALSE(fs::exists(dir.file("never")));
}

TEST(TuneAdapter, RefusesOptionsThatMakeNoSense) {
  const auto with = [](const std::function<void(AdapterTask&)>& change) {
    AdapterTask task = some_task();
    change(task);
    return refused(ErrorKind::kUsage, task);
  };
  EXPECT_THAT(with([](AdapterTask& task) { task.options.validation = 0.04; }),
              HasSubstr("--validation 0.04 of 20 windows leaves none to measure on: at least 0.05 does"));
  EXPECT_THAT(with([](AdapterTask& task) { task.options.validation = 1; }), HasSubstr("must be above 0 and below 1"));
  EXPECT_THAT(with([](AdapterTask& task) { task.options.validation = 1 - 0x1p-53; }),
              HasSubstr("of 20 windows leaves none to learn from: at most 0.95 does"));
  for (const int64_t epochs : {int64_t{0}, kMostEpochs + 1, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THAT(with([epochs](AdapterTask& task) { task.options.epochs = epochs; }),
                HasSubstr(fmt::format("--epochs {}: must be 1 to 1000", epochs)));
  }
  EXPECT_THAT(with([](AdapterTask& task) { task.options.rate = 0; }), HasSubstr("--lr 0: must be a number above 0"));
  EXPECT_THAT(with([](AdapterTask& task) { task.options.warm_up = 1; }), HasSubstr("--warmup 1: must be 0 to less"));
  EXPECT_THAT(with([](AdapterTask& task) { task.options.decay = -1; }), HasSubstr("--decay -1: must be 0 to 1"));
  EXPECT_THAT(with([](AdapterTask& task) { task.sequences.resize(1); }), HasSubstr("the text has 1 window"));
}

// Lists of moved channels are long: messages say which kind of format it is.
TEST(TuneAdapter, RefusesRoundedInputsWithoutTheirMoves) {
  const TempDir dir;
  const std::string model = dir.file("model");
  testing::CalibratedRun{golden_model("llama"), "gptq+int8-row@int4-asym-token",
                         testing::three_chunks(golden_model("llama"))}
      .into(model);
  Json config = read_json(model + "/config.json");
  for (auto& [input, format] : config["quantization_config"]["activations"].items()) {
    format = "int4-asym-token-reassembled[1>0=2]";
  }
  std::ofstream(model + "/config.json") << dump_json(config);
  EXPECT_THAT(refused(ErrorKind::kUsage, some_task(model)),
              HasSubstr("reads is rounded to int4-asym-token: adapters are tuned on models whose inputs are read as"));
}

// Of 49 windows 1/49 holds out one, and the message about less names that share.
TEST(TuneAdapter, TakesTheShareThatItNames) {
  AdapterTask task = some_task();
  task.sequences = some_windows(49, task.model->graph().vocab_size);
  task.options.validation = 1 / 49.0;
  EXPECT_NO_THROW(check_adapter_task(task));
  task.options.validation = 0.02;
  EXPECT_THAT(refused(ErrorKind::kUsage, task), HasSubstr(fmt::format("at least {} does", 1 / 49.0)));
}

TEST(TuneAdapter, RefusesAnAdapterOfAnotherModel) {
  AdapterTask task = some_task();
  task.adapter = begun(*Checkpoint::open(golden_model("gpt2")), {.rank = 2});
  EXPECT_THAT(refused(ErrorKind::kRefused, task), HasSubstr("is no linear layer of the blocks of"));
}

TEST(TuneAdapter, RefusesTooLittleMemoryBeforeAnyWork) {
  AdapterTask task = some_task();
  task.options.memory = 1 << 20;
  EXPECT_THAT(refused(ErrorKind::kFailed, task), HasSubstr("--mem 1.00 MiB is too little to tune this adapter: "));
}

// Of what would do the batch comes first: windows as long as they were asked for.
TEST(TuneAdapter, NamesASmallerBatchBeforeShorterWindows) {
  AdapterTask task = some_task();
  task.sequences = some_windows(160, task.model->graph().vocab_size);
  const auto memory = [&](int64_t batch) {
    task.options.batch = batch;
    return cost_of(task).memory;
  };
  const int64_t least = memory(1), whole = memory(128);
  ASSERT_GT(whole - least, 2 << 20) << "far more than the process grows by meanwhile";
  task.options.memory = least + (whole - least) / 2;
  EXPECT_THAT(refused(ErrorKind::kFailed, task), HasSubstr(" are needed; --batch 1 takes "));
}

// With magnitudes dL/dW' of every adapted layer is made: rows times weights more.
TEST(TuneAdapter, TimeIsThatOfWhatIsMade) {
  AdapterTask task = some_task();
  double weights = 0, named = 0;
  for (const Site& site : linear_sites(task.model->graph())) {
    const auto count = static_cast<double>(site.linear->out * site.linear->in);
    weights += count, named += site.linear->role == "q" ? count : 0;
  }
  ASSERT_GT(named, 0);
  constexpr double kRowsOfSteps = 4 * 18 * kLength;  // epochs, windows
  const auto flops = [&](const std::vector<std::string>& targets, bool dora) {
    task.adapter = begun(*task.model, {.rank = 4, .alpha = 8, .targets = targets, .dora = dora});
    return cost_of(task).flops;
  };
  EXPECT_DOUBLE_EQ(flops({}, true) - flops({}, false), 2 * kRowsOfSteps * weights);
  EXPECT_DOUBLE_EQ(flops({"q_proj"}, true) - flops({"q_proj"}, false), 2 * kRowsOfSteps * named);
}

// Per row of a batch: the stream before each block and the activations of one.
TEST(TuneAdapter, MemoryIsThatOfWhatIsHeld) {
  AdapterTask task = some_task();
  const Graph& graph = task.model->graph();
  const auto memory = [&](int64_t batch) {
    task.options.batch = batch;
    return cost_of(task).memory;
  };
  const Block& block = graph.blocks[0];
  const int64_t qkv = (block.attention.heads + 2 * block.attention.kv_heads) * block.attention.head_dim;
  const auto blocks = static_cast<int64_t>(graph.blocks.size());
  const int64_t of_row = 4 * ((8 + blocks) * graph.hidden + 4 * qkv + 4 * block.mlp.width);
  EXPECT_GE(memory(4) - memory(2), 2 * kLength * of_row - (1 << 16));
  EXPECT_EQ(cost_of(task).learned, bytes_of(task.adapter.modules) / 4);
}

// Each panel of rows has a share of dL/dA, [rank, in]; a rank that no adapter has makes it stand out from the rest.
TEST(TuneAdapter, MemoryOfMagnitudesIsThatOfWhatIsHeld) {
  constexpr int64_t kRank = 1'000'000, kRest = 4 << 20;
  AdapterTask task = some_task();
  AdapterModule module = task.adapter.modules.begin()->second;
  module.rank = kRank;
  task.adapter.modules = {{task.adapter.modules.begin()->first, module}};
  const int64_t without = cost_of(task).memory;
  task.adapter.modules.begin()->second.magnitude.resize(static_cast<size_t>(module.out));
  EXPECT_LE(module.out, kGradientPanel) << "one panel";
  EXPECT_NEAR(cost_of(task).memory - without, 4 * kRank * module.in, kRest);
}

}  // namespace
}  // namespace bitloom
