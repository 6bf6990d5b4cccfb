#include "tune/distill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "forward/decoder.h"
#include "io/safetensors/safetensors.h"
#include "pipeline/walk_test_support.h"
#include "tune/student.h"
#include "tune/tuners.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using testing::CalibratedRun;
using ::testing::Contains;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::Listener;
using testing::refusal;
using testing::TempDir;

constexpr const char* kScaled = "gptq+int3-row+frame-in16-out16-inscales-outscales";
const std::string kPatient = "distill:epochs=8,rate=0.004,batch=1+";
const std::string kWithCodes = "distill:epochs=8,rate=0.004,batch=1,codes,code-rate=0.03,changes=0.1,trust=0.1+";
const std::string kThroughRounding = "distill:epochs=8,rate=0.004,batch=1,weights,weight-rate=0.01+";
const std::vector<int64_t> kMany(20, 24);

CalibratedRun run_of(const std::string& recipe, const std::vector<int64_t>& lengths = {24, 24, 24, 24, 17, 17}) {
  CalibratedRun run{golden_model("llama_bf16"), recipe, testing::some_data(golden_model("llama_bf16"), lengths)};
  run.tuner = &kTuner;
  return run;
}

Json record_in(const std::string& out) { return read_json(out + "/bitloom.json").at("calibration").at("distillation"); }

std::vector<float> logits_of(const std::string& model, const std::vector<int32_t>& tokens) {
  ThreadPool threads(2);
  Decoder decoder(Checkpoint::open(model), threads);
  const auto rows = static_cast<int64_t>(tokens.size());
  const auto hidden = decoder.forward(tokens, 1, rows);
  std::vector<float> logits(static_cast<size_t>(rows * decoder.graph().vocab_size));
  decoder.logits(hidden, rows, logits.data());
  return logits;
}

/// The mean KL from the original's logits to the quantized model's on the run's sequences at these places.
double kl_between(const CalibratedRun& run, const std::string& quantized, const std::vector<size_t>& places) {
  double sum = 0, rows = 0;
  for (const size_t place : places) {
    const std::vector<int32_t>& tokens = run.data.sequences[place];
    const std::vector<float> target = logits_of(run.model, tokens);
    std::vector<float> logits = logits_of(quantized, tokens);
    const size_t vocab = logits.size() / tokens.size();
    for (size_t row = 0; row < tokens.size(); ++row, ++rows) {
      sum += kl_of_row({target.data() + row * vocab, vocab}, 1, {logits.data() + row * vocab, vocab});
    }
  }
  return sum / rows;
}

/// Bytes of all tensors.
int64_t size_of(const std::string& model) {
  int64_t bytes = 0;
  for (const CheckpointTensor& tensor : Checkpoint::open(model)->tensors()) bytes += tensor.rows->stored_bytes();
  return bytes;
}

// The tenth batch and the twentieth are held out. What is written must be the model that was measured.
TEST(Distill, LowersTheHeldOutDivergenceOfWhatIsWritten) {
  for (const std::string& rounding :
       {std::string(kScaled), std::string("ldlq+trellis2-l12+frame-in16-out16-inscales-outscales")}) {
    const CalibratedRun plain = run_of(rounding, kMany), tuned = run_of(kPatient + rounding, kMany);
    const TempDir dir;
    plain.into(dir.file("plain"));
    tuned.into(dir.file("tuned"));
    EXPECT_NO_THROW(testing::verify(dir.file("tuned")));
    const double before = kl_between(tuned, dir.file("plain"), {9, 19});
    const double after = kl_between(tuned, dir.file("tuned"), {9, 19});
    const Json record = record_in(dir.file("tuned"));
    EXPECT_NEAR(record["kl_before"].get<double>(), before, 1e-4 * before);
    EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
    EXPECT_LT(after, 0.95 * before) << rounding;
    EXPECT_EQ(record["held_out_tokens"], 48);
    EXPECT_EQ(size_of(dir.file("plain")), size_of(dir.file("tuned")));
  }
}

TEST(Distill, WithoutScalesOnlyNormsChange) {
  const std::string rounding = "gptq+int3-g16";
  const TempDir dir;
  run_of(rounding, kMany).into(dir.file("plain"));
  run_of(kPatient + rounding, kMany).into(dir.file("tuned"));
  const auto plain = Checkpoint::open(dir.file("plain")), tuned = Checkpoint::open(dir.file("tuned"));
  bool norms_differ = false;
  for (const CheckpointTensor& tensor : plain->tensors()) {
    const bool same = tensor.rows->decode_all() == tuned->tensor(tensor.name).rows->decode_all();
    const bool is_norm = tensor.name.find("norm") != std::string::npos;
    EXPECT_TRUE(same || is_norm) << tensor.name;
    norms_differ = norms_differ || (is_norm && !same);
  }
  EXPECT_TRUE(norms_differ);
}

