#include "tune/adapter/adapter_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <tuple>

#include "base/rng.h"
#include "export/module_names.h"
#include "forward/decoder.h"
#include "pipeline/walk_test_support.h"
#include "tune/adapter/begin_adapter.h"
#include "tune/batches.h"

namespace bitloom {
namespace {

using testing::golden_model;
using ::testing::HasSubstr;
using testing::message_of;

constexpr int64_t kLength = 12;

/// An adapter of rank 3 on every layer of a golden model, some of its factors moved away from their start.
struct Lesson {
  explicit Lesson(const std::string& name, int threads_count = 2, bool dora = false)
      : threads(threads_count),
        model(Checkpoint::open(golden_model(name))),
        data(testing::some_data(golden_model(name), {kLength, kLength, kLength}, 7)),
        batches(batches_of(data.sequences, 3)),
        loss(model, begin_adapter(*model, {.rank = 3, .alpha = 6, .targets = {}, .dora = dora}, threads),
             data.sequences, batches, threads) {
    start = loss.vectors();
    Rng rng(3, 1);
    for (auto& [vector, values] : start) {
      for (float& value : values) value += 0.1f * static_cast<float>(rng.normal());
    }
  }
  ThreadPool threads;
  std::shared_ptr<const Checkpoint> model;
  CalibrationData data;
  std::vector<SequenceChunk> batches;
  AdapterLoss loss;
  Vectors start;  // not where it begins: there B is 0, and so is the gradient of A
};

class AdapterLossOf : public ::testing::TestWithParam<std::tuple<std::string, bool>> {};

// Each factor is moved along its gradient's signs to either side: what the loss changes by is the gradient times that.
// The error of the central difference is of third order, some (1/256)^2 of it; sums in fp32 add some 1e-6.
TEST_P(AdapterLossOf, GradientsAreCentralDifferences) {
  const auto& [model, dora] = GetParam();
  Lesson lesson(model, 2, dora);
  lesson.loss.set(lesson.start);
  VectorGradients gradients;
  const double loss = lesson.loss.loss(0, &gradients);
  EXPECT_NEAR(lesson.loss.loss(0, nullptr), loss, 1e-6 * loss);
  ASSERT_EQ(gradients.size(), lesson.start.size());
  const auto moved = [&](const std::string& name, double by) {
    Vectors vectors = lesson.start;
    const std::vector<double>& gradient = gradients.at(name);
    for (size_t i = 0; i < gradient.size(); ++i) {
      vectors[name][i] += static_cast<float>(gradient[i] > 0 ? by : -by);
    }
    lesson.loss.set(vectors);
    return lesson.loss.loss(0, nullptr);
  };
  double greatest = 0;
  for (const auto& [name, values] : lesson.start) {
    constexpr double kBy = 1.0 / 1024;
    double expected = 0;
    for (const double g : gradients.at(name)) expected += 2 * kBy * std::abs(g);
    const double difference = moved(name, kBy) - moved(name, -kBy);
    EXPECT_NEAR(difference, expected, 0.02 * expected + 4e-6) << name;
    greatest = std::max(greatest, expected);
  }
  EXPECT_GT(greatest, 1e-3) << "there is something to compare";
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<std::string, bool>>& of) {
  const auto& [model, dora] = of.param;
  return testing::test_name(model) + (dora ? "_dora" : "");
}

INSTANTIATE_TEST_SUITE_P(Golden, AdapterLossOf,
                         ::testing::Combine(::testing::Values("llama", "gemma2", "gpt2", "mixtral"), ::testing::Bool()),
                         name_of);

// The mean over all tokens but the first of each sequence, from the decoder's logits.
TEST(AdapterLoss, IsTheNextTokensNegativeLogLikelihood) {
  Lesson lesson("llama"), with_dora("llama", 2, true);
  Decoder decoder(lesson.model, lesson.threads);
  const auto vocab = static_cast<size_t>(lesson.model->graph().vocab_size);
  double sum = 0;
  for (const std::vector<int32_t>& tokens : lesson.data.sequences) {
    std::vector<float> logits(tokens.size() * vocab);
    decoder.logits(decoder.forward(tokens, 1, kLength), kLength, logits.data());
    for (size_t t = 0; t + 1 < tokens.size(); ++t) {
      double all = 0;
      for (size_t v = 0; v < vocab; ++v) all += std::exp(static_cast<double>(logits[t * vocab + v]));
      sum += std::log(all) - static_cast<double>(logits[t * vocab + static_cast<size_t>(tokens[t + 1])]);
    }
  }
  const double expected = sum / static_cast<double>(3 * (kLength - 1));
  EXPECT_NEAR(lesson.loss.loss(0, nullptr), expected, 1e-5 * expected) << "a new adapter changes nothing";
  EXPECT_NEAR(with_dora.loss.loss(0, nullptr), expected, 1e-5 * expected) << "nor does one with magnitudes";
  lesson.loss.set(lesson.start);
  EXPECT_GT(std::abs(lesson.loss.loss(0, nullptr) - expected), 1e-3 * expected) << "another one does";
}

TEST(AdapterLoss, HasTheSameGradientsWithAnyThreads) {
  for (const bool dora : {false, true}) {
    Lesson two("llama", 2, dora), one("llama", 1, dora);
    VectorGradients with_two, with_one;
    two.loss.set(two.start), one.loss.set(one.start);
    EXPECT_EQ(two.loss.loss(0, &with_two), one.loss.loss(0, &with_one));
    EXPECT_EQ(with_two, with_one);
  }
}

// A batch of more rows than go through at once: the mean is that of its windows.
TEST(AdapterLoss, OfManyWindowsIsTheMean) {
  const auto model = Checkpoint::open(golden_model("llama"));
  ThreadPool threads(2);
  const auto windows = static_cast<size_t>(kPieceRows / kLength + 5);
  const CalibrationData data = testing::some_data(golden_model("llama"), std::vector<int64_t>(windows, kLength));
  const std::vector<SequenceChunk> whole = batches_of(data.sequences, static_cast<int64_t>(windows));
  const std::vector<SequenceChunk> single = batches_of(data.sequences, 1);
  const PeftAdapter adapter = begin_adapter(*model, {.rank = 2, .alpha = 0, .targets = {"q_proj"}}, threads);
  AdapterLoss of_all(model, adapter, data.sequences, whole, threads);
  AdapterLoss of_each(model, adapter, data.sequences, single, threads);
  VectorGradients gradients, sum, one;
  const double loss = of_all.loss(0, &gradients);
  double mean = 0;
  for (size_t b = 0; b < windows; ++b) {
    mean += of_each.loss(b, &one) / static_cast<double>(windows);
    for (const auto& [name, values] : one) {
      sum[name].resize(values.size());
      for (size_t i = 0; i < values.size(); ++i) sum[name][i] += values[i] / static_cast<double>(windows);
    }
  }
  EXPECT_NEAR(loss, mean, 1e-6 * mean);
  for (const auto& [name, values] : gradients) {
    double off = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i)
      off += std::pow(values[i] - sum.at(name)[i], 2), size += std::pow(values[i], 2);
    EXPECT_LE(std::sqrt(off), 1e-4 * std::sqrt(size) + 1e-12) << name;
  }
}

PeftAdapter begun(const Model& model, const NewAdapter& options, int threads_count = 2) {
  ThreadPool threads(threads_count);
  return begin_adapter(model, options, threads);
}

// Of rows that a rotation mixes, too, and whatever the threads.
TEST(BeginAdapter, MagnitudesAreTheLengthsOfRows) {
  const testing::TempDir dir;
  testing::CalibratedRun{golden_model("llama"), "gptq+int8-row+frame-in16-out16",
                         testing::three_chunks(golden_model("llama"))}
      .into(dir.file("rotated"));
  for (const std::string& path : {golden_model("llama"), dir.file("rotated")}) {
    const auto model = Checkpoint::open(path);
    const PeftAdapter adapter = begun(*model, {.rank = 2, .alpha = 0, .targets = {}, .dora = true});
    const PeftAdapter with_one = begun(*model, {.rank = 2, .alpha = 0, .targets = {}, .dora = true}, 1);
    for (const auto& [tensor, linear] : block_linears(model->graph())) {
      const AdapterModule& module = adapter.modules.at(module_of(tensor));
      const std::vector<float> w = model->matrix(*linear)->decode_all();
      ASSERT_EQ(static_cast<int64_t>(module.magnitude.size()), linear->out);
      for (int64_t r = 0; r < linear->out; ++r) {
        double square = 0;
        for (int64_t c = 0; c < linear->in; ++c) {
          square += std::pow(static_cast<double>(w[static_cast<size_t>(r * linear->in + c)]), 2);
        }
        EXPECT_NEAR(module.magnitude[static_cast<size_t>(r)], std::sqrt(square), 1e-6 * std::sqrt(square)) << tensor;
      }
      EXPECT_EQ(module.magnitude, with_one.modules.at(module_of(tensor)).magnitude) << tensor;
    }
  }
}

TEST(BeginAdapter, IsAsPeftBegins) {
  const auto model = Checkpoint::open(golden_model("llama"));
  const PeftAdapter adapter = begun(*model, {.rank = 4, .alpha = 8, .targets = {"q_proj", "down_proj"}});
  ASSERT_EQ(adapter.modules.size(), 2 * model->graph().blocks.size());
  for (const auto& [name, module] : adapter.modules) {
    EXPECT_EQ(module.scale, 2);
    EXPECT_EQ(module.b, std::vector<float>(static_cast<size_t>(module.out * 4), 0.0f));
    // Uniform: its variance is a third of the square of its bound.
    double square = 0, greatest = 0;
    for (const float a : module.a) {
      square += static_cast<double>(a) * static_cast<double>(a) / static_cast<double>(module.a.size());
      greatest = std::max(greatest, std::abs(static_cast<double>(a)));
    }
    const double bound = 1 / std::sqrt(static_cast<double>(module.in));
    EXPECT_LE(greatest, bound);
    EXPECT_NEAR(square, bound * bound / 3, 0.25 * bound * bound / 3) << name;
  }
}

// A shared expert's gate has one output: no rank above 1 is on it.
TEST(BeginAdapter, LeavesOutWhatWeighsExperts) {
  const auto model = Checkpoint::open(golden_model("qwen2_moe"));
  const PeftAdapter adapter = begun(*model, {.rank = 2});
  const std::string mlp = "model.layers.0.mlp";
  EXPECT_TRUE(adapter.modules.contains(mlp + ".shared_expert.gate_proj"));
  EXPECT_TRUE(adapter.modules.contains(mlp + ".experts.5.up_proj"));
  EXPECT_FALSE(adapter.modules.contains(mlp + ".gate"));
  EXPECT_FALSE(adapter.modules.contains(mlp + ".shared_expert_gate"));
  const NewAdapter named{.rank = 1, .alpha = 0, .targets = {"shared_expert_gate"}};
  EXPECT_TRUE(begun(*model, named).modules.contains(mlp + ".shared_expert_gate"));
}

TEST(BeginAdapter, RefusesWhatTheModelLacks) {
  const auto llama = Checkpoint::open(golden_model("llama"));
  const auto refused = [](const Checkpoint& model, const NewAdapter& options) {
    return message_of(ErrorKind::kUsage, [&] { begun(model, options); });
  };
  EXPECT_THAT(refused(*llama, {.rank = 2, .alpha = 0, .targets = {"q_poj"}}),
              HasSubstr("--targets 'q_poj' (did you mean 'q_proj'?) is no linear layer of the blocks; there are: "));
  EXPECT_THAT(refused(*llama, {.rank = 0}), HasSubstr("--rank 0: must be at least 1"));
  EXPECT_THAT(refused(*llama, {.rank = 1000}), HasSubstr("--rank 1000 is above the lesser side of 'model.layers.0."));
  EXPECT_THAT(refused(*Checkpoint::open(golden_model("gpt_oss")), {.rank = 2}), HasSubstr("experts lie together in '"));
  EXPECT_THAT(refused(*Checkpoint::open(golden_model("gpt2_bare")), {.rank = 2}),
              HasSubstr("'wte.weight' is: peft would not find the modules"));
  EXPECT_NO_THROW(begun(*Checkpoint::open(golden_model("gpt2")), {.rank = 2}));
}

}  // namespace
}  // namespace bitloom
