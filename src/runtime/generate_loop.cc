#include "runtime/generate_loop.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"

namespace bitloom {
namespace {

void check(const GenerateHooks& hooks, const GenerateOptions& options, const GenerateResult& result) {
  if (options.max_tokens < 0) misuse("{} tokens to generate: must be 0 or more", options.max_tokens);
  if (options.lookup < 0 || options.lookup > kMostGuesses)
    misuse("{} tokens to guess at once: must be 0 to {}", options.lookup, kMostGuesses);
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

namespace {

class Loop {
 public:
  Loop(const GenerateHooks& hooks, const GenerateOptions& options, GenerateResult& result)
      : hooks_(hooks),
        options_(options),
        result_(result),
        sampler_(options.sampler),
        lookup_(hooks.lookup),
        sequence_(result.prompt_ids) {}

  void run() {
    result_.stop = extend(run_prompt(hooks_, result_));
    if (options_.lookup == 0) return;
    lookup_.finish(sequence_);
    result_.guessed_tokens = lookup_.guessed();
    result_.accepted_tokens = lookup_.accepted();
  }

 private:
  /// Samples until the text ends, and says why it did.
  std::string extend(std::span<float> logits) {
    while (static_cast<int64_t>(result_.ids.size()) < options_.max_tokens) {
      if (logits.empty() || interrupted(hooks_)) return "interrupted";
      const int32_t id = sample(logits);
      if (std::find(hooks_.end_ids.begin(), hooks_.end_ids.end(), id) != hooks_.end_ids.end()) return "end of text";
      result_.ids.push_back(id);
      hooks_.on_token(id);
      if (static_cast<int64_t>(result_.ids.size()) == options_.max_tokens) break;
      if (hooks_.max_positions > 0 && places() == 0) return "context full";
      sequence_.push_back(id);
      logits = step();
    }
    return "length";
  }

  int32_t sample(std::span<float> logits) {
    const ScopedTimer timer(result_.decode_seconds);
    return sampler_.sample(logits, sequence_);
  }

  /// Logits after the sequence, of which all but the last token has been fed.
  std::span<float> step() {
    const ScopedTimer timer(result_.decode_seconds);
    ++result_.decode_steps;
    const std::span<const int32_t> sequence(sequence_);
    if (options_.lookup == 0) return hooks_.step(sequence.last(1), true);
    // No guess whose logits cannot be wanted, or that has no place.
    int64_t most = std::min(options_.lookup, options_.max_tokens - static_cast<int64_t>(result_.ids.size()) - 1);
    if (hooks_.max_positions > 0) most = std::min(most, places());
    return lookup_.next(sequence, most);
  }

  int64_t places() const { return hooks_.max_positions - static_cast<int64_t>(sequence_.size()); }

  const GenerateHooks& hooks_;
  const GenerateOptions& options_;
  GenerateResult& result_;
  Sampler sampler_;
  LookupSteps lookup_;
  std::vector<int32_t> sequence_;
};

}  // namespace

void run_generate_loop(const GenerateHooks& hooks, const GenerateOptions& options, GenerateResult& result) {
  Loop loop(hooks, options, result);
  check(hooks, options, result);
  loop.run();
}

}  // namespace bitloom
