#pragma once
// What a server knows of its model, besides the engine that runs it.

#include <cstdint>
#include <optional>
#include <string>

#include "chat/chat_template.h"
#include "runtime/sampler.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct ServedModel {
  std::string name;  // what requests call it
  const Tokenizer& tokenizer;
  std::optional<ChatTemplate> chat_template;  // none: no chats
  int64_t context = 0;                        // tokens; 0: any number
  int64_t created = 0;                        // seconds since 1970
  SamplerOptions sampler;                     // where a request says nothing
  int64_t max_tokens = 1024;                  // most tokens of an answer
};

}  // namespace bitloom
