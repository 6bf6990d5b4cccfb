#include "eval/logits/logits_source.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "eval/logits/token_tree.h"

namespace bitloom {
namespace {

[[noreturn]] void fail_row(const LogitsSource::Row& row) {
  fail(ErrorKind::kFailed, "logits at position {} of sequence {}, which was not run", row.position, row.sequence);
}

/// The logits of rows [first, first + count) of a sequence's hidden states [tokens, width], `pass_rows` at a time.
void read_rows(const Decoder& decoder, std::span<const float> hidden, int64_t first, int64_t count, int64_t pass_rows,
               float* out) {
  const int64_t width = decoder.hidden_width();
  const int64_t length = static_cast<int64_t>(hidden.size()) / width;
  if (first < 0 || count < 0 || first > length - count)
    fail(ErrorKind::kFailed, "logits at positions {}..{} of a sequence of {}", first, first + count - 1, length);
  for (int64_t done = 0; done < count; done += pass_rows) {
    const int64_t rows = std::min(pass_rows, count - done);
    const std::span<const float> of_pass(hidden.data() + (first + done) * width, static_cast<size_t>(rows * width));
    decoder.logits(of_pass, rows, out + done * decoder.graph().vocab_size);
  }
}

class DecoderLogits final : public LogitsSource {
 public:
  explicit DecoderLogits(Decoder& decoder) : decoder_(decoder) {}

  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }
  int64_t max_positions() const override { return decoder_.graph().max_positions; }

  void run(std::span<const int32_t> tokens) override {
    const std::span<const float> hidden = decoder_.forward(tokens, 1, static_cast<int64_t>(tokens.size()));
    hidden_.assign(hidden.begin(), hidden.end());
  }

  void logits(int64_t first, int64_t count, float* out) override {
    read_rows(decoder_, hidden_, first, count, std::max<int64_t>(count, 1), out);
  }

 private:
  Decoder& decoder_;
  std::vector<float> hidden_;  // [tokens, width]
};

class SteppingLogits final : public LogitsSource {
 public:
  SteppingLogits(Decoder& decoder, int64_t pass_rows, KvFormat kv)
      : decoder_(decoder), pass_rows_(pass_rows), cache_(decoder.graph(), pass_rows, kv) {}

  int64_t vocab_size() const override { return decoder_.graph().vocab_size; }
  int64_t max_positions() const override { return decoder_.graph().max_positions; }

  void run(std::span<const int32_t> tokens) override {
    keep(common_prefix(tokens, tokens_));
    const auto most = static_cast<size_t>(pass_rows_);
    while (tokens_.size() < tokens.size())
      append(tokens.subspan(tokens_.size(), std::min(most, tokens.size() - tokens_.size())));
  }

  void logits(int64_t first, int64_t count, float* out) override {
    const auto width = static_cast<size_t>(decoder_.hidden_width());
    read_rows(decoder_, std::span(hidden_).first(tokens_.size() * width), first, count, pass_rows_, out);
  }

  void run_all(TokenSequences sequences) override {
    const size_t common = common_prefix(sequences);
    run(sequences.empty() ? std::span<const int32_t>() : std::span(sequences.front()).first(common));
    tree_ = token_tree(sequences, common);
    const std::span<const float> hidden = decoder_.branches(tree_.branches, cache_);
    hidden_.insert(hidden_.end(), hidden.begin(), hidden.end());
  }

  void logits_at(std::span<const Row> rows, float* out) override {
    const auto width = static_cast<size_t>(decoder_.hidden_width());
    std::vector<float> gathered;
    for (const Row& row : rows) {
      const size_t at = width * index_of(row);
      gathered.insert(gathered.end(), hidden_.begin() + at, hidden_.begin() + at + width);
    }
    decoder_.logits(gathered, static_cast<int64_t>(rows.size()), out);
  }

 private:
  // Of a row of hidden_.
  size_t index_of(const Row& row) const {
    if (row.sequence < 0 || row.sequence >= static_cast<int64_t>(tree_.rows.size()) || row.position < 0) fail_row(row);
    const size_t position = static_cast<size_t>(row.position);
    if (position < tokens_.size()) return position;
    const std::vector<int64_t>& rows = tree_.rows[static_cast<size_t>(row.sequence)];
    if (position - tokens_.size() >= rows.size()) fail_row(row);
    return tokens_.size() + static_cast<size_t>(rows[position - tokens_.size()]);
  }

  // Cache, tokens and hidden states always tell of the same sequence, also when a step throws.
  void keep(size_t count) {
    tree_ = {};
    cache_.truncate(static_cast<int64_t>(count));
    tokens_.resize(count);
    hidden_.resize(count * static_cast<size_t>(decoder_.hidden_width()));
  }

  void append(std::span<const int32_t> tokens) {
    const auto needed = static_cast<int64_t>(tokens_.size() + tokens.size());
    cache_.ensure(needed);
    const std::span<const float> hidden = decoder_.step(tokens, cache_);
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    hidden_.insert(hidden_.end(), hidden.begin(), hidden.end());
  }

  Decoder& decoder_;
  int64_t pass_rows_;
  KvCache cache_;
  std::vector<int32_t> tokens_;
  TokenTree tree_;             // of the last run_all(), behind tokens_
  std::vector<float> hidden_;  // [tokens and the tree's rows, width]
};

}  // namespace

void LogitsSource::run_all(std::span<const std::vector<int32_t>> sequences) { sequences_ = sequences, current_ = -1; }

void LogitsSource::logits_at(std::span<const Row> rows, float* out) {
  for (const Row& row : rows) {
    if (row.sequence < 0 || row.sequence >= static_cast<int64_t>(sequences_.size())) fail_row(row);
    if (row.sequence != current_) run(sequences_[static_cast<size_t>(row.sequence)]);
    current_ = row.sequence;
    logits(row.position, 1, out);
    out += vocab_size();
  }
}

std::unique_ptr<LogitsSource> logits_of(Decoder& decoder) { return std::make_unique<DecoderLogits>(decoder); }

std::unique_ptr<LogitsSource> logits_of_steps(Decoder& decoder, int64_t pass_rows, KvFormat kv) {
  return std::make_unique<SteppingLogits>(decoder, pass_rows, kv);
}

}  // namespace bitloom
