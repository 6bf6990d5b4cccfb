#include "runtime/generate_loop.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"

namespace bitloom {
namespace {

void check(const GenerateHooks& hooks, const GenerateOptions& options, const GenerateResult& result) {
  if (options.max_tokens < 0) misuse("{} tokens to generate: must be 0 or more", options.max_tokens);
  if (result.prompt_ids.empty()) refuse("the prompt has no tokens, and the tokenizer has no BOS or EOS to start from");
  const auto length = static_cast<int64_t>(result.prompt_ids.size());
  if (hooks.max_positions > 0 && length > hooks.max_positions)
    refuse("the prompt has {} tokens, the model's context is {}", length, hooks.max_positions);
}

bool interrupted(const GenerateHooks& hooks) { return hooks.interrupted && hooks.interrupted(); }

/// Logits after the prompt; none when it was interrupted.
std::span<float> run_prompt(const GenerateHooks& hooks, GenerateResult& result) {
  const ScopedTimer timer(result.prompt_seconds);
  const std::span<const int32_t> prompt(result.prompt_ids);
  result.kept_tokens = hooks.keep ? hooks.keep(prompt) : 0;
  std::span<float> logits;
  for (auto done = static_cast<size_t>(result.kept_tokens); done < prompt.size();) {
    if (interrupted(hooks)) return {};
    const size_t count = std::min(prompt.size() - done, static_cast<size_t>(kPromptChunk));
    logits = hooks.step(prompt.subspan(done, count), done + count == prompt.size());
    done += count;
  }
  return logits;
}

double rate(int64_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

}  // namespace

double GenerateResult::prompt_tokens_per_second() const {
  return rate(static_cast<int64_t>(prompt_ids.size()) - kept_tokens, prompt_seconds);
}

double GenerateResult::tokens_per_second() const { return rate(decode_steps, decode_seconds); }

void run_generate_loop(const GenerateHooks& hooks, const GenerateOptions& options, GenerateResult& result) {
  Sampler sampler(options.sampler);
  check(hooks, options, result);
  std::vector<int32_t> sequence = result.prompt_ids;
  std::span<float> logits = run_prompt(hooks, result);
  result.stop = "length";
  while (static_cast<int64_t>(result.ids.size()) < options.max_tokens) {
    if (logits.empty() || interrupted(hooks)) {
      result.stop = "interrupted";
      return;
    }
    int32_t id = 0;
    {
      const ScopedTimer timer(result.decode_seconds);
      id = sampler.sample(logits, sequence);
    }
    if (std::find(hooks.end_ids.begin(), hooks.end_ids.end(), id) != hooks.end_ids.end()) {
      result.stop = "end of text";
      return;
    }
    result.ids.push_back(id);
    hooks.on_token(id);
    if (static_cast<int64_t>(result.ids.size()) == options.max_tokens) return;
    if (hooks.max_positions > 0 && static_cast<int64_t>(sequence.size()) == hooks.max_positions) {
      result.stop = "context full";
      return;
    }
    sequence.push_back(id);
    const ScopedTimer timer(result.decode_seconds);
    logits = hooks.step({&id, 1}, true);
    ++result.decode_steps;
  }
}

}  // namespace bitloom
