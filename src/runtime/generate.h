#pragma once
// Prompt in, text out.

#include <functional>
#include <string>
#include <vector>

#include "forward/decoder.h"
#include "runtime/sampler.h"

namespace bitloom {

struct GenerateOptions {
  int64_t max_tokens = 128;
  SamplerOptions sampler;
};

struct GenerateResult {
  std::string text;  // without the prompt
  std::vector<int32_t> prompt_ids, ids;
  double prompt_seconds = 0, decode_seconds = 0;
  std::string stop;  // "length", "end of text", "context full"
  double prompt_tokens_per_second() const;
  double tokens_per_second() const;
};

/// Streams text to `on_text` as it becomes final. Error(kRefused) when the prompt does not fit the context.
GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text);

}  // namespace bitloom
