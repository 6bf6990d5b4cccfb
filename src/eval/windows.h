#pragma once
// How a text becomes scored positions (papers' formats page, 3.9). Cutting is a pure function of token ids.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenize/tokenizer.h"

namespace bitloom {

///   gptq      one tokenization of the whole text (BOS as the tokenizer adds it, once); disjoint windows of `context`,
///   the
///             tail dropped; tokens 1 .. context-1 of each window are scored
///   llamacpp  the same windows; the first token of every window is overwritten by BOS when the tokenizer adds one; the
///             predictions made at positions context/2 .. context-2 are scored, that is tokens context/2+1 ..
///             context-1, as llama.cpp's perplexity tool counts them
///   rolling   every token scored exactly once, tokenized without BOS; windows of `context` predictions, the first of
///             which sees one token; the very first token is predicted from BOS (or EOS when there is no BOS). The
///             last, shorter window is filled up to `context` inputs from the left, as lm-eval's rolling windows are.
enum class Protocol { kGptq, kLlamaCpp, kRolling };

///   auto      as the tokenizer does it
///   none      no BOS anywhere; rolling does not score the first token
///   always    BOS first even when the tokenizer would not add it (llamacpp: first in every window)
enum class BosPolicy { kAuto, kNone, kAlways };

struct TextWindows {
  struct Window {
    std::vector<int32_t> tokens;
    int64_t first_scored = 1;  // targets tokens[first_scored .. size-1] are scored
    int64_t scored() const { return static_cast<int64_t>(tokens.size()) - first_scored; }
  };
  std::vector<Window> windows;
  int64_t text_tokens = 0;    // tokens of the whole text, BOS included
  int64_t scored_tokens = 0;  // over all windows
  int64_t scored_bytes =
      0;  // bytes of text that the scored tokens spell, where that is known (rolling, whole text); else 0
  std::string description;  // "gptq, context 2048, bos auto (first), 41 windows": goes with every figure
};

struct WindowOptions {
  Protocol protocol = Protocol::kGptq;
  BosPolicy bos = BosPolicy::kAuto;
  int64_t context = 2048;
  int64_t max_windows = 0;  // 0: all
};

/// Error(kUsage) naming the allowed spellings: gptq, llamacpp, rolling; auto, none, always.
Protocol parse_protocol(const std::string& text);
BosPolicy parse_bos_policy(const std::string& text);
std::string to_string(Protocol protocol);
std::string to_string(BosPolicy bos);

/// A tokenized text and what cutting must know of its tokenizer.
struct TokenizedText {
  std::vector<int32_t> ids;  // special tokens included when with_special() says so
  std::optional<int32_t> bos, eos;
  bool adds_bos = false;
  int64_t bytes = 0;
};

/// Whether the text is to be tokenized with the tokenizer's special tokens.
bool with_special(const WindowOptions& options);

/// Error(kUsage) for a context or window count that makes no sense, or a BOS that the tokenizer lacks. Error(kRefused)
/// when the text is shorter than one window (gptq, llamacpp) or leaves nothing to score.
TextWindows cut_windows(TokenizedText text, const WindowOptions& options);
TextWindows cut_windows(const std::string& text, const Tokenizer& tokenizer, const WindowOptions& options);

}  // namespace bitloom
