#pragma once
// decoder of tokenizer.json: tokens as the vocabulary spells them to text.
//
// Non-goal: CTC; it is refused by name.

#include <memory>
#include <string>
#include <vector>

#include "tokenize/json/json_node.h"

namespace bitloom {

class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  /// The text is what the tokens are when the last decoder is through, joined.
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

using TokenDecoders = std::vector<std::unique_ptr<const TokenDecoder>>;

/// The decoders in order, sequences flattened.
TokenDecoders load_decoders(const JsonNode& node);

}  // namespace bitloom
