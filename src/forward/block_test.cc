// A block in steps: what they show of its inputs, against the formulas of model/graph.h and against the block in one
// go.

#include "forward/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "base/test_data.h"
#include "forward/activation.h"
#include "forward/decoder.h"
#include "forward/test_inputs.h"
#include "model/checkpoint.h"

namespace bitloom {
namespace {

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(testing::golden("forward"))) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

constexpr int64_t kBatch = 2, kLength = 19, kRows = kBatch * kLength;

std::vector<int32_t> some_tokens(int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kRows; ++i) tokens.push_back(static_cast<int32_t>((17 * i * i + 3 * i + 5) % vocab));
  return tokens;
}

/// One block's formulas, on inputs that were observed.
class Formulas {
 public:
  Formulas(const Model& model, int block, const std::map<int, std::vector<float>>& inputs)
      : model_(model),
        block_(model.graph().blocks[static_cast<size_t>(block)]),
        weights_(load_block_weights(model, block)),
        inputs_(inputs) {}

  /// The residual stream behind the block, [kRows, hidden]; blocks without experts.
  std::vector<float> after(std::vector<float> h) const {
    const std::vector<float> a = output_of(block_.attention.output), m = output_of(block_.mlp.down);
    add(a, weights_.post_attention_norm, weights_.attention_residual_norm, h);
    add(m, weights_.post_mlp_norm, weights_.mlp_residual_norm, h);
    return h;
  }

  /// What `down` reads, of what the MLP reads.
  std::vector<float> inner(const Mlp& mlp) const {
    const std::vector<float> up = output_of(mlp.fused_gate_up ? mlp.gate : mlp.up);
    const int64_t rows = static_cast<int64_t>(up.size()) / (mlp.fused_gate_up ? 2 * mlp.width : mlp.width);
    std::vector<float> result(static_cast<size_t>(rows * mlp.width));
    const std::vector<float> gate = mlp.gated && !mlp.fused_gate_up ? output_of(mlp.gate) : std::vector<float>{};
    for (int64_t row = 0; row < rows; ++row) {
      float* out = result.data() + row * mlp.width;
      const float* u = up.data() + row * (mlp.fused_gate_up ? 2 * mlp.width : mlp.width);
      if (!mlp.gated) {
        activate(mlp.activation, u, mlp.width, out);
      } else if (mlp.fused_gate_up) {
        activate_gated(mlp.activation, u, u + mlp.width, mlp.width, out);
      } else {
        activate_gated(mlp.activation, gate.data() + row * mlp.width, u, mlp.width, out);
      }
    }
    return result;
  }

  const std::vector<float>& read_by(int linear) const {
    return inputs_.at(block_.linears[static_cast<size_t>(linear)].input);
  }

 private:
  /// y = x W^T + b in fp64, x what the layer was observed to read.
  std::vector<float> output_of(int index) const {
    const Linear& linear = block_.linears[static_cast<size_t>(index)];
    const std::vector<float>& x = inputs_.at(linear.input);
    const std::vector<float> w = model_.matrix(linear)->decode_all();
    const std::vector<float>& bias = weights_.linears[static_cast<size_t>(index)].bias;
    std::vector<float> y;
    for (size_t first = 0; first < x.size(); first += static_cast<size_t>(linear.in)) {
      for (size_t o = 0; o < static_cast<size_t>(linear.out); ++o) {
        double sum = bias.empty() ? 0.0 : bias[o];
        for (size_t i = 0; i < static_cast<size_t>(linear.in); ++i) {
          sum += static_cast<double>(x[first + i]) * static_cast<double>(w[o * static_cast<size_t>(linear.in) + i]);
        }
        y.push_back(static_cast<float>(sum));
      }
    }
    return y;
  }

  void add(std::vector<float> branch, const NormWeights& post, const NormWeights& residual,
           std::vector<float>& h) const {
    const auto width = static_cast<size_t>(model_.graph().hidden);
    for (size_t row = 0; row < h.size(); row += width) {
      if (post.present()) norm_row(post, branch.data() + row, branch.data() + row);
      for (size_t i = row; i < row + width; ++i) h[i] += branch[i];
      if (residual.present()) norm_row(residual, h.data() + row, h.data() + row);
    }
  }

