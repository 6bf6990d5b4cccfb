// A block in steps: what they show of its inputs, against the formulas of model/graph.h and against the block in one
// go.

#include "forward/block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <list>
#include <map>
#include <string>

#include "base/test_data.h"
#include "forward/decoder.h"
#include "forward/golden_models.h"
#include "forward/layers/activation.h"
#include "forward/test_inputs.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using testing::golden_models;

constexpr int64_t kBatch = 2, kLength = 19, kRows = kBatch * kLength;

std::vector<int32_t> some_tokens(int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kRows; ++i) tokens.push_back(static_cast<int32_t>((17 * i * i + 3 * i + 5) % vocab));
  return tokens;
}

/// Numbers that share a scale, each to the level nearest to it, straight from the grid.
void round_together(const Format& format, std::span<float> x) {
  const Grid grid = grid_of(format);
  float absmax = 0;
  for (const float value : x) absmax = std::max(absmax, std::abs(value));
  const float scale = absmax / limits_of(format).max;
  if (scale == 0.0f) return;
  for (float& value : x) value = grid.decode[encode_nearest(grid, value / scale, Ties::kEven)] * scale;
}

std::vector<float> rounded(const ActivationFormat& format, std::vector<float> x, int64_t width) {
  const auto all = static_cast<int64_t>(x.size());
  const bool tensor = format.granularity == ActivationFormat::Granularity::kTensor;
  const int64_t step = tensor ? std::max<int64_t>(all, 1) : width, group = format.group > 0 ? format.group : step;
  for (int64_t row = 0; row < all; row += step) {
    for (int64_t first = row; first < row + step; first += group) {
      const int64_t count = std::min(group, row + step - first);
      round_together(format.format, std::span(x).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    }
  }
  return x;
}

/// One block's formulas, on inputs that were observed.
class Formulas {
 public:
  Formulas(const Model& model, int block, const std::map<int, std::vector<float>>& inputs,
           const std::optional<ActivationFormat>& format)
      : model_(model),
        block_(model.graph().blocks[static_cast<size_t>(block)]),
        weights_(load_block_weights(model, block)),
        inputs_(inputs),
        format_(format) {}

  /// The residual stream behind the block, [kRows, hidden]; blocks without experts.
  std::vector<float> after(std::vector<float> h) const {
    const std::vector<float> a = output_of(block_.attention.output), m = output_of(block_.mlp.down);
    add(a, weights_.post_attention_norm, weights_.attention_residual_norm, h);
    add(m, weights_.post_mlp_norm, weights_.mlp_residual_norm, h);
    for (float& value : h) value *= weights_.output_scale;
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
        activate_gated(mlp, u, u + mlp.width, mlp.width, out);
      } else {
        activate_gated(mlp, gate.data() + row * mlp.width, u, mlp.width, out);
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
    const std::vector<float> x =
        format_ ? rounded(*format_, inputs_.at(linear.input), linear.in) : inputs_.at(linear.input);
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
      for (size_t i = row; i < row + width; ++i) h[i] += model_.graph().residual_scale * branch[i];
      if (residual.present()) norm_row(residual, h.data() + row, h.data() + row);
    }
  }

  const Model& model_;
  const Block& block_;
  const BlockWeights weights_;
  const std::map<int, std::vector<float>>& inputs_;
  const std::optional<ActivationFormat> format_;
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
  void check_formulas(const std::optional<ActivationFormat>& format);
  ThreadPool threads_{2};
};

