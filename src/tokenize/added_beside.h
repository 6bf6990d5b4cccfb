#pragma once
// Tokens that the files beside a tokenizer add to it (transformers 5, PreTrainedTokenizerBase._from_pretrained and
// TokenizersBackend.__init__).

#include <optional>
#include <string>

#include "tokenize/settings.h"
#include "tokenize/text/function_ref.h"

namespace bitloom {

/// `own` (the "added_tokens" of a tokenizer.json) with what is named beside it, in this order:
///   added_tokens_decoder of tokenizer_config.json, by rising id; where that key is absent, added_tokens.json
///   bos_token, pad_token and the like of tokenizer_config.json, and of special_tokens_map.json where
///   added_tokens_decoder is absent; then extra_special_tokens, or additional_special_tokens
/// A token of the vocabulary keeps its id and takes the flags; a new one has the next free id. A bos_token or eos_token
/// that no list adds is left out when it is new: no model learned it. `size` tokens are in the model, where `find`
/// looks one up. Error(kRefused) names a file that gives a new token another id than the next.
Json with_added_beside(const Json& own, const Neighbours& files, size_t size,
                       FunctionRef<std::optional<int32_t>(const std::string&)> find);

}  // namespace bitloom
