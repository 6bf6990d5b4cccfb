#include "pipeline/allocation/allocate_bits.h"
#include "pipeline/cost/cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/text/text.h"
#include "eval/divergence.h"
#include "eval/logits/replayed_logits.h"
#include "eval/scoring.h"
#include "forward/decoder.h"
#include "pipeline/allocation/sensitivity.h"
#include "pipeline/allocation/storage_error.h"
#include "pipeline/test_models.h"
#include "round/trellis/trellis_rounding.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::kDemo;

/// Sequences of the demo's own tokens, 16 of 64.
CalibrationData some_tokens() {
  CalibrationData data;
  const std::string text = read_text("assets/demo/evaluation.txt");
  const std::vector<int32_t> ids = Checkpoint::open(kDemo)->tokenizer().encode(text.substr(0, 20000));
  for (size_t at = 0; at + 64 <= ids.size() && data.sequences.size() < 16; at += 64) {
    data.sequences.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(at),
                                ids.begin() + static_cast<std::ptrdiff_t>(at) + 64);
  }
  return data;
}

class AllocateBits : public ::testing::Test {
 protected:
  Allocation allocate(const std::string& recipe, int64_t bytes, int threads = 2) {
    return allocate(load_recipe(recipe), bytes, threads);
  }
  Allocation allocate(const Recipe& recipe, int64_t bytes, int threads = 2) {
    ThreadPool pool(threads);
    Progress silent;
    Context context{pool, silent};
    options_.data = &data_;
    return allocate_bits(Checkpoint::open(kDemo), recipe, options_, bytes, context);
  }
  int64_t bytes_of(double bits) { return bytes_at(*Checkpoint::open(kDemo), bits); }

  CalibrationData data_ = some_tokens();
  QuantizeOptions options_;
};

// Scales of frames, which distillation learns, count.
TEST_F(AllocateBits, FilesTakeNoMoreThanTheyMayAndLittleLess) {
  const testing::TempDir dir;
  const std::string scaled = "viterbi+trellis2-l12+frame-in64-out64-inscales-outscales";
  for (const auto& [recipe, bits] : std::vector<std::pair<std::string, double>>{
           {"int4-g32", 3.0}, {"int4-g32", 4.0}, {"int4-g32", 5.5}, {scaled, 2.9}}) {
    const Allocation allocation = allocate(recipe, bytes_of(bits));
    Progress silent;
    const std::string out = dir.file(fmt::format("{}{}", recipe, bits));
    testing::quantize(kDemo, out, allocation.recipe, silent);
    const auto bytes = static_cast<int64_t>(std::filesystem::file_size(out + "/model.safetensors"));
    EXPECT_LE(bytes, bytes_of(bits));
    EXPECT_LE(bytes, allocation.bytes);
    EXPECT_GE(static_cast<double>(bytes), 0.995 * static_cast<double>(bytes_of(bits))) << recipe << " " << bits;
  }
}

// Norms that take scales in, and matrices that are kept, come to be written in fp32.
TEST_F(AllocateBits, FilesTakeNoMoreWhereDataRewritesValues) {
  const testing::TempDir dir;
  const int64_t most = bytes_of(9);
  const Recipe recipe = parse_recipe(
      "steps: [{transform: {smoothquant: {alpha: 0.5}}}, {quantize: int4-g32}, {keep: ['*.up_proj.weight']}]", "r");
  const Allocation allocation = allocate(recipe, most);
  Progress silent;
  testing::quantize(kDemo, dir.file("q"), allocation.recipe, silent, options_);
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(dir.file("q") + "/model.safetensors"));
  EXPECT_LE(bytes, most);
  EXPECT_GE(static_cast<double>(bytes), 0.98 * static_cast<double>(most));
}

TEST_F(AllocateBits, TheRecipeReadsAsItPrints) {
  const Allocation allocation = allocate("gptq+int4-g32", bytes_of(4));
  EXPECT_EQ(parse_recipe(to_yaml(allocation.recipe), "allocated"), allocation.recipe);
}

TEST_F(AllocateBits, TheSameForAnyNumberOfThreads) {
  EXPECT_EQ(allocate("int4-g32", bytes_of(4), 1).recipe, allocate("int4-g32", bytes_of(4), 2).recipe);
}