void BlockInSteps::check_formulas(const std::optional<ActivationFormat>& format) {
  std::vector<std::map<int, std::vector<float>>> inputs(graph_.blocks.size());
  const Pass pass = Pass::whole(kBatch, kLength);
  Workspace work;
  work.reserve(graph_, kRows);
  embed_tokens(graph_, load_outer_weights(*model_), tokens_, pass, work, threads_);
  const std::vector<float> entrance(work.hidden.begin(), work.hidden.begin() + kRows * graph_.hidden);
  const std::vector<float> last = testing::visit_inputs(
      *model_, tokens_, kBatch, kLength, threads_,
      [&](int block, int input, std::span<const float> x) {
        inputs[static_cast<size_t>(block)][input].assign(x.begin(), x.end());
      },
      format);
  std::vector<float> h = entrance;
  bool stream_known = true;  // no experts so far
  for (size_t b = 0; b < inputs.size(); ++b) {
    const Block& block = graph_.blocks[b];
    const Formulas formulas(*model_, static_cast<int>(b), inputs[b], format);
    const std::string where = "block " + std::to_string(b) + (format ? ", " + to_string(*format) : "");
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

TEST_P(BlockInSteps, InputsAreWhatTheirReadersRead) { check_formulas(std::nullopt); }

TEST_P(BlockInSteps, ReadersReadInputsAsTheFormatRoundsThem) {
  for (const char* text : {"int8-token", "int4-g12", "e4m3fn-tensor", "nf4-token"}) {
    check_formulas(parse_activation_format(text));
  }
}

/// Counts what it rounds.
class CountingEncoder final : public ArrayEncoder {
 public:
  void encode(const float* y, int64_t n, uint8_t* codes) const override { encoder_->encode(y, n, codes); }
  void snap(const float* y, int64_t n, float* levels) const override {
    count += n;
    encoder_->snap(y, n, levels);
  }
  mutable std::atomic<int64_t> count = 0;

 private:
  std::unique_ptr<const ArrayEncoder> encoder_ = make_encoder(IntFormat{8, false}, Ties::kEven);
};

TEST_P(BlockInSteps, OperandsOfAttentionAreRounded) {
  const Block& block = graph_.blocks.front();
  const Attention& spec = block.attention;
  const Pass pass = Pass::whole(1, kLength);
  Workspace work;
  work.reserve(graph_, kLength);
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph_.ropes) ropes.emplace_back(rope).reach(kLength);
  const auto place = std::find_if(block.inputs.begin(), block.inputs.end(),
                                  [](const Input& input) { return input.producer == Producer::kAttention; });
  // What the output projection reads, an operand rounded or none.
  const auto attended = [&](std::optional<Operand> operand, const std::string& format) {
    BlockWeights weights = load_block_weights(*model_, 0);
    if (operand) {
      weights.operands.emplace(*operand, InputRounder(parse_activation_format(format), spec.width_of(*operand)));
    }
    embed_tokens(graph_, load_outer_weights(*model_), std::span(tokens_).first(kLength), pass, work, threads_);
    const BlockRunner runner(graph_, 0, weights, spec.rope < 0 ? nullptr : &ropes[static_cast<size_t>(spec.rope)]);
    for (int input = 0; input < static_cast<int>(place - block.inputs.begin()); ++input) {
      runner.reach(input, pass, work, threads_);
    }
    const std::span<const float> out =
        runner.reach(static_cast<int>(place - block.inputs.begin()), pass, work, threads_);
    return std::vector<float>(out.begin(), out.end());
  };
  const std::vector<float> plain = attended({}, "");
  // The first token sees itself alone, so what it gets are its values, rounded by heads.
  if (spec.sinks.empty() && spec.mask == Mask::kCausal) {
    const std::vector<float> values = attended(Operand::kValues, "int4-token-had4");
    const InputRounder rounder(parse_activation_format("int4-token-had4"), spec.values());
    for (int64_t head = 0; head < spec.heads; ++head) {
      std::vector<float> own(plain.begin() + head * spec.values(), plain.begin() + (head + 1) * spec.values());
      rounder.round_row(own.data(), spec.values(), own.data());
      for (int64_t c = 0; c < spec.values(); ++c) {
        EXPECT_NEAR(values[static_cast<size_t>(head * spec.values() + c)], own[static_cast<size_t>(c)], 1e-5);
      }
    }
  }
  // What is multiplied are each head's channels of a token as its operand's format rounds them, and the two others.
  const auto multiplied = [&](std::optional<Operand> operand) {
    attended(operand, "int4-token");
    return work.qkv;
  };
  const auto heads_of = [&](std::vector<float>& qkv, Operand operand) {
    const QkvViews views = qkv_views(spec, qkv.data(), kLength);
    const HeadView& view = operand == Operand::kQueries ? views.q : operand == Operand::kKeys ? views.k : views.v;
    const int64_t width = spec.width_of(operand), heads = operand == Operand::kQueries ? spec.heads : spec.kv_heads;
    std::vector<std::vector<float>> all;
    for (int64_t row = 0; row < kLength; ++row) {
      for (int64_t head = 0; head < heads; ++head) all.emplace_back(view.at(row, head), view.at(row, head) + width);
    }
    return all;
  };
  std::vector<float> unrounded = multiplied({});
  for (const Operand rounded : {Operand::kQueries, Operand::kKeys, Operand::kValues}) {
    std::vector<float> qkv = multiplied(rounded);
    for (const Operand operand : {Operand::kQueries, Operand::kKeys, Operand::kValues}) {
      const InputRounder rounder(parse_activation_format("int4-token"), spec.width_of(operand));
      std::vector<std::vector<float>> expected = heads_of(unrounded, operand);
      for (std::vector<float>& head : expected) {
        if (operand == rounded) rounder.round_row(head.data(), std::ssize(head), head.data());
      }
      EXPECT_EQ(heads_of(qkv, operand), expected) << static_cast<int>(rounded) << " " << static_cast<int>(operand);
    }
    EXPECT_NE(attended(rounded, "int4-token"), plain);
  }
  // In a range of nothing all shares are 0.
  for (const float share : attended(Operand::kProbabilities, "int8-tensor-at[1e-20]")) EXPECT_NEAR(share, 0, 1e-15);
}

TEST_P(BlockInSteps, AnInputIsRoundedOnceForAllItsReaders) {
  const Pass pass = Pass::whole(kBatch, kLength);
  Workspace work;
  work.reserve(graph_, kRows);
  embed_tokens(graph_, load_outer_weights(*model_), tokens_, pass, work, threads_);
  BlockWeights weights = load_block_weights(*model_, 0);
  const Block& block = graph_.blocks.front();
  std::vector<std::shared_ptr<CountingEncoder>> encoders;
  for (int input = 0; input < static_cast<int>(block.inputs.size()); ++input) {
    encoders.push_back(std::make_shared<CountingEncoder>());
    weights.rounders.emplace(input, InputRounder(ActivationFormat{}, encoders.back()));
  }
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph_.ropes) ropes.emplace_back(rope).reach(kLength);
  const int rope = block.attention.rope;
  BlockRunner(graph_, 0, weights, rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)]).run(pass, work, threads_);
  int64_t of_experts = 0;
  for (size_t i = 0; i < encoders.size(); ++i) {
    const Input& input = block.inputs[i];
    if (input.expert < 0) {
      EXPECT_EQ(encoders[i]->count, kRows * input.width) << input.name;
    }
    if (input.producer == Producer::kRouter) of_experts += encoders[i]->count;
  }
  EXPECT_EQ(of_experts, kRows * block.experts.top_k * graph_.hidden);
}