/// Which tensors stay as they are when a part learns behind `rounding`: at no more bytes, and with less than `share` of
/// the KL on what is held out, which the record tells.
std::map<std::string, bool> learn(const std::string& part, const std::string& rounding, double share) {
  const CalibratedRun plain = run_of(rounding, kMany), tuned = run_of(part + rounding, kMany);
  const TempDir dir;
  plain.into(dir.file("plain")), tuned.into(dir.file("tuned"));
  EXPECT_NO_THROW(testing::verify(dir.file("tuned")));
  const Json record = record_in(dir.file("tuned"));
  const double after = kl_between(tuned, dir.file("tuned"), {9, 19});
  EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
  EXPECT_LT(after, share * record["kl_before"].get<double>()) << rounding;
  EXPECT_EQ(size_of(dir.file("plain")), size_of(dir.file("tuned")));
  const auto before = open_safetensors_directory(dir.file("plain")),
             now = open_safetensors_directory(dir.file("tuned"));
  EXPECT_EQ(before.size(), now.size());
  std::map<std::string, bool> same;
  for (size_t i = 0; i < std::min(before.size(), now.size()); ++i) {
    same[now[i].name] = std::equal(now[i].bytes.begin(), now[i].bytes.end(), before[i].bytes.begin());
  }
  EXPECT_FALSE(same.empty());
  return same;
}

// What is learned where bases are asked for too: norms and fp16 scales or codebooks, no codes.
TEST(Distill, BasesAreLearnedOnRequest) {
  const std::string aqlm = "aqlm+aq2x4-g4", grid = "gptq+int3-g16";
  for (const std::string& rounding : {aqlm, grid}) {
    for (const auto& [name, same] : learn("distill:epochs=8,rate=0.004,batch=1,bases+", rounding, 0.97)) {
      const bool is_learned = name.ends_with(".scales") || name.ends_with(".codebooks");
      EXPECT_TRUE(!same || !is_learned) << name;
      EXPECT_TRUE(same || !name.ends_with(".codes")) << name;
    }
  }
}

// Codes too, and what is written is the model of the best check.
TEST(Distill, CodesAreLearnedOnRequest) {
  int with_codes = 0, changed = 0;
  for (const auto& [name, same] : learn(kWithCodes, "aqlm+aq2x4-g4", 0.95)) {
    if (!name.ends_with(".codes")) continue;
    ++with_codes, changed += same ? 0 : 1;
  }
  EXPECT_GT(changed, with_codes / 2) << "of " << with_codes;
}

// Weights through rounding: codes follow them, of integers and of minifloats, whose scales are learned too, and of
// MXFP4, whose powers of two stay. With inputs that are rounded what is measured is the model that rounds them.
TEST(Distill, WeightsAreLearnedOnRequest) {
  for (const std::string& rounding :
       {std::string("gptq+int2-g16"), std::string("e2m1-g16"), std::string("mxfp4"),
        std::string("gptq+int4-row@int4-token"), std::string("int4-g16@int4-tensor-p99")}) {
    int with_codes = 0, changed = 0;
    for (const auto& [name, same] : learn(kThroughRounding, rounding, 0.97)) {
      EXPECT_TRUE(!name.ends_with(".scales") || same == (rounding == "mxfp4")) << name;
      if (!name.ends_with(".codes")) continue;
      ++with_codes, changed += same ? 0 : 1;
    }
    EXPECT_GT(changed, with_codes / 2) << rounding << ", of " << with_codes;
  }
}

