#pragma once
// normalizer of tokenizer.json: text to text, before pre-tokenization.

#include <memory>
#include <string>
#include <vector>

#include "tokenize/json/json_node.h"
#include "tokenize/text/regex.h"

namespace bitloom {

/// A stretch of text on its way to the model.
struct NormalizedText {
  std::string text;
  /// Whether its first byte comes from the first character of the whole input; Metaspace's "first" asks.
  bool at_start = false;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(NormalizedText& piece, RegexScratch& scratch) const = 0;
};

using Normalizers = std::vector<std::unique_ptr<const Normalizer>>;

/// The normalizers in order, sequences flattened.
Normalizers load_normalizers(const JsonNode& node);

/// What the table of load_normalizers calls, each in a file of its own.
std::unique_ptr<const Normalizer> make_bert_normalizer(const JsonNode& node);
std::unique_ptr<const Normalizer> make_precompiled(const JsonNode& node);

}  // namespace bitloom
