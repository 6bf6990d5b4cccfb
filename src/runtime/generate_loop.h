#pragma once
// The loop of generation over functions, so that its rules can be tested without a model.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/generate.h"
#include "runtime/lookup.h"

namespace bitloom {

/// Tokens of a prompt that go through the model at once: enough for full-rate products, little enough to keep the
/// activations of a long prompt small.
inline constexpr int64_t kPromptChunk = 512;

struct GenerateHooks {
  /// Tokens of the prompt that need not be fed, fewer than all: step() goes on after them. May be empty: none.
  std::function<int64_t(std::span<const int32_t> prompt)> keep = {};
  /// Appends tokens to the sequence; the logits [vocab] after the last one when `want_logits`, else nothing.
  std::function<std::span<float>(std::span<const int32_t> tokens, bool want_logits)> step;
  LookupHooks lookup = {};                   // of options.lookup > 0
  std::function<void(int32_t id)> on_token;  // a token that stays: not the one that ended the text
  std::function<bool()> interrupted = {};    // whether to end before the next step; may be empty
  std::vector<int32_t> end_ids;
  int64_t max_positions = 0;  // tokens that the sequence may hold; 0: any number
};

/// Fills ids, stop and times of `result`, whose prompt_ids are the prompt. Error(kRefused) when those are none or more
/// than max_positions: before anything is kept or fed. A token sampled at the last position is kept although it has no
/// place to be read from.
void run_generate_loop(const GenerateHooks& hooks, const GenerateOptions& options, GenerateResult& result);

}  // namespace bitloom