  const Model& model_;
  const Block& block_;
  const BlockWeights weights_;
  const std::map<int, std::vector<float>>& inputs_;
};

// fp32 sums of at most 128 products against fp64 ones: 128 * 2^-24 of the sum of their magnitudes at the very worst, a
// tenth of that typically; the greatest value stands for that sum.
void expect_close(const std::vector<float>& found, const std::vector<float>& expected, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  float largest = 1e-3f, worst = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::max(worst, std::abs(found[i] - expected[i]));
  }
  EXPECT_LE(worst, 1e-5f * largest) << what;
}

class BlockInSteps : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Checkpoint> model_ = Checkpoint::open(testing::golden("forward/" + GetParam()));
  const Graph& graph_ = model_->graph();
  std::vector<int32_t> tokens_ = some_tokens(graph_.vocab_size);
  ThreadPool threads_{2};
};

TEST_P(BlockInSteps, InputsAreWhatTheirReadersRead) {
  std::vector<std::map<int, std::vector<float>>> inputs(graph_.blocks.size());
  const Pass pass = Pass::whole(kBatch, kLength);
  Workspace work;
  work.reserve(graph_, kRows);
  embed_tokens(graph_, load_outer_weights(*model_), tokens_, pass, work, threads_);
  const std::vector<float> entrance(work.hidden.begin(), work.hidden.begin() + kRows * graph_.hidden);
  const std::vector<float> last = testing::visit_inputs(
      *model_, tokens_, kBatch, kLength, threads_, [&](int block, int input, std::span<const float> x) {
        inputs[static_cast<size_t>(block)][input].assign(x.begin(), x.end());
      });
  std::vector<float> h = entrance;
  bool stream_known = true;  // no experts so far
  for (size_t b = 0; b < inputs.size(); ++b) {
    const Block& block = graph_.blocks[b];
    const Formulas formulas(*model_, static_cast<int>(b), inputs[b]);
    const std::string where = "block " + std::to_string(b);
    ASSERT_EQ(inputs[b].size(), block.inputs.size());
    if (block.mlp.present()) expect_close(formulas.read_by(block.mlp.down), formulas.inner(block.mlp), where);
    size_t routed = 0;
    for (const Mlp& expert : block.experts.mlps) {
      expect_close(formulas.read_by(expert.down), formulas.inner(expert), where + ", an expert");
      routed += formulas.read_by(expert.down).size() / static_cast<size_t>(expert.width);
    }
    EXPECT_EQ(routed, static_cast<size_t>(kRows * block.experts.top_k));
    stream_known = stream_known && !block.experts.present();
    if (!stream_known) continue;
    h = formulas.after(h);
    if (b + 1 < inputs.size() && !graph_.blocks[b + 1].attention_norm.weight.empty()) {
      // The next block's input says where the stream stands.
      const BlockWeights next = load_block_weights(*model_, static_cast<int>(b) + 1);
      std::vector<float> normed = h;
      norm_rows(next.attention_norm, h.data(), kRows, normed.data(), threads_);
      expect_close(inputs[b + 1].at(0), normed, where);
    }
  }
  if (stream_known) expect_close(last, h, "the stream");
}

TEST_P(BlockInSteps, EndsWhereOneGoEnds) {
  std::vector<float> stream =
      testing::visit_inputs(*model_, tokens_, kBatch, kLength, threads_, [](int, int, std::span<const float>) {});
  const OuterWeights outer = load_outer_weights(*model_);
  if (outer.final_norm.present()) norm_rows(outer.final_norm, stream.data(), kRows, stream.data(), threads_);
  if (outer.project_out.present()) return;  // what the decoder returns is another width
  Decoder decoder(model_, threads_);
  const std::span<const float> hidden = decoder.forward(tokens_, kBatch, kLength);
  EXPECT_EQ(stream, std::vector<float>(hidden.begin(), hidden.end()));
}

INSTANTIATE_TEST_SUITE_P(Tiny, BlockInSteps, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace bitloom