// Formats too, each matrix's own, of no other size; what is written is what was measured, and tells the formats.
TEST(Distill, FormatsAreLearnedOnRequest) {
  for (const std::string& rounding : {std::string("e2m1-g16"), std::string("gptq+e4m1-row@int8-token")}) {
    const std::string part = "distill:epochs=8,rate=0.004,batch=1,formats,weight-rate=0.003+";
    const CalibratedRun plain = run_of(rounding, kMany), tuned = run_of(part + rounding, kMany);
    const TempDir dir;
    plain.into(dir.file("plain"));
    const QuantizeResult result = tuned.into(dir.file("tuned"));
    EXPECT_NO_THROW(testing::verify(dir.file("tuned")));
    const Json record = record_in(dir.file("tuned"));
    const double after = kl_between(tuned, dir.file("tuned"), {9, 19});
    EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
    EXPECT_LT(after, 0.97 * record["kl_before"].get<double>()) << rounding;
    EXPECT_EQ(size_of(dir.file("plain")), size_of(dir.file("tuned")));
    const auto before = Checkpoint::open(dir.file("plain")), now = Checkpoint::open(dir.file("tuned"));
    int others = 0;
    std::map<std::string, int> counts;  // by format
    for (const Site& site : linear_sites(now->graph())) {
      const std::string &name = site.linear->weight, storage = now->tensor(name).rows->storage();
      others += storage == before->tensor(name).rows->storage() ? 0 : 1;
      ++counts[storage.substr(0, storage.find('-'))];
    }
    EXPECT_GT(others, 0) << rounding;
    std::string told = "formats of matrices, their bits split as they were learned: ";
    for (const auto& [format, count] : counts) {
      told += fmt::format("{}{} to {}", told.ends_with(' ') ? "" : ", ", count, format);
    }
    EXPECT_THAT(result.remarks, Contains(HasSubstr(told)));
  }
}

// What is written reads inputs whose channels are moved, and is what was measured.
TEST(Distill, GoesThroughMovedChannels) { learn(kThroughRounding, "reassemble+gptq+int4-row@int4-asym-token", 1); }

class DistilledBases : public ::testing::TestWithParam<std::string> {};

TEST_P(DistilledBases, GoOnWhereAKilledRunStopped) {
  const CalibratedRun run = run_of(GetParam());
  const TempDir whole;
  Listener complete;
  run.into(whole.file("out"), complete);
  const auto expected = testing::files_of(whole.file("out"));
  bool went_on = false;
  for (int call = complete.calls - 60; call < complete.calls; call += 10) {
    const TempDir dir;
    Listener stopped(call), rest;
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
    run.into(dir.file("out"), rest);
    for (const std::string& line : rest.lines) went_on = went_on || line.find("going on after step") != line.npos;
    testing::expect_same_files(testing::files_of(dir.file("out")), expected, fmt::format("stopped at {}", call));
  }
  EXPECT_TRUE(went_on);
}

TEST_P(DistilledBases, AreTheSameBytesWithOneThread) {
  CalibratedRun run = run_of(GetParam());
  const auto two = run.files();
  run.threads = 1;
  testing::expect_same_files(run.files(), two, "threads");
}

INSTANTIATE_TEST_SUITE_P(Parts, DistilledBases,
                         ::testing::Values("distill:epochs=2,rate=0.004,batch=1,bases+additive+aq2x4-g4",
                                           "distill:epochs=2,rate=0.004,batch=1,codes,changes=0.1,trust=0.1+additive+"
                                           "aq2x4-g4",
                                           "distill:epochs=2,rate=0.004,batch=1,weights+int3-g16@int8-token",
                                           "distill:epochs=2,rate=0.004,batch=1,formats,format-rate=0.5+e2m1-g16"),
                         [](const auto& recipe) {
                           const bool codes = recipe.param.find("codes") != std::string::npos;
                           const bool weights = recipe.param.find("weights") != std::string::npos;
                           const bool formats = recipe.param.find("formats") != std::string::npos;
                           return formats ? "Formats" : codes ? "Codes" : weights ? "Weights" : "Numbers";
                         });

TEST(Distill, CodesAreNeverWorseOnWhatIsHeldOut) {
  for (const char* recipe :
       {"distill:epochs=5,rate=0.001,batch=1,codes,code-rate=1,changes=1,trust=1+additive+aq2x4-g4",
        "distill:epochs=5,rate=0.001,batch=1,weights,weight-rate=1+int3-g16"}) {
    const TempDir dir;
    const CalibratedRun run = run_of(recipe);
    run.into(dir.file("out"));
    const Json record = record_in(dir.file("out"));
    EXPECT_LE(record["kl_after"].get<double>(), record["kl_before"].get<double>());
    const bool ends_early = std::string(recipe).find("weights") == std::string::npos;
    EXPECT_EQ(record["steps"].get<int64_t>() < 25, ends_early) << recipe;
    const double after = kl_between(run, dir.file("out"), {5});
    EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
  }
}