TEST_P(BlockInSteps, EndsWhereOneGoEnds) {
  std::vector<float> stream =
      testing::visit_inputs(*model_, tokens_, kBatch, kLength, threads_, [](int, int, std::span<const float>) {});
  const OuterWeights outer = load_outer_weights(*model_);
  if (outer.final_norm.present()) norm_rows(outer.final_norm, stream.data(), kRows, stream.data(), threads_);
  if (outer.project_out.present()) return;  // what the decoder returns is another width
  Decoder decoder(model_, threads_);
  const std::span<const float> hidden = decoder.forward(tokens_, kBatch, kLength);
  const bool mixes = std::any_of(graph_.blocks.begin(), graph_.blocks.end(),
                                 [](const Block& block) { return block.experts.present(); });
  if (!mixes) {
    EXPECT_EQ(stream, std::vector<float>(hidden.begin(), hidden.end()));
    return;
  }
  // The decoder multiplies experts that see few rows by kernels, which sum in another order: some roundings of 2^-24
  // for each of the few products in a row, of values near 1.
  EXPECT_THAT(stream, ::testing::Pointwise(::testing::FloatNear(1e-5f), hidden));
}

/// Keys and values of one text, in pages.
class PagedText {
 public:
  PagedText(const Graph& graph, int64_t page_rows) : page_rows_(page_rows), graph_(graph) {}

