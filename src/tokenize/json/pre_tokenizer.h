#pragma once
// pre_tokenizer of tokenizer.json: cuts text into the pieces that the model sees. Pieces stream from stage to stage,
// so that nothing the size of the text is held.

#include <memory>
#include <string_view>
#include <vector>

#include "tokenize/json/json_node.h"
#include "tokenize/text/function_ref.h"
#include "tokenize/text/regex.h"

namespace bitloom {

struct TextPiece {
  std::string_view text;
  bool at_start = false;  // see NormalizedText
};

using PieceSink = FunctionRef<void(TextPiece)>;

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Gives the parts of `piece` to `sink` in order; empty ones may be among them. A part is valid during the call only.
  virtual void split(TextPiece piece, RegexScratch& scratch, PieceSink sink) const = 0;
};

class PreTokenizers {
 public:
  PreTokenizers() = default;
  explicit PreTokenizers(const JsonNode& node);

  /// Whether the last stage writes bytes in the byte alphabet (bpe/byte_level.h). It is left to the consumer, who can
  /// remember the answer: pieces come as plain bytes.
  bool ends_in_byte_alphabet() const { return byte_alphabet_; }

  /// All non-empty parts, in order.
  void split(TextPiece piece, RegexScratch& scratch, PieceSink sink) const { run(0, piece, scratch, sink); }

 private:
  void append(const JsonNode& node);
  void run(size_t stage, TextPiece piece, RegexScratch& scratch, PieceSink sink) const;

  std::vector<std::unique_ptr<const PreTokenizer>> stages_;
  bool byte_alphabet_ = false;
};

}  // namespace bitloom