// Steps as large as the values themselves: whatever they lead to, the vectors of the best check are kept.
TEST(Distill, IsNeverWorseOnWhatIsHeldOut) {
  const TempDir dir;
  const CalibratedRun run = run_of(std::string("distill:epochs=5,rate=1,batch=1+") + kScaled);
  run.into(dir.file("out"));
  const Json record = record_in(dir.file("out"));
  EXPECT_LE(record["kl_after"].get<double>(), record["kl_before"].get<double>());
  EXPECT_LT(record["steps"].get<int64_t>(), 25);  // it ended early
  const double after = kl_between(run, dir.file("out"), {5});
  EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
}

TEST(Distill, GivesTheSameBytesWithOneThread) {
  CalibratedRun run = run_of(std::string("distill:epochs=2,rate=0.01,batch=2+") + kScaled);
  const auto two = run.files();
  run.threads = 1;
  testing::expect_same_files(run.files(), two, "threads");
}

TEST(Distill, GoesOnWhereAKilledRunStopped) {
  const CalibratedRun run = run_of(std::string("distill:epochs=2,rate=0.01,batch=2+") + kScaled);
  const TempDir whole;
  Listener complete;
  run.into(whole.file("out"), complete);
  const auto expected = testing::files_of(whole.file("out"));
  bool went_on = false;
  for (int call = 1; call < complete.calls; call += 2) {
    const TempDir dir;
    Listener stopped(call), rest;
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
    run.into(dir.file("out"), rest);
    for (const std::string& line : rest.lines) went_on = went_on || line.find("going on after step") != line.npos;
    testing::expect_same_files(testing::files_of(dir.file("out")), expected, fmt::format("stopped at {}", call));
    EXPECT_FALSE(fs::exists(dir.file("out.journal")));
  }
  EXPECT_TRUE(went_on);
}

TEST(Distill, RefusesWhatItCannotLearnFrom) {
  const std::string recipe = std::string("distill:batch=4+") + kScaled;
  const TempDir dir;
  EXPECT_THAT(refusal(ErrorKind::kUsage,
                      [&] {
                        run_of(recipe, {24, 24, 24}).into(dir.file("out"));
                      }),
              HasSubstr("3 of them make one, at least 5 are needed"));
  const auto refused = [&](const char* weights) {
    return refusal(ErrorKind::kUsage, [&] { run_of(weights).into(dir.file("out")); });
  };
  EXPECT_THAT(refused("distill:weights+viterbi+trellis2-l12"),
              HasSubstr("'model.layers.0.self_attn.q_proj.weight' is to be trellis2-l12"));
  EXPECT_THAT(refused("distill:weights+int4-g16+frame-in16-inscales"), HasSubstr("grids without side terms"));
  EXPECT_THAT(refused("distill:weights,codes+int4-g16"), HasSubstr("'weights' of grids, not both"));
  EXPECT_THAT(
      refused("distill:formats+int4-g16"),
      HasSubstr("formats are learned of minifloats without reserved codes, at the usual bias, with fp16 or bf16 "
                "scales and without side terms (e2m1-g64, e3m2-row, e4m3-tensor; 1 to 5 exponent bits); "
                "'model.layers.0.self_attn.q_proj.weight' is to be int4-g16"));
  EXPECT_THAT(refused("distill:formats+mxfp4"), HasSubstr("is to be mxfp4"));
  EXPECT_THAT(refused("distill:formats+e4m3fn-row"), HasSubstr("is to be e4m3fn-row"));
  EXPECT_THAT(refused("distill:formats,codes+e2m1-g16"), HasSubstr("not both"));
  EXPECT_THAT(refused("distill:formats+smoothquant+e2m1-g16"),
              HasSubstr("begins at the model's own weights, which 'smoothquant' changes as blocks are rounded"));
  EXPECT_THAT(refused("tune-blocks:batch=1,correction=2+distill:formats,batch=1+e2m1-g16"),
              HasSubstr("to which correction=2 of 'tune-blocks' adds a product before they are rounded"));
  CalibratedRun without = run_of(recipe);
  without.tuner = nullptr;
  EXPECT_THAT(refusal(ErrorKind::kUsage, [&] { without.into(dir.file("out")); }), HasSubstr("is not offered here"));
  CalibratedRun kept = run_of(recipe);
  kept.options.statistics_in = dir.path();
  EXPECT_THAT(refusal(ErrorKind::kUsage, [&] { kept.into(dir.file("out")); }), HasSubstr("cannot stand for them"));
  EXPECT_TRUE(fs::is_empty(dir.path())) << "refused before any work";
}