// What is more sensitive for its size has no fewer bits than what is less.
TEST_F(AllocateBits, BitsFollowSensitivity) {
  const Allocation allocation = allocate("int4-g32", bytes_of(4.5));
  const auto by_role = [&](const std::string& role) {
    std::vector<AllocatedGroup> groups;
    for (const AllocatedGroup& group : allocation.groups) {
      if (group.place.ends_with("." + role)) groups.push_back(group);
    }
    std::stable_sort(groups.begin(), groups.end(), [](const AllocatedGroup& a, const AllocatedGroup& b) {
      return a.loss() / a.error < b.loss() / b.error;
    });
    return groups;
  };
  int different = 0;
  for (const char* role : {"q", "v", "down", "up"}) {
    const std::vector<AllocatedGroup> groups = by_role(role);
    ASSERT_GE(groups.size(), 2U) << role;
    for (size_t i = 1; i < groups.size(); ++i) {
      // Errors of a storage differ a little from matrix to matrix, so neighbours within 10 % may swap.
      if (groups[i].sensitivity > 1.1 * groups[i - 1].sensitivity) {
        EXPECT_GE(groups[i].bytes, groups[i - 1].bytes) << groups[i].place << " " << groups[i - 1].place;
      }
      different += groups[i].bytes != groups[i - 1].bytes ? 1 : 0;
    }
  }
  EXPECT_GT(different, 0);
}

TEST_F(AllocateBits, WhatIsKeptInSoManyWordsStays) {
  const Recipe recipe = parse_recipe(
      "version: 1\nname: k\nsteps:\n  - quantize: int4-g32\n  - keep: [\"embedding\", \"blocks.0.down\"]\n", "k.yaml");
  const Allocation allocation = allocate(recipe, bytes_of(12));
  for (const AllocatedGroup& group : allocation.groups) {
    EXPECT_NE(group.place, "embedding");
    EXPECT_NE(group.place, "blocks.0.down");
  }
}

// By any pattern that means it; the demo's head is tied, so that "head" means the embedding, too.
TEST_F(AllocateBits, PatternsOfKeepMeanWhatTheyMeanElsewhere) {
  for (const char* pattern : {"*embed*", "head"}) {
    const Recipe recipe =
        parse_recipe(fmt::format("name: k\nsteps:\n  - quantize: int4-g32\n  - keep: [\"{}\"]\n", pattern), "k.yaml");
    const auto groups = allocate(recipe, bytes_of(12)).groups;
    EXPECT_FALSE(groups.empty());
    for (const AllocatedGroup& group : groups) EXPECT_NE(group.place, "embedding") << pattern;
  }
}

// Experts of one role share a width: few tokens reach each of them.
TEST_F(AllocateBits, ExpertsAreOneGroup) {
  const auto source = Checkpoint::open(testing::golden("forward/mixtral"));
  CalibrationData data;
  for (int32_t s = 0; s < 4; ++s) {
    data.sequences.emplace_back();
    for (int32_t t = 0; t < 24; ++t)
      data.sequences.back().push_back(static_cast<int32_t>((s * 31 + t * 7) % source->graph().vocab_size));
  }
  ThreadPool pool(2);
  Progress silent;
  Context context{pool, silent};
  QuantizeOptions options;
  options.data = &data;
  const Allocation allocation = allocate_bits(source, load_recipe("int4-g16"), options, bytes_at(*source, 7), context);
  int64_t experts = 0;
  for (const AllocatedGroup& group : allocation.groups) {
    if (group.place.find("experts") == std::string::npos) continue;
    experts += 1;
    EXPECT_GT(group.tensors.size(), 1U) << group.place;
    EXPECT_GT(group.sensitivity, 0) << group.place;
  }
  EXPECT_GT(experts, 0);
}

// Half the mean's freedom is not spent on the embedding, whose floor is its own.
TEST_F(AllocateBits, BlocksMayFallAStepBelowTheirOwnMean) {
  const Allocation allocation = allocate("viterbi+trellis2-l12+frame-in64-out64", bytes_of(2.75));
  std::set<std::string> storages;
  for (const AllocatedGroup& group : allocation.groups) storages.insert(group.storage);
  EXPECT_GT(storages.size(), 2U);
}

// What the blocks' floor leaves is not all that there is for the embedding: it rises from its own where that saves
// more.
TEST_F(AllocateBits, TheEmbeddingRisesFromItsFloor) {
  const Allocation allocation = allocate("viterbi+trellis3-l12+frame-in64-out64", bytes_of(4.35));
  const auto embedding = std::find_if(allocation.groups.begin(), allocation.groups.end(),
                                      [](const AllocatedGroup& group) { return group.place == "embedding"; });
  ASSERT_NE(embedding, allocation.groups.end());
  EXPECT_NE(embedding->storage, "int4-g64-mse");
}

TEST_F(AllocateBits, ASizeBelowTheSmallestStoragesIsRefused) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { allocate("int4-g32", bytes_of(1)); }),
              HasSubstr("is too little for recipe 'int4-g32'"));
}

