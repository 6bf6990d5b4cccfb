#pragma once
// Greedy generation for judges: the likeliest token each time, until an end token, a stop string or a limit.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/logits/logits_source.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct GreedyOptions {
  int64_t max_tokens = 256;
  std::vector<int32_t> end_ids = {};    // any of these ends the text; it is not part of it
  std::vector<std::string> stops = {};  // the text ends before the first of these, wherever tokens are cut
};

struct GreedyResult {
  std::string text;          // cut before the stop string
  std::vector<int32_t> ids;  // all that was generated but the end token: also what spelled the stop string
  std::string stop;          // "end of text", "stop string", "length", "context full"
};

/// Continues `prompt`, the lowest id among equal logits. `on_token` (may be empty) sees every id of the result and the
/// logits [vocab] that chose it. Each token is one run() of all so far: use a source that keeps prefixes
/// (logits_of_steps()). Error(kRefused) for a prompt without tokens or longer than the model's positions, Error(kUsage)
/// for a negative limit or an empty stop string, Error(kFailed) for a logit that is not finite.
GreedyResult greedy(LogitsSource& model, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                    const GreedyOptions& options,
                    const std::function<void(int32_t id, std::span<const float> logits)>& on_token);

}  // namespace bitloom
