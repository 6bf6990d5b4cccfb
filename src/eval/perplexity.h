#pragma once
// Perplexity of a text, by a named protocol. Every figure carries its protocol, text hash and token count.

#include <functional>
#include <optional>
#include <string>

#include "base/context.h"
#include "eval/logits_source.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

/// How a text becomes scored positions (papers' formats page, 3.9).
///   gptq      one tokenization of the whole text (BOS as the tokenizer adds it, once); disjoint windows of `context`, the
///             tail dropped; positions 1..context-1 of each window are scored
///   llamacpp  the same windows; the first token of every window is overwritten by BOS when the tokenizer adds one; positions
///             >= context/2 are scored
///   rolling   every token scored exactly once; windows of `context` predictions with one token of context; the first
///             token is predicted from BOS (or EOS when there is no BOS)
enum class Protocol { kGptq, kLlamaCpp, kRolling };
enum class BosPolicy { kAuto, kNone, kAlways };

struct TextWindows {
  struct Window {
    std::vector<int32_t> tokens;
    int64_t first_scored = 1;  // targets tokens[first_scored .. size-1] are scored
  };
  std::vector<Window> windows;
  int64_t text_tokens = 0;    // tokens of the whole text, BOS included
  int64_t scored_tokens = 0;  // over all windows
  std::string description;    // "gptq, context 2048, bos first, 41 windows": goes with every figure
};

struct WindowOptions {
  Protocol protocol = Protocol::kGptq;
  BosPolicy bos = BosPolicy::kAuto;
  int64_t context = 2048;
  int64_t max_windows = 0;  // 0: all
};

Protocol parse_protocol(const std::string& text);
BosPolicy parse_bos_policy(const std::string& text);
std::string to_string(Protocol protocol);
std::string to_string(BosPolicy bos);

/// Error(kRefused) when the text is shorter than one window (gptq, llamacpp).
TextWindows cut_windows(const std::string& text, const Tokenizer& tokenizer, const WindowOptions& options);

struct PerplexityResult {
  double nll = 0;  // mean negative log likelihood per scored token, nats
  double perplexity = 0;
  double perplexity_low = 0, perplexity_high = 0;  // 95 % interval over windows
  double bits_per_byte = 0;  // total nll / bytes of the text scored (rolling only; else 0)
  int64_t tokens = 0, windows = 0;
  double seconds = 0;
};

PerplexityResult perplexity(LogitsSource& model, const TextWindows& windows, Context& context);

}  // namespace bitloom