TEST_F(AllocateBits, SaysHowMuchMemoryItTakesAndRefusesLess) {
  const int64_t needed = allocate("int4-g32", bytes_of(4)).memory;
  EXPECT_GT(needed, 0);
  options_.memory = 1 << 20;
  const std::string message = testing::message_of(ErrorKind::kFailed, [&] { allocate("int4-g32", bytes_of(4)); });
  EXPECT_THAT(message, HasSubstr("--mem 1.00 MiB is too little to find out which of this model's matrices need bits"));
  options_.memory = 2 * (needed + private_resident_bytes());  // the limit is the process's
  EXPECT_EQ(allocate("int4-g32", bytes_of(4)).recipe, allocate("int4-g32", bytes_of(4), 1).recipe);
}

// A record of the same command is the same, whatever else the process holds by then.
TEST_F(AllocateBits, MemoryIsThatOfTheAllocationAlone) {
  const int64_t before = allocate("int4-g32", bytes_of(4)).memory;
  const std::vector<char> held(int64_t{64} << 20, 1);
  EXPECT_EQ(allocate("int4-g32", bytes_of(4)).memory, before);
  EXPECT_LT(before, std::ssize(held)) << "else it could hide what is held";
}

// One sequence is little to go by, but something; of one token nothing follows.
TEST_F(AllocateBits, OneSequenceIsEnoughAndOneTokenIsNot) {
  data_.sequences.resize(1);
  EXPECT_FALSE(allocate("int4-g32", bytes_of(4)).groups.empty());
  data_.sequences[0].resize(1);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { allocate("int4-g32", bytes_of(4)); }),
              HasSubstr("needs a sequence of two tokens at least"));
}

// Logits that are all 0, or beyond what fp32 holds.
TEST_F(AllocateBits, GradientsThatSayNothingAreRefused) {
  for (const auto& [weight, reason] :
       std::map<float, std::string>{{0.0f, "are 0 on all 252 tokens"}, {3e38f, "its gradients are not finite"}}) {
    const testing::TempDir dir;
    testing::copy_model(testing::golden("forward/llama"), dir.file("model"));
    std::string bytes;
    for (int i = 0; i < 32; ++i) bytes.append(reinterpret_cast<const char*>(&weight), sizeof weight);
    testing::patch_tensor(dir.file("model/model.safetensors"), "model.norm.weight", 0, bytes);
    const auto model = Checkpoint::open(dir.file("model"));
    CalibrationData data;
    for (int32_t s = 0; s < 4; ++s) {
      for (int32_t t = 0; t < 64; ++t) {
        if (t == 0) data.sequences.emplace_back();
        data.sequences.back().push_back((s * 31 + t * 7) % static_cast<int32_t>(model->graph().vocab_size));
      }
    }
    QuantizeOptions options;
    options.data = &data;
    ThreadPool pool(2);
    Progress silent;
    Context context{pool, silent};
    const int64_t bytes_at_12 = bytes_at(*model, 12);
    EXPECT_THAT(
        testing::message_of(ErrorKind::kFailed,
                            [&] { allocate_bits(model, load_recipe("int4-g16"), options, bytes_at_12, context); }),
        HasSubstr(reason));
  }
}

TEST_F(AllocateBits, AStorageOfOneWidthIsRefused) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { allocate("e2m1-g64", bytes_of(4)); }),
              HasSubstr("has one width"));
}

TEST_F(AllocateBits, FormatsThatAreToBeFittedAreRefused) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { allocate("table4-g32", bytes_of(4)); }),
              HasSubstr("table4-g32 is fitted to the matrices that share it"));
}

class Sensitivities : public AllocateBits {
 protected:
  std::vector<std::vector<std::string>> groups() const {
    std::vector<std::vector<std::string>> groups;
    for (const Site& site : linear_sites(model_->graph())) groups.push_back({site.linear->weight});
    return groups;
  }
  /// As rounding to nearest has them: noise whose size follows the rows, as by_trying.
  std::vector<double> by_gradients(int threads, uint64_t seed = 0) {
    ThreadPool pool(threads);
    Progress silent;
    Context context{pool, silent};
    std::vector<RoundedGroup> rounded;
    for (const auto& tensors : groups()) rounded.push_back({tensors, Rounding(), parse_target("int4-row")});
    return gradient_sensitivities(*model_, rounded, sequences_, seed, alone_, context);
  }
  std::vector<double> by_trying(double error, uint64_t seed = 0) {
    ThreadPool pool(2);
    Progress silent;
    Context context{pool, silent};
    std::vector<Disturbance> disturbances;
    for (const auto& tensors : groups()) disturbances.push_back({tensors, error});
    return probe_sensitivities(*model_, disturbances, sequences_, seed, alone_, context);
  }

