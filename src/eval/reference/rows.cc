#include "eval/reference/rows.h"

namespace bitloom {
namespace {

class ModelRows final : public ReferenceRows {
 public:
  explicit ModelRows(LogitsSource& model) : model_(model) {}
  int64_t vocab_size() const override { return model_.vocab_size(); }
  void run(std::span<const int32_t> tokens) override { model_.run(tokens); }
  void load(const ScoreBlock& block, Context& context) override {
    read_logits(model_, "the reference", block, context, logits_);
  }
  RowDivergence against(int64_t i, std::span<const float> logits, int64_t target) const override {
    return row_divergence(std::span(logits_).subspan(static_cast<size_t>(i) * logits.size(), logits.size()), logits,
                          target);
  }

 private:
  LogitsSource& model_;
  std::vector<float> logits_;
};

}  // namespace

std::unique_ptr<ReferenceRows> rows_of(LogitsSource& reference) { return std::make_unique<ModelRows>(reference); }

}  // namespace bitloom
