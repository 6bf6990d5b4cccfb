#include "tune/student.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <optional>

#include "base/rng.h"
#include "base/test_data.h"
#include "forward/decoder.h"
#include "forward/golden_models.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/walk_test_support.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

using testing::golden_models;

constexpr int64_t kBatch = 2, kLength = 12;

/// The blocks' matrices rounded to nearest in frames with scales.
FinishedMatrices rounded_in_frames(const Model& model) {
  ThreadPool threads(2);
  Ranks alone;
  FinishedMatrices finished;
  for (const Site& site : linear_sites(model.graph())) {
    const std::string& name = site.linear->weight;
    InputCache cache;
    const RowSourcePtr weights = model.matrix(*site.linear);
    const RoundingTarget target = parse_target("int4-g16+frame-in16-out8-inscales-outscales");
    finished[name].matrix = round_matrix(Rounding(), {name, *weights, target, nullptr, cache, alone, threads}).matrix;
    finished[name].site.name = name;
  }
  return finished;
}

/// A student of a golden model, and logits to come close to.
struct Lesson {
  explicit Lesson(const std::string& name)
      : model(Checkpoint::open(testing::golden_model(name))),
        finished(rounded_in_frames(*model)),
        student(*model, finished) {
    const CalibrationData data = testing::some_data(testing::golden_model(name), {kBatch * kLength}, 7);
    tokens = data.sequences[0];
    Decoder decoder(model, threads);
    const auto hidden = decoder.forward(tokens, kBatch, kLength);
    const auto vocab = static_cast<size_t>(model->graph().vocab_size);
    logits.resize(tokens.size() * vocab);
    decoder.logits(hidden, kBatch * kLength, logits.data());
    target = [this, vocab](int64_t first, int64_t count, float* out) {
      std::copy_n(logits.data() + static_cast<size_t>(first) * vocab, static_cast<size_t>(count) * vocab, out);
    };
  }
  double kl(VectorGradients* gradients = nullptr) {
    return student.kl(tokens, kBatch, kLength, target, gradients, threads);
  }

  ThreadPool threads{2};
  std::shared_ptr<const Checkpoint> model;
  FinishedMatrices finished;
  Student student;
  std::vector<int32_t> tokens;
  std::vector<float> logits;
  TargetLogits target;
};

TEST(KlOfRow, IsTheDivergenceAndItsGradient) {
  const std::vector<float> target = {1.0f, -0.5f, 2.0f}, logits = {0.25f, 0.5f, 1.0f};
  const auto kl_at = [&](std::vector<float> z, std::vector<float>* gradient = nullptr) {
    const double kl = kl_of_row(target, 2.0, z);
    if (gradient != nullptr) *gradient = z;
    return kl;
  };
  // p = (.25, .0558, .681) from e^1, e^-.5, e^2; q likewise; sum p log(p / q).
  const double sum_p = std::exp(1.0) + std::exp(-0.5) + std::exp(2.0);
  const double sum_q = std::exp(0.25) + std::exp(0.5) + std::exp(1.0);
  double expected = 0;
  for (size_t i = 0; i < 3; ++i) {
    const double of_target = target[i], of_logits = logits[i];
    expected += std::exp(of_target) / sum_p * (of_target - std::log(sum_p) - of_logits + std::log(sum_q));
  }
  std::vector<float> gradient;
  EXPECT_NEAR(kl_at(logits, &gradient), expected, 1e-9);
  for (size_t i = 0; i < 3; ++i) {
    std::vector<float> above = logits, below = logits;
    above[i] += 0.03125f, below[i] -= 0.03125f;
    EXPECT_NEAR(gradient[i], 2 * (kl_at(above) - kl_at(below)) / 0.0625, 1e-3) << i;
  }
  EXPECT_NEAR(kl_at(target), 0, 1e-9);
}

class StudentOf : public ::testing::TestWithParam<std::string> {};