// A token whose hidden state overflows, in one of the sequences that are learned from.
TEST(Distill, EndsAtALossThatIsNotFinite) {
  constexpr int32_t kToken = 7;
  constexpr size_t kPoisonedPlace = 6;  // its step comes behind checks that gain, and not right behind one
  const TempDir models;
  const std::string model = models.file("model");
  testing::copy_model(golden_model("granite"), model);
  CalibratedRun run{model, std::string("distill:epochs=2,rate=0.004,batch=1+") + kScaled,
                    testing::some_data(model, kMany)};
  run.tuner = &kTuner;
  for (std::vector<int32_t>& sequence : run.data.sequences) std::replace(sequence.begin(), sequence.end(), kToken, 8);
  run.data.sequences[kPoisonedPlace][5] = kToken;
  const auto source = Checkpoint::open(model);
  ASSERT_EQ(source->tensor("model.embed_tokens.weight").rows->storage(), "F32");
  const float huge = 3e38f;
  testing::patch_tensor(model + "/model.safetensors", "model.embed_tokens.weight", 4 * kToken * source->graph().hidden,
                        std::string(reinterpret_cast<const char*>(&huge), sizeof huge));
  const TempDir whole;
  Listener complete;
  run.into(whole.file("out"), complete);
  const Json record = record_in(whole.file("out"));
  EXPECT_THAT(complete.lines, Contains(HasSubstr("its loss or gradient is not finite")));
  const auto steps = record["steps"].get<int64_t>(), best = record["best_step"].get<int64_t>();
  EXPECT_GT(best, 0);
  EXPECT_LT(best, steps);
  EXPECT_LT(steps, 36);
  EXPECT_LT(record["kl_after"].get<double>(), record["kl_before"].get<double>());
  // What is written is the model of the best check.
  const double after = kl_between(run, whole.file("out"), {9, 19});
  EXPECT_NEAR(record["kl_after"].get<double>(), after, 1e-4 * after);
  const auto expected = testing::files_of(whole.file("out"));
  for (int call = complete.calls - 12; call < complete.calls; call += 3) {
    const TempDir dir;
    Listener stopped(call);
    EXPECT_THROW(run.into(dir.file("out"), stopped), std::runtime_error);
    run.into(dir.file("out"));
    testing::expect_same_files(testing::files_of(dir.file("out")), expected, fmt::format("stopped at {}", call));
  }
}

// Two batches: one to learn from, one held out, and one check an epoch.
TEST(Distill, EndsAfterAnEpochWithoutGain) {
  const TempDir dir;
  run_of(std::string("distill:epochs=5,rate=1,batch=1+") + kScaled, {24, 24}).into(dir.file("out"));
  const Json record = record_in(dir.file("out"));
  EXPECT_LT(record["steps"].get<int64_t>(), 5);
  EXPECT_EQ(record["steps"].get<int64_t>(), record["best_step"].get<int64_t>() + 1);
}

TEST(Distill, RefusesTooLittleMemoryOrDiskBeforeAnyWork) {
  static constexpr int64_t kMuch = int64_t{1} << 50;
  Tuner greedy = kTuner;
  const TempDir dir;
  CalibratedRun run = run_of(std::string("distill:batch=1+") + kScaled);
  run.tuner = &greedy;
  run.options.memory = int64_t{1} << 40;
  greedy.cost = [](const QuantizeTask&) { return TuningCost{.memory = kMuch}; };
  EXPECT_THAT(refusal(ErrorKind::kFailed, [&] { run.into(dir.file("out")); }),
              HasSubstr("--mem 1.00 TiB is too little to learn from this model's logits: at least "));
  greedy.cost = [](const QuantizeTask&) { return TuningCost{.disk = kMuch}; };
  EXPECT_THAT(refusal(ErrorKind::kFailed, [&] { run.into(dir.file("out")); }),
              HasSubstr("not enough free disk space: finished blocks and what learning keeps need "));
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TuningCost cost_of(const std::string& recipe, const std::vector<int64_t>& lengths, int64_t memory = 0) {
  ThreadPool threads(1);
  const CalibratedRun run = run_of(recipe, lengths);
  QuantizeOptions options;
  options.data = &run.data;
  options.memory = memory;
  return kTuner.cost(make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, threads));
}

