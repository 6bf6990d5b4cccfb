#include "eval/greedy.h"

#include <algorithm>

#include "base/error.h"
#include "eval/row_math.h"

namespace bitloom {
namespace {

void check(const LogitsSource& model, std::span<const int32_t> prompt, const GreedyOptions& options) {
  if (options.max_tokens < 0) misuse("{} tokens to generate: must be 0 or more", options.max_tokens);
  for (const std::string& stop : options.stops)
    if (stop.empty()) misuse("an empty stop string would stop every text at its start");
  if (prompt.empty()) refuse("the prompt has no tokens");
  const auto length = static_cast<int64_t>(prompt.size());
  if (model.max_positions() > 0 && length > model.max_positions())
    refuse("the prompt has {} tokens, the model's context is {}", length, model.max_positions());
}

/// The text so far, and where it ends.
class StoppedText {
 public:
  explicit StoppedText(const std::vector<std::string>& stops) : stops_(stops) {
    for (const std::string& stop : stops) longest_ = std::max(longest_, stop.size());
  }

  /// True when a stop string is complete; the text is then cut before the earliest. A stop string may begin in what was
  /// there before.
  bool append(const std::string& piece) {
    const size_t from = text_.size() - std::min(text_.size(), longest_);
    text_ += piece;
    size_t end = std::string::npos;
    for (const std::string& stop : stops_) end = std::min(end, text_.find(stop, from));
    if (end == std::string::npos) return false;
    text_.resize(end);
    return true;
  }

  const std::string& text() const { return text_; }

 private:
  const std::vector<std::string>& stops_;
  std::string text_;
  size_t longest_ = 0;
};

int32_t likeliest(std::span<const float> logits, size_t position) {
  if (const int64_t token = first_non_finite(logits); token >= 0)
    fail(ErrorKind::kFailed, "logit of token {} is {} at position {}", token, logits[static_cast<size_t>(token)],
         position);
  return static_cast<int32_t>(top_of(logits).index);
}

}  // namespace

GreedyResult greedy(LogitsSource& model, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                    const GreedyOptions& options,
                    const std::function<void(int32_t id, std::span<const float> logits)>& on_token) {
  check(model, prompt, options);
  GreedyResult result;
  result.stop = "length";
  std::vector<int32_t> sequence(prompt.begin(), prompt.end());
  std::vector<float> logits(static_cast<size_t>(model.vocab_size()));
  Tokenizer::Stream stream(tokenizer, true, prompt);
  StoppedText text(options.stops);
  bool stopped = false;
  while (!stopped && static_cast<int64_t>(result.ids.size()) < options.max_tokens) {
    if (model.max_positions() > 0 && static_cast<int64_t>(sequence.size()) > model.max_positions()) {
      result.stop = "context full";
      break;
    }
    model.run(sequence);
    model.logits(static_cast<int64_t>(sequence.size()) - 1, 1, logits.data());
    const int32_t id = likeliest(logits, sequence.size() - 1);
    if (std::find(options.end_ids.begin(), options.end_ids.end(), id) != options.end_ids.end()) {
      result.stop = "end of text";
      break;
    }
    result.ids.push_back(id);
    sequence.push_back(id);
    if (on_token) on_token(id, logits);
    stopped = text.append(stream.push(id));
  }
  if (!stopped) stopped = text.append(stream.finish());
  if (stopped) result.stop = "stop string";
  result.text = text.text();
  return result;
}

}  // namespace bitloom
