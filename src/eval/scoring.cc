#include "eval/scoring.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "eval/row_math.h"

namespace bitloom {
namespace {

/// Checks the windows before hours of work, and counts the tokens to run.
int64_t tokens_to_run(const TextWindows& windows, int64_t vocab) {
  if (windows.scored_tokens <= 0) misuse("nothing to score: no windows");
  int64_t total = 0;
  for (size_t w = 0; w < windows.windows.size(); ++w) {
    const TextWindows::Window& window = windows.windows[w];
    if (window.first_scored < 1 || window.scored() < 1)
      misuse("window {}: first scored token {} of {}", w, window.first_scored, window.tokens.size());
    for (const int32_t token : window.tokens)
      if (token < 0 || token >= vocab)
        refuse("token {} in window {} is outside the model's vocabulary of {}: the tokenizer is not this model's",
               token, w, vocab);
    total += static_cast<int64_t>(window.tokens.size()) - 1;
  }
  return total;
}

}  // namespace

void walk_windows(const TextWindows& windows, int64_t vocab, const std::string& label, Context& context,
                  const std::function<void(std::span<const int32_t>)>& begin,
                  const std::function<void(const ScoreBlock&)>& block) {
  const ProgressTask task(context.progress, label, tokens_to_run(windows, vocab));
  int64_t scored = 0;
  for (size_t w = 0; w < windows.windows.size(); ++w) {
    const TextWindows::Window& window = windows.windows[w];
    const std::span<const int32_t> tokens(window.tokens);
    const auto size = static_cast<int64_t>(tokens.size());
    begin(tokens.first(tokens.size() - 1));
    for (int64_t target = window.first_scored; target < size; target += kScoreRows) {
      const int64_t rows = std::min(kScoreRows, size - target);
      block({.window = static_cast<int64_t>(w),
             .first = target - 1,
             .scored_before = scored,
             .targets = tokens.subspan(static_cast<size_t>(target), static_cast<size_t>(rows))});
      scored += rows;
    }
    context.progress.advance(size - 1, fmt::format("window {} of {}", w + 1, windows.windows.size()));
  }
}

void read_logits(LogitsSource& model, const std::string& who, const ScoreBlock& block, Context& context,
                 std::vector<float>& out) {
  const int64_t vocab = model.vocab_size();
  out.resize(static_cast<size_t>(block.rows() * vocab));
  model.logits(block.first, block.rows(), out.data());
  std::vector<int64_t> bad(static_cast<size_t>(block.rows()));
  context.threads.parallel_for(block.rows(), [&](int64_t i) {
    bad[static_cast<size_t>(i)] = first_non_finite({out.data() + i * vocab, static_cast<size_t>(vocab)});
  });
  for (int64_t i = 0; i < block.rows(); ++i) {
    const int64_t token = bad[static_cast<size_t>(i)];
    if (token >= 0)
      fail(ErrorKind::kFailed, "{}: logit of token {} is {} at position {} of window {}", who, token,
           out[static_cast<size_t>(i * vocab + token)], block.first + i, block.window);
  }
}

std::vector<int64_t> scored_counts(const TextWindows& windows) {
  std::vector<int64_t> out;
  for (const TextWindows::Window& window : windows.windows) out.push_back(window.scored());
  return out;
}

}  // namespace bitloom
