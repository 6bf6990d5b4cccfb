#pragma once
// Prompt in, text out.
//
// Goals of this folder: from a decoder's logits to text, one sequence at a time; the same text for the same seed.
// Non-goals: quantizing or loading (it is handed a decoder), chat templates, serving.

#include <functional>
#include <string>
#include <vector>

#include "forward/decoder.h"
#include "runtime/cached_sequence.h"
#include "runtime/sampler.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct GenerateOptions {
  int64_t max_tokens = 128;
  SamplerOptions sampler;
  int64_t lookup = 0;  // most tokens that are guessed at once (runtime/lookup.h), at most kMostGuesses; 0: none
  KvFormat kv = KvFormat::kFp32;  // of a sequence that is made for this text
};

struct GenerateResult {
  std::string text;  // without the prompt, and without the token that ended it
  std::vector<int32_t> prompt_ids, ids;
  int64_t kept_tokens = 0;    // of the prompt, found in the cache
  double prompt_seconds = 0;  // until the first token's logits are there
  double decode_seconds = 0;  // sampling and single steps after that; on_text not included
  int64_t decode_steps = 0;   // single steps: one less than the tokens that were sampled
  std::string stop;           // "length", "end of text", "context full", "interrupted"

  /// By lookup; the latter needed no pass of their own.
  int64_t guessed_tokens = 0, accepted_tokens = 0;

  double prompt_tokens_per_second() const;
  double tokens_per_second() const;  // decode_steps / decode_seconds; 0 when there was no step
};

/// The tokens that end a text or a turn: the graph's and the tokenizer's (Tokenizer::end_ids).
std::vector<int32_t> end_ids(const Graph& graph, const Tokenizer& tokenizer);

/// A prompt as the tokenizer has it, BOS included; an empty one becomes BOS, or EOS where there is no BOS.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt);

/// Streams text to `on_text` (may be empty) as it becomes final, never part of a UTF-8 character. The prompt is
/// tokenized by encode_prompt. Ends at any of end_ids(), after max_tokens, or when the model's positions are used up.
/// Error(kRefused) when the prompt does not fit the context or has no token; Error(kUsage) for a bad option.
GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text);
/// The same for a prompt that is tokenized already, such as a rendered chat (encode_chat).
GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, std::vector<int32_t> prompt_ids,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text);
/// The same in a sequence that lives on: what the prompt begins with and the sequence holds is not computed again.
/// Ends when `interrupted` (may be empty), asked before every token and every part of the prompt, says so.
GenerateResult generate(CachedSequence& sequence, const Tokenizer& tokenizer, std::vector<int32_t> prompt_ids,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text,
                        const std::function<bool()>& interrupted);

}  // namespace bitloom
