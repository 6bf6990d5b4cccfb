// Inputs that are rounded before layers read them: the block as BlockRunner computes it, and gradients straight
// through.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "forward/adjoint/block_adjoint.h"
#include "forward/block.h"
#include "forward/golden_models.h"
#include "forward/workspace.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

constexpr int64_t kLength = 24;

/// The first block of a model, and a stream before it.
struct Lesson {
  explicit Lesson(const std::string& name)
      : model(Checkpoint::open(testing::golden("forward/" + name))), weights(load_block_weights(*model, 0)) {
    const Graph& graph = model->graph();
    if (const int place = graph.blocks[0].attention.rope; place >= 0) {
      rope.emplace(graph.ropes[static_cast<size_t>(place)]);
      rope->reach(kLength);
    }
    Rng rng(9, 1);
    stream.resize(static_cast<size_t>(kLength * graph.hidden));
    for (float& value : stream) value = static_cast<float>(rng.normal());
    gradient.resize(stream.size());
    for (float& value : gradient) value = static_cast<float>(rng.normal());
  }
  void round_inputs(const std::string& format) {
    const Block& block = model->graph().blocks[0];
    weights.rounders.clear();
    for (int i = 0; i < static_cast<int>(block.inputs.size()); ++i) {
      weights.rounders.emplace(
          i, InputRounder(parse_activation_format(format), block.inputs[static_cast<size_t>(i)].width));
    }
  }
  const RopeTable* table() const { return rope ? &*rope : nullptr; }

  struct Outcome {
    std::vector<float> stream, gradient;
    std::map<std::string, std::vector<float>> read;  // by weight: what the layer read
  };
  Outcome run() {
    const Pass pass = Pass::whole(1, kLength);
    Outcome outcome{stream, gradient, {}};
    BlockAdjoint adjoint(model->graph(), 0, weights, table());
    adjoint.run(pass, outcome.stream.data(), threads);
    GradientSink sink;
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float>) {
      outcome.read[linear.weight].assign(x.begin(), x.end());
    };
    adjoint.backward(outcome.gradient.data(), sink, threads);
    return outcome;
  }

  std::shared_ptr<const Checkpoint> model;
  BlockWeights weights;
  std::optional<RopeTable> rope;
  ThreadPool threads{2};
  std::vector<float> stream, gradient;
};

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    ab += x * y, aa += x * x, bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

class RoundedInputs : public ::testing::TestWithParam<std::string> {};

TEST_P(RoundedInputs, AreThoseOfTheBlockRunner) {
  Lesson lesson(GetParam());
  for (const char* format : {"int4-token", "int8-asym-tensor-at[-1;2]", "int4-g16-clip0.8", "e2m1-g32-e8m0"}) {
    lesson.round_inputs(format);
    Workspace work;
    work.reserve(lesson.model->graph(), kLength);
    std::copy(lesson.stream.begin(), lesson.stream.end(), work.hidden.begin());
    const Pass pass = Pass::whole(1, kLength);
    BlockRunner(lesson.model->graph(), 0, lesson.weights, lesson.table()).run(pass, work, lesson.threads);
    const std::vector<float> stream = lesson.run().stream;
    // Sums of attention are taken in another order; a value beside a tie may then be rounded the other way.
    double error = 0, square = 0;
    for (size_t i = 0; i < stream.size(); ++i) {
      error += std::pow(static_cast<double>(stream[i]) - static_cast<double>(work.hidden[i]), 2);
      square += std::pow(static_cast<double>(stream[i]), 2);
    }
    EXPECT_LT(error, 1e-6 * square) << format;
  }
}

// Fine steps change hardly anything, so gradients are those without rounding; coarse ones are passed as if they were
// fine: a gradient that is not 0 almost everywhere.
TEST_P(RoundedInputs, PassGradients) {
  Lesson lesson(GetParam());
  const Lesson::Outcome plain = lesson.run();
  lesson.round_inputs("int8-g4");
  const Lesson::Outcome fine = lesson.run();
  EXPECT_GT(cosine(fine.gradient, plain.gradient), 0.999);
  lesson.round_inputs("int4-token");
  const Lesson::Outcome coarse = lesson.run();
  EXPECT_GT(cosine(coarse.gradient, plain.gradient), 0.8);
  EXPECT_NE(coarse.gradient, plain.gradient);
}

// Fine steps and moved channels: what a layer of weights w reads as y = M x it might as well read as x by w M.
TEST_P(RoundedInputs, PassGradientsThroughMovedChannels) {
  Lesson moved(GetParam()), plain(GetParam());
  moved.round_inputs("int8-g4-reassembled[1>0=2;4>5=2;6>3=7]");
  const Reassembly& reassembly = moved.weights.rounders.at(0).reassembly();
  ASSERT_FALSE(reassembly.empty());
  for (LinearWeights& linear : plain.weights.linears) {
    if (linear.weight == nullptr) continue;
    const int64_t rows = linear.weight->rows(), cols = linear.weight->cols();
    std::vector<float> w = linear.weight->decode_all();
    for (int64_t r = 0; r < rows; ++r) reassembly.move_gradients(w.data() + r * cols);
    linear.weight = dense_matrix(rows, cols, std::move(w));
  }
  plain.weights.rounders.clear();
  const Lesson::Outcome as_read = moved.run(), as_weighed = plain.run();
  EXPECT_GT(cosine(as_read.stream, as_weighed.stream), 0.999);
  EXPECT_GT(cosine(as_read.gradient, as_weighed.gradient), 0.999);
}

// What the weights' gradients are made of is what was multiplied: of inputs between -1 and 1 no more than these.
TEST_P(RoundedInputs, AreWhatWeightsGradientsAreMadeOf) {
  Lesson lesson(GetParam());
  lesson.round_inputs("int4-asym-tensor-at[-0.75;0.75]");
  for (const auto& [name, x] : lesson.run().read) {
    for (const float value : x) {
      const double steps = static_cast<double>(value) / 0.1;
      ASSERT_NEAR(steps, std::round(steps), 1e-4) << name;
      ASSERT_LE(std::abs(steps), 8.001) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RoundedInputs, ::testing::Values("llama_bf16", "gpt2", "mixtral"),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace bitloom
