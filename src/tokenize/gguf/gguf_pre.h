#pragma once
// How byte-level BPE in a GGUF file cuts text: the names of tokenizer.ggml.pre.

#include <string>
#include <string_view>

#include "io/json.h"

namespace bitloom {

struct GgufPre {
  std::string_view name;
  const char* normalizer;  // nullptr: none
  const char* regexes[6];  // applied one after the other, each isolating its matches; nullptr ends
  bool ignore_merges;
  bool add_bos;  // when the file does not say
};

/// nullptr when unknown.
const GgufPre* find_gguf_pre(std::string_view name);
/// All names, for messages.
std::string gguf_pre_names();
/// The "pre_tokenizer" of a tokenizer.json.
Json gguf_pre_tokenizer(const GgufPre& pre);

}  // namespace bitloom