  /// Runs for the positions before `keys`.
  std::vector<KvRun> runs(int64_t keys) {
    std::vector<KvRun> runs;
    for (int64_t first = 0; first < keys; first += page_rows_) {
      if (static_cast<int64_t>(pages_.size()) * page_rows_ <= first) add_page();
      runs.push_back({*std::next(pages_.begin(), first / page_rows_), 0, std::min(page_rows_, keys - first)});
    }
    return runs;
  }

 private:
  void add_page() {
    std::vector<KvRows>& page = pages_.emplace_back();
    for (const Block& block : graph_.blocks) {
      const int64_t heads = page_rows_ * block.attention.kv_heads;
      const auto take = [&](int64_t dim) {
        return memory_.emplace_back(static_cast<size_t>(heads * kv_head_bytes(KvFormat::kFp32, dim))).data();
      };
      std::byte* keys = take(block.attention.head_dim);
      page.push_back({keys, take(block.attention.values())});
    }
  }

  int64_t page_rows_;
  const Graph& graph_;
  std::list<std::vector<std::byte>> memory_;
  std::list<std::vector<KvRows>> pages_;
};

// A pass with the newest tokens of several texts, each with pages of its own, is what a server that batches requests
// makes. A text's rows are those of a pass over the whole text.
TEST_P(BlockInSteps, TextsOfOnePassDoNotMeet) {
  constexpr int64_t kTexts = 3, kFirst[kTexts] = {5, 9, 1}, kNext[kTexts] = {1, 6, 4};
  const ModelWeights weights = load_weights(*model_);
  std::vector<RopeTable> ropes;
  for (const Rope& rope : graph_.ropes) ropes.emplace_back(rope).reach(kLength);
  Workspace work;
  work.reserve(graph_, kTexts * kLength);
  const auto through = [&](const Pass& pass, const std::vector<int32_t>& tokens) {
    embed_tokens(graph_, weights, tokens, pass, work, threads_);
    for (size_t b = 0; b < graph_.blocks.size(); ++b) {
      const int rope = graph_.blocks[b].attention.rope;
      BlockRunner(graph_, static_cast<int>(b), weights.blocks[b],
                  rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)])
          .run(pass, work, threads_);
    }
    return std::vector<float>(work.hidden.begin(), work.hidden.begin() + pass.rows() * graph_.hidden);
  };
  std::vector<PagedText> texts(kTexts, PagedText(graph_, 4));
  std::vector<int32_t> tokens;
  const auto add = [&](Pass& pass, int64_t text, int64_t position, int64_t rows) {
    pass.add(rows, position, position + rows, texts[static_cast<size_t>(text)].runs(position + rows));
    const auto first = tokens_.begin() + 7 * text + position;
    tokens.insert(tokens.end(), first, first + rows);
  };
  for (int64_t text = 0; text < kTexts; ++text) {
    Pass pass;
    tokens.clear();
    add(pass, text, 0, kFirst[text]);
    through(pass, tokens);
  }
  Pass together;
  tokens.clear();
  for (int64_t text = 0; text < kTexts; ++text) add(together, text, kFirst[text], kNext[text]);
  const std::vector<float> rows = through(together, tokens);
  auto row = rows.begin();
  for (int64_t text = 0; text < kTexts; ++text) {
    const int64_t length = kFirst[text] + kNext[text];
    const auto first = tokens_.begin() + 7 * text;
    std::vector<float> whole = through(Pass::whole(1, length), {first, first + length});
    whole.erase(whole.begin(), whole.begin() + kFirst[text] * graph_.hidden);
    const auto end = row + static_cast<int64_t>(whole.size());
    expect_close({row, end}, whole, "text " + std::to_string(text));
    row = end;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, BlockInSteps, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace bitloom