TEST(Distill, IsPredicted) {
  const auto cost = [&](int epochs) {
    return cost_of(fmt::format("distill:epochs={},batch=1+{}", epochs, kScaled), kMany);
  };
  const double one = cost(1).flops, two = cost(2).flops, three = cost(3).flops;
  EXPECT_GT(one, 0);
  EXPECT_NEAR(three - two, two - one, 1e-9 * one);
  EXPECT_GT(two - one, 0.5 * one) << "the original's pass is the smaller part";
}

// Of two batches one is held out, and is measured once.
TEST(Distill, TimeIsOfTheRealSplit) {
  const auto model = Checkpoint::open(golden_model("llama_bf16"));
  const Graph& graph = model->graph();
  double weights = 0;
  for (const Site& site : linear_sites(graph)) weights += static_cast<double>(site.linear->out * site.linear->in);
  const auto head = static_cast<double>(graph.vocab_size * graph.hidden);
  const double expected = 48 * weights + 24 * (4 * weights + 3 * head) + 24 * (weights + 3 * head);
  EXPECT_DOUBLE_EQ(cost_of(std::string("distill:epochs=1,batch=1+") + kScaled, {24, 24}).flops, 2 * expected);
}

// What the blocks' backward pass holds for each row of the largest batch; the hidden states of all go to a file with
// --mem.
TEST(Distill, MemoryAndDiskAreThoseOfWhatIsHeld) {
  const auto model = Checkpoint::open(golden_model("llama_bf16"));
  const Graph& graph = model->graph();
  const std::string recipe = std::string("distill:batch=1+") + kScaled;
  const Block& block = graph.blocks[0];
  const Attention& attention = block.attention;
  const int64_t qkv = (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
  const auto blocks = static_cast<int64_t>(graph.blocks.size());
  const int64_t of_row = 4 * ((8 + blocks) * graph.hidden + 4 * qkv + 4 * block.mlp.width);
  const TuningCost shorter = cost_of(recipe, {24, 24}, 1), longer = cost_of(recipe, {48, 48}, 1);
  EXPECT_GE(longer.memory - shorter.memory, 24 * of_row);
  EXPECT_EQ(longer.disk - shorter.disk, 4 * 48 * graph.hidden);
  const TuningCost in_memory = cost_of(recipe, {24, 24});
  EXPECT_EQ(in_memory.memory - shorter.memory, 4 * 48 * graph.hidden);
  EXPECT_EQ(shorter.disk - in_memory.disk, 4 * 48 * graph.hidden);
  int64_t vectors = 0;
  for (const Site& site : linear_sites(graph)) vectors += site.linear->in + site.linear->out;
  EXPECT_GE(in_memory.disk, 4 * 4 * vectors) << "values, two means and the best of each";
}

// For every weight what codes are to come near to and a square, two numbers in memory and in both files of a check;
// codes of 16 bits thrice, and twice in each file.
TEST(Distill, MemoryAndDiskOfCodes) {
  const auto model = Checkpoint::open(golden_model("llama_bf16"));
  int64_t weights = 0;
  for (const Site& site : linear_sites(model->graph())) weights += site.linear->out * site.linear->in;
  const TuningCost bases = cost_of("distill:batch=1,bases+aqlm+aq2x4-g4", {24, 24});
  const TuningCost codes = cost_of("distill:batch=1,codes+aqlm+aq2x4-g4", {24, 24});
  EXPECT_EQ(codes.memory - bases.memory, 8 * weights + 6 * weights / 2);
  EXPECT_EQ(codes.disk - bases.disk, 2 * (8 * weights + 4 * weights / 2));
  EXPECT_GT(codes.flops, bases.flops);
}

// Each latent weight is a value that is learned: 52 bytes, and 32 on disk.
TEST(Distill, MemoryAndDiskOfWeights) {
  const auto model = Checkpoint::open(golden_model("llama_bf16"));
  int64_t weights = 0;
  for (const Site& site : linear_sites(model->graph())) weights += site.linear->out * site.linear->in;
  const TuningCost bases = cost_of("distill:batch=1,bases+int4-g16", {24, 24});
  const TuningCost learned = cost_of("distill:batch=1,weights+int4-g16", {24, 24});
  EXPECT_EQ(learned.memory - bases.memory, 52 * weights);
  EXPECT_EQ(learned.disk - bases.disk, 32 * weights);
  EXPECT_GT(learned.flops, bases.flops);
}

}  // namespace
}  // namespace bitloom