  Ranks alone_;
  const std::shared_ptr<const Checkpoint> model_ = Checkpoint::open(kDemo);
  const std::vector<std::vector<int32_t>> sequences_{data_.sequences.begin(),
                                                     data_.sequences.begin() + kProbeSequences};
};

// Twice the noise is about twice the loss: what the allocation adds up.
TEST_F(Sensitivities, AreOfFirstOrder) {
  const auto small = by_trying(0.01), large = by_trying(0.02);
  for (size_t i = 0; i < small.size(); ++i) {
    EXPECT_GT(small[i], 0);
    EXPECT_NEAR(large[i] / small[i], 1, 0.25) << groups()[i][0];
  }
}

// On the same sequences. One draw of labels for 250 tokens says little of a matrix, and one of noise as little where
// few directions count: eight of them against two.
TEST_F(Sensitivities, ByGradientsAreThoseByTrying) {
  constexpr uint64_t kDraws = 8, kNoises = 2;
  std::vector<double> tried(groups().size()), gradients(tried.size());
  for (uint64_t seed = 0; seed < kNoises; ++seed) {
    const auto draw = by_trying(0.005, seed << 32);
    for (size_t i = 0; i < draw.size(); ++i) tried[i] += draw[i] / kNoises;
  }
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    const auto draw = by_gradients(2, seed);
    for (size_t i = 0; i < draw.size(); ++i) gradients[i] += draw[i] / kDraws;
  }
  double logs = 0;
  for (size_t i = 0; i < tried.size(); ++i) {
    const double ratio = gradients[i] / tried[i];
    EXPECT_GT(ratio, 1 / 1.5) << groups()[i][0];
    EXPECT_LT(ratio, 1.5) << groups()[i][0];
    logs += std::log(ratio);
  }
  EXPECT_NEAR(std::exp(logs / static_cast<double>(tried.size())), 1, 0.25);
}

/// Sequences [first, first + count) of `length` tokens of the demo's text.
std::vector<std::vector<int32_t>> sequences_of(int64_t first, int64_t count, int64_t length) {
  const std::vector<int32_t> ids = Checkpoint::open(kDemo)->tokenizer().encode(read_text("assets/demo/evaluation.txt"));
  std::vector<std::vector<int32_t>> sequences;
  for (int64_t s = first; s < first + count; ++s) {
    const auto begin = ids.begin() + s * length;
    sequences.emplace_back(begin, begin + length);
  }
  return sequences;
}

// Each matrix of a block alone, rounded with feedback both ways: predicted before, measured on other text.
TEST_F(Sensitivities, TimesErrorAreWhatRoundingWithFeedbackLoses) {
  const RoundingTarget target = parse_target("trellis2-l12+frame-in512-out512");
  const Rounding rounding = LdlqRounding{.two_sided = true};
  data_.sequences = sequences_of(0, kFeedbackSequences, 128);
  options_.data = &data_;
  ThreadPool pool(2);
  Progress silent;
  Context context{pool, silent};
  std::vector<RoundedGroup> groups;
  for (const Site& site : linear_sites(model_->graph())) {
    if (site.block == 3) groups.push_back({{site.linear->weight}, rounding, target});
  }
  const auto predicted = gradient_sensitivities(*model_, groups, data_.sequences, 0, alone_, context);
  TextWindows windows;
  for (std::vector<int32_t>& tokens : sequences_of(kFeedbackSequences, 24, 128)) {
    windows.windows.push_back({std::move(tokens), 1});
    windows.scored_tokens += windows.windows.back().scored();
    windows.text_tokens += 128;
  }
  Decoder original(model_, pool);
  ReplayedLogits reference(original);
  const testing::TempDir dir;
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::string& name = groups[g].tensors.front();
    RecipeStep step;
    step.quantize = target, step.rounding = rounding, step.targets = {name};
    Recipe recipe;
    recipe.name = "one", recipe.steps = {step};
    testing::quantize(kDemo, dir.file(name), recipe, silent, options_);
    Decoder rounded(Checkpoint::open(dir.file(name)), pool);
    const double measured = divergence(reference, *logits_of(rounded), windows, context).kl_mean;
    const double t = StorageErrors(pool).error(*model_->tensor(name).rows, target);
    EXPECT_GT(predicted[g] * t, measured / 1.5) << name;
    EXPECT_LT(predicted[g] * t, measured * 1.5) << name;
  }
}

TEST_F(Sensitivities, ByGradientsAreTheSameForAnyNumberOfThreads) { EXPECT_EQ(by_gradients(1), by_gradients(2)); }

}  // namespace
}  // namespace bitloom
