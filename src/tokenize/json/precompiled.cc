// Normalizer "Precompiled": SentencePiece's map of characters (text/character_map.h), in base64.
//
// As the tokenizers package has it: a grapheme cluster of less than 6 bytes is looked up whole, else each of its
// characters; the *shortest* string of the trie that it begins with replaces all of it.
#include <utf8proc.h>

#include <optional>

#include "tokenize/json/normalizer.h"
#include "tokenize/text/base64.h"
#include "tokenize/text/character_map.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

constexpr size_t kLongGrapheme = 6;

CharacterMap map_of(const JsonNode& node) {
  const std::optional<std::string> bytes = decode_base64(node.text());
  if (!bytes) node.reject("is no base64");
  return {*bytes, fmt::format("{}: {}", node.origin(), node.path())};
}

/// End of the grapheme cluster at `begin`.
size_t grapheme_end(std::string_view text, size_t begin) {
  utf8proc_int32_t state = 0;
  auto left = static_cast<utf8proc_int32_t>(next_code_point(text, begin));
  for (size_t next = begin; begin < text.size(); begin = next) {
    const auto right = static_cast<utf8proc_int32_t>(next_code_point(text, next));
    if (utf8proc_grapheme_break_stateful(left, right, &state)) break;
    left = right;
  }
  return begin;
}

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(const JsonNode& node) : map_(map_of(node)) {}

  void apply(NormalizedText& piece, RegexScratch&) const override {
    const std::string_view text = piece.text;
    std::string out;
    out.reserve(text.size());
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      end = grapheme_end(text, begin);
      const std::string_view grapheme = text.substr(begin, end - begin);
      const auto whole = grapheme.size() < kLongGrapheme ? map_.shortest(grapheme) : std::nullopt;
      if (whole) {
        out += whole->by;
      } else {
        append_characters(grapheme, out);
      }
    }
    piece.text = std::move(out);
  }

 private:
  void append_characters(std::string_view grapheme, std::string& out) const {
    for (size_t begin = 0, end = 0; begin < grapheme.size(); begin = end) {
      next_code_point(grapheme, end);
      const std::string_view character = grapheme.substr(begin, end - begin);
      const auto match = map_.shortest(character);
      out += match ? match->by : character;
    }
  }

  CharacterMap map_;
};

}  // namespace

std::unique_ptr<const Normalizer> make_precompiled(const JsonNode& node) {
  return std::make_unique<Precompiled>(node.at("precompiled_charsmap"));
}

}  // namespace bitloom