// Each vector is moved along the signs of its gradient, by a 256th of its size to either side: what the divergence
// changes by is the gradient times what the values, rounded to fp16, have moved. The error of the central difference is
// of third order, some (1/256)^2; a whole vector moves, so that fp32 sums of some 1e-6 do not count.
TEST_P(StudentOf, GradientsAreCentralDifferences) {
  Lesson lesson(GetParam());
  Vectors start = lesson.student.vectors();
  Rng rng(3, 1);
  for (auto& [name, values] : start) {
    if (!name.ends_with("_scales")) continue;
    for (float& value : values) value *= 1 + 0.125f * static_cast<float>(rng.normal());
  }
  lesson.student.set(start);
  VectorGradients gradients;
  const double loss = lesson.kl(&gradients);
  EXPECT_GT(loss, 0);
  EXPECT_NEAR(lesson.kl(), loss, 1e-5 * loss + 1e-7);
  ASSERT_GE(gradients.size(), start.size());
  const auto sizes = lesson.student.sizes();
  const auto moved = [&](const std::string& name, double by) {
    Vectors vectors = start;
    const std::vector<double>& gradient = gradients.at(name);
    for (size_t i = 0; i < gradient.size(); ++i) {
      vectors[name][i] += static_cast<float>(by * sizes.at(name) * (gradient[i] > 0 ? 1 : -1));
    }
    lesson.student.set(vectors);
    return lesson.kl();
  };
  double greatest = 0;
  std::vector<std::array<double, 2>> pairs;
  for (const auto& [name, values] : start) {
    const double above = moved(name, 1.0 / 256);
    const std::vector<float> high = lesson.student.vectors().at(name);
    const double below = moved(name, -1.0 / 256);
    const std::vector<float>& low = lesson.student.vectors().at(name);
    double expected = 0;
    for (size_t i = 0; i < high.size(); ++i) {
      expected += gradients.at(name)[i] * (static_cast<double>(high[i]) - static_cast<double>(low[i]));
    }
    pairs.push_back({above - below, expected});
    greatest = std::max(greatest, std::abs(expected));
    EXPECT_NEAR(above - below, expected, 0.02 * std::abs(expected) + 1e-5 * loss + 1e-6) << name;
  }
  EXPECT_GT(greatest, 1e-4);  // there is something to compare
}

INSTANTIATE_TEST_SUITE_P(Golden, StudentOf, ::testing::Values("llama", "gemma2", "qwen3", "gpt2", "mixtral", "olmo2"),
                         [](const auto& model) { return testing::test_name(model.param); });

TEST(Student, HoldsVectorsAsTheyAreStored) {
  Lesson lesson("llama");
  Vectors vectors = lesson.student.vectors();
  for (auto& [name, values] : vectors) values[0] += 0.12345f;
  lesson.student.set(vectors);
  for (const auto& [name, finished] : lesson.student.matrices()) {
    for (const char* part : {".in_scales", ".out_scales"}) {
      const TensorPart& stored = *finished.matrix->find_part(part);
      std::vector<float> values(static_cast<size_t>(stored.shape[0]));
      decode_to_f32(stored.dtype, stored.bytes.data(), 0, stored.shape[0], values.data());
      EXPECT_EQ(values, lesson.student.vectors().at(name + part));
      EXPECT_NEAR(values[0], vectors.at(name + part)[0], 1e-3);
      EXPECT_NE(values[0], vectors.at(name + part)[0]);
    }
  }
  EXPECT_EQ(lesson.student.norms().size(), 2 * lesson.model->graph().blocks.size() + 1);
}

// Codes take as much as the model: they are held once, and as long as anything reads them.
TEST(Student, ItsMatricesShareTheCodesOfTheFinishedOnes) {
  std::optional<Lesson> lesson("llama");
  FinishedMatrices matrices = lesson->student.matrices();
  ASSERT_EQ(matrices.size(), lesson->finished.size());
  std::map<std::string, std::vector<float>> values;
  for (const auto& [name, of] : lesson->finished) {
    values[name] = of.matrix->decode_all();
    for (const TensorPart& part : of.matrix->parts()) {
      const bool own = part.suffix == ".in_scales" || part.suffix == ".out_scales";
      EXPECT_EQ(matrices.at(name).matrix->find_part(part.suffix)->bytes.data() == part.bytes.data(), !own)
          << name << part.suffix;
    }
  }
  lesson.reset();
  for (const auto& [name, of] : matrices) EXPECT_EQ(of.matrix->decode_all(), values.at(name)) << name;
}

}  // namespace
}  // namespace bitloom
