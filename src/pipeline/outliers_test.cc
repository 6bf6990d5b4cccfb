// What a few large channels do to each way of rounding activations: a model that computes the same as the demo model,
// with outliers (tools/make_outlier_model.py makes such files).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/memory/dense_matrix.h"
#include "base/text/text.h"
#include "forward/decoder.h"
#include "forward/test_inputs.h"
#include "observe/activation_range.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

constexpr int64_t kTokens = 192;
constexpr float kFactor = 64;  // a power of two: products stay exact

class Outliers : public ::testing::Test {
 protected:
  Outliers() : calm_(Checkpoint::open(testing::kDemo)), stressed_(stress(calm_)) {
    tokens_ = calm_->tokenizer().encode(read_text("assets/demo/evaluation.txt").substr(0, 4000));
    tokens_.resize(kTokens);
    reference_ = logits_of(calm_, "");
  }

  static bool is_outlier(int64_t channel, int64_t width) {
    return channel == width / 6 || channel == width / 2 || channel == 5 * width / 6;
  }

  /// Rows and columns of a matrix whose channels are outliers get a factor.
  static RowSourcePtr scaled(const Checkpoint& model, const std::string& name, float of_rows, float of_cols) {
    const RowSourcePtr source = model.tensor(name).rows;
    std::vector<float> values = source->decode_all();
    const int64_t rows = source->rows(), cols = source->cols();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        float& value = values[static_cast<size_t>(r * cols + c)];
        value *= (is_outlier(r, rows) ? of_rows : 1) * (is_outlier(c, cols) ? of_cols : 1);
      }
    }
    return dense_matrix(rows, cols, std::move(values));
  }

  static std::shared_ptr<const Checkpoint> stress(const std::shared_ptr<const Checkpoint>& model) {
    TensorEdits edits;
    for (size_t b = 0; b < model->graph().blocks.size(); ++b) {
      const std::string at = "model.layers." + std::to_string(b) + ".";
      const auto scale = [&](const std::string& name, float of_rows, float of_cols) {
        edits.tensors[at + name + ".weight"] = scaled(*model, at + name + ".weight", of_rows, of_cols);
      };
      for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) scale(norm, 1, kFactor);
      for (const char* reader : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj"}) {
        scale(reader, 1, 1 / kFactor);
      }
      scale("mlp.up_proj", kFactor, 1 / kFactor);
      scale("mlp.down_proj", 1, 1 / kFactor);
    }
    return Checkpoint::edited(model, edits);
  }

  /// With every input of the blocks rounded; static ranges are those of these very tokens.
  std::vector<float> logits_of(const std::shared_ptr<const Checkpoint>& model, const std::string& format) {
    Decoder decoder(model, threads_);
    if (!format.empty()) {
      const ActivationFormat rule = parse_activation_format(format);
      testing::visit_inputs(*model, tokens_, 1, kTokens, threads_, [&](int block, int input, auto x) {
        Histogram values;
        values.add(x.data(), static_cast<int64_t>(x.size()), 1, 1, threads_);
        decoder.set_activation_format(block, input,
                                      rule.range.is_calibrated() ? find_range(rule, values) : std::optional(rule));
      });
    }
    std::vector<float> logits(static_cast<size_t>(kTokens * model->graph().vocab_size));
    decoder.logits(decoder.forward(tokens_, 1, kTokens), kTokens, logits.data());
    return logits;
  }

  /// Mean over tokens of KL(reference || logits), in nats.
  double divergence(const std::vector<float>& logits) const {
    const int64_t vocab = calm_->graph().vocab_size;
    double sum = 0;
    for (int64_t t = 0; t < kTokens; ++t) {
      const float *a = reference_.data() + t * vocab, *b = logits.data() + t * vocab;
      const auto log_sum = [vocab](const float* row) {
        double total = 0;
        for (int64_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(row[v]));
        return std::log(total);
      };
      const double of_a = log_sum(a), of_b = log_sum(b);
      for (int64_t v = 0; v < vocab; ++v) {
        const double p = static_cast<double>(a[v]) - of_a, q = static_cast<double>(b[v]) - of_b;
        sum += std::exp(p) * (p - q);
      }
    }
    return sum / kTokens;
  }

  double calm_loss(const std::string& format) { return divergence(logits_of(calm_, format)); }
  double stressed_loss(const std::string& format) { return divergence(logits_of(stressed_, format)); }

  ThreadPool threads_{2};
  std::shared_ptr<const Checkpoint> calm_, stressed_;
  std::vector<int32_t> tokens_;
  std::vector<float> reference_;
};

TEST_F(Outliers, DoNotChangeTheFloatModel) { EXPECT_LT(divergence(logits_of(stressed_, "")), 1e-9); }

// One step for all channels is spent on the largest; floats have as many bits below it.
TEST_F(Outliers, CostIntegersOfOneRangeMuchAndFloatsLittle) {
  for (const std::string format : {"int8-tensor-absmax", "int8-token"}) {
    EXPECT_GT(stressed_loss(format), 10 * calm_loss(format)) << format;
  }
  for (const std::string format : {"e4m3fn-tensor-absmax", "e4m3fn-token", "e5m2-ieee-token"}) {
    EXPECT_LT(stressed_loss(format), 2 * calm_loss(format)) << format;
  }
  // A block has its own step: only the outliers' neighbours pay.
  EXPECT_LT(stressed_loss("mxint8"), 0.5 * stressed_loss("int8-token"));
}

}  // namespace
}  // namespace bitloom
