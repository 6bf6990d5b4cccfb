// The walk in stages against plain passes: what every site of every architecture reads, bit for bit.

#include "pipeline/walk/stream/calibration_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "forward/test_inputs.h"
#include "model/test_linears.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

using testing::golden_model;
using testing::golden_models;
using testing::TempDir;

/// What the sites of an input read, by block, input and chunk.
using Inputs = std::map<std::tuple<int, int, int64_t>, std::vector<float>>;

Inputs by_plain_passes(const std::shared_ptr<const Checkpoint>& model, const TokenSequences& sequences,
                       ThreadPool& threads) {
  Inputs inputs;
  const std::vector<SequenceChunk> chunks = make_chunks(lengths_of(sequences));
  for (size_t c = 0; c < chunks.size(); ++c) {
    testing::visit_inputs(*model, tokens_of(chunks[c], sequences), chunks[c].batch, chunks[c].length, threads,
                          [&](int block, int input, std::span<const float> x) {
                            if (!x.empty()) inputs[{block, input, c}].assign(x.begin(), x.end());
                          });
  }
  return inputs;
}

enum class Way {
  kInStages,   // reach() each input with all chunks, then finish()
  kInOnePass,  // look_through(), then pass_through()
};

struct StreamCase {
  std::shared_ptr<const Checkpoint> model;
  TokenSequences sequences;
  ActivationPrecision precision = ActivationPrecision::kF32;
  std::string spill_directory = "";
};

void pass_block(CalibrationStream& stream, const BlockRunner& runner, int block, Way way, Inputs& inputs) {
  const auto keep = [&](int input, int64_t c, std::span<const float> x) {
    if (!x.empty()) inputs[{block, input, c}].assign(x.begin(), x.end());
  };
  if (way == Way::kInStages) {
    for (int first = 0, end = 0; first < runner.inputs(); first = end) {
      for (end = first + 1; end < runner.inputs() && !runner.begins_step(end);) ++end;
      for (int64_t c = 0; c < stream.chunks(); ++c) {
        for (int input = first; input < end; ++input) keep(input, c, stream.reach(c, runner, input));
      }
    }
    for (int64_t c = 0; c < stream.chunks(); ++c) stream.finish(c, runner);
    return;
  }
  for (int64_t c = 0; c < stream.chunks(); ++c) {
    stream.look_through(c, runner, [&](int input, std::span<const float> x) { keep(input, c, x); });
  }
  for (int64_t c = 0; c < stream.chunks(); ++c) stream.pass_through(c, runner);
}

Inputs by_stream(const StreamCase& of, Way way, ThreadPool& threads) {
  const Graph& graph = of.model->graph();
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope);
  const std::vector<SequenceChunk> chunks = make_chunks(lengths_of(of.sequences));
  for (const SequenceChunk& chunk : chunks) {
    for (RopeTable& rope : ropes) rope.reach(chunk.length);
  }
  CalibrationStream stream(graph, chunks, of.precision, of.spill_directory, threads);
  stream.enter(token_entrance(*of.model, of.sequences));
  Inputs inputs;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    const BlockWeights weights = load_block_weights(*of.model, b);
    const int rope = graph.blocks[static_cast<size_t>(b)].attention.rope;
    const BlockRunner runner(graph, b, weights, rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)]);
    pass_block(stream, runner, b, way, inputs);
  }
  return inputs;
}

class StreamTest : public ::testing::TestWithParam<std::string> {
 protected:
  StreamCase test_case() const {
    const std::string path = golden_model(GetParam());
    return {Checkpoint::open(path), testing::three_chunks(path).sequences};
  }
  ThreadPool threads_{2};
};

TEST_P(StreamTest, ReachesEverySiteAsAPlainPassDoes) {
  StreamCase of = test_case();
  const Inputs expected = by_plain_passes(of.model, of.sequences, threads_);
  size_t seen_by_all = 0;
  for (const auto& [key, x] : expected) {
    if (input_at(of.model->graph(), std::get<0>(key), std::get<1>(key)).expert < 0) ++seen_by_all;
  }
  size_t inputs = 0;
  for (const Block& block : of.model->graph().blocks) {
    for (const Input& input : block.inputs) inputs += input.expert < 0 ? 1 : 0;
  }
  ASSERT_EQ(seen_by_all, inputs * make_chunks(lengths_of(of.sequences)).size());
  EXPECT_EQ(by_stream(of, Way::kInStages, threads_), expected);
  EXPECT_EQ(by_stream(of, Way::kInOnePass, threads_), expected);
  const TempDir dir;
  of.spill_directory = dir.path();
  ThreadPool one(1);
  EXPECT_EQ(by_stream(of, Way::kInStages, one), expected) << "in a file, on one thread";
}

// With bf16 between the stages, a relative error of 2^-9 at most enters at each of the four pauses before a site. In
// the first block nothing has been amplified: what a site reads differs by at most the entering errors in the root of
// mean squares, times what the matrices before it can do to the error of their input relative to their output. Norms of
// random matrices keep that near 1; 8 is far from what one wrong buffer gives, which is of order 1.
TEST_P(StreamTest, HalvesStayClose) {
  StreamCase of = test_case();
  const Inputs expected = by_plain_passes(of.model, of.sequences, threads_);
  of.precision = ActivationPrecision::kBF16;
  const Inputs found = by_stream(of, Way::kInStages, threads_);
  for (const auto& [key, x] : expected) {
    if (std::get<0>(key) > 0) continue;
    // A row may go to another expert.
    if (input_at(of.model->graph(), 0, std::get<1>(key)).expert >= 0) continue;
    double error = 0, square = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = static_cast<double>(x[i]) - static_cast<double>(found.at(key)[i]);
      error += e * e;
      square += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    EXPECT_LT(std::sqrt(error / square), 8 * 4 * 0x1p-9) << std::get<1>(key);
    // Embeddings may be stored as bf16.
    EXPECT_TRUE(error > 0.0 || std::get<1>(key) < testing::kMlp) << std::get<1>(key);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, StreamTest, ::testing::ValuesIn(golden_models()),
                         [](const auto& param) { return std::string(param.param); });

TEST(MakeChunks, JoinsNeighboursOfEqualLength) {
  const auto sequences = testing::some_data(golden_model("llama"), {3, 3, 5, 3, 3, 3}).sequences;
  const std::vector<SequenceChunk> chunks = make_chunks(lengths_of(sequences));
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].batch, 2);
  EXPECT_EQ(chunks[1].length, 5);
  EXPECT_EQ(chunks[2].rows(), 9);
  std::vector<int32_t> last = sequences[3];
  for (const size_t s : {4u, 5u}) last.insert(last.end(), sequences[s].begin(), sequences[s].end());
  EXPECT_EQ(chunks[2].first, 3);
  EXPECT_EQ(tokens_of(chunks[2], sequences), last);
}

TEST(MakeChunks, AreOfAtMost2048TokensOrOneSequence) {
  EXPECT_EQ(make_chunks({1024, 1024, 1024}).size(), 2u);
  EXPECT_EQ(make_chunks({3000, 3000}).size(), 2u);
  EXPECT_TRUE(make_chunks({}).empty());
}

}  // namespace
}  // namespace bitloom
