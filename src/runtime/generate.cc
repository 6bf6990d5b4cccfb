#include "runtime/generate.h"

#include <algorithm>
#include <limits>

#include "runtime/generate_loop.h"

namespace bitloom {
namespace {

/// A decoder, its cache and one row of logits.
constexpr int64_t kFirstCapacity = 4096;  // of the cache; it grows

class Stepper {
 public:
  Stepper(Decoder& decoder, int64_t capacity)
      : decoder_(decoder),
        cache_(decoder.graph(), std::min(capacity, kFirstCapacity)),
        logits_(static_cast<size_t>(decoder.graph().vocab_size)) {}

  std::span<float> step(std::span<const int32_t> tokens, bool want_logits) {
    cache_.ensure(cache_.size() + static_cast<int64_t>(tokens.size()));
    const std::span<const float> hidden = decoder_.step(tokens, cache_);
    if (!want_logits) return {};
    decoder_.logits(hidden.last(static_cast<size_t>(decoder_.hidden_width())), 1, logits_.data());
    return logits_;
  }

 private:
  Decoder& decoder_;
  KvCache cache_;
  std::vector<float> logits_;
};

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  if (!ids.empty()) return ids;
  if (const auto start = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id()) ids.push_back(*start);
  return ids;
}

/// Positions that this run can reach. A prompt too long for the model is refused by the loop.
int64_t cache_capacity(const Graph& graph, int64_t prompt, int64_t max_tokens) {
  const int64_t limit = graph.max_positions > 0 ? graph.max_positions : std::numeric_limits<int64_t>::max();
  const int64_t room = std::numeric_limits<int64_t>::max() - prompt;
  return std::max<int64_t>(1, std::min(limit, prompt + std::clamp<int64_t>(max_tokens, 0, room)));
}

}  // namespace

std::vector<int32_t> end_ids(const Graph& graph, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = graph.eos_ids;
  const std::vector<int32_t> ends = tokenizer.end_ids();
  ids.insert(ids.end(), ends.begin(), ends.end());
  return ids;
}

GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text) {
  return generate(decoder, tokenizer, ids_of(tokenizer, prompt), options, on_text);
}

GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, std::vector<int32_t> prompt_ids,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text) {
  GenerateResult result;
  result.prompt_ids = std::move(prompt_ids);
  const Graph& graph = decoder.graph();
  Stepper stepper(decoder, cache_capacity(graph, static_cast<int64_t>(result.prompt_ids.size()), options.max_tokens));
  Tokenizer::Stream stream(tokenizer, true, result.prompt_ids);
  const auto give = [&](const std::string& piece) {
    if (piece.empty()) return;
    result.text += piece;
    if (on_text) on_text(piece);
  };
  run_generate_loop({.step = [&](std::span<const int32_t> tokens, bool want) { return stepper.step(tokens, want); },
                     .on_token = [&](int32_t id) { give(stream.push(id)); },
                     .end_ids = end_ids(graph, tokenizer),
                     .max_positions = graph.max_positions},
                    options, result);
  give(stream.finish());
  return result;
}

}  // namespace bitloom
