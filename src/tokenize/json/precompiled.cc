// Normalizer "Precompiled": SentencePiece's map of characters, a trie of byte strings and what replaces them.
//
//   precompiled_charsmap = base64 of: u32 size of the trie in bytes, little-endian; the trie; replacements, each ended
//   by a zero byte. A leaf's value is the offset of its replacement.
//
// The trie is a double array (Darts-clone): of a unit, bits 0-7 and 31 are the label, bit 8 says that a leaf follows,
// bits 10-30 are the offset to the children, times 256 when bit 9 is set; of a leaf, bits 0-30 are the value. The child
// for byte b of node n lies at n xor offset xor b.
//
// As the tokenizers package has it: a grapheme cluster of less than 6 bytes is looked up whole, else each of its
// characters; the *shortest* string of the trie that it begins with replaces all of it.
#include <utf8proc.h>

#include <cstring>
#include <optional>

#include "base/text.h"
#include "tokenize/json/normalizer.h"
#include "tokenize/text/base64.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

constexpr size_t kLongGrapheme = 6;

class CharacterMap {
 public:
  explicit CharacterMap(const JsonNode& node) : where_(fmt::format("{}: {}", node.origin(), node.path())) {
    const std::optional<std::string> bytes = decode_base64(node.text());
    if (!bytes) node.reject("is no base64");
    uint32_t size = 0;
    if (bytes->size() < sizeof size) node.reject(fmt::format("has {} bytes, too few for a size", bytes->size()));
    std::memcpy(&size, bytes->data(), sizeof size);
    if (size % 4 != 0 || size < 4 || size > bytes->size() - 4)
      node.reject(fmt::format("claims a trie of {} bytes, {} are left", size, bytes->size() - 4));
    units_.resize(size / 4);
    std::memcpy(units_.data(), bytes->data() + 4, size);
    replacements_ = bytes->substr(4 + size_t{size});
    if (first_invalid_utf8(replacements_) != replacements_.size()) node.reject("has replacements that are no UTF-8");
  }

  /// What replaces `text`, when it begins with a string of the map.
  std::optional<std::string_view> find(std::string_view text) const {
    size_t at = offset(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      at ^= byte;
      if (byte == 0 || at >= units_.size() || (units_[at] & 0x800000FFu) != byte) return std::nullopt;
      const uint32_t unit = units_[at];
      at ^= offset(unit);
      if (unit >> 8 & 1) return replacement(at < units_.size() ? units_[at] & 0x7FFFFFFFu : replacements_.size());
    }
    return std::nullopt;
  }

 private:
  static size_t offset(uint32_t unit) { return static_cast<size_t>(unit >> 10) << ((unit & 0x200u) >> 6); }

  std::string_view replacement(size_t begin) const {
    const bool inside = begin < replacements_.size();
    if (!inside || (static_cast<unsigned char>(replacements_[begin]) & 0xC0) == 0x80)
      fail(ErrorKind::kRefused, "{}: its trie points to byte {} of {} of replacements", where_, begin,
           replacements_.size());
    return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
  }

  std::string where_;
  std::vector<uint32_t> units_;
  std::string replacements_;
};

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
  explicit Precompiled(const JsonNode& node) : map_(node) {}

  void apply(NormalizedText& piece, RegexScratch&) const override {
    const std::string_view text = piece.text;
    std::string out;
    out.reserve(text.size());
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      end = grapheme_end(text, begin);
      const std::string_view grapheme = text.substr(begin, end - begin);
      const auto whole = grapheme.size() < kLongGrapheme ? map_.find(grapheme) : std::nullopt;
      if (whole) {
        out += *whole;
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
      out += map_.find(character).value_or(character);
    }
  }

  CharacterMap map_;
};

}  // namespace

std::unique_ptr<const Normalizer> make_precompiled(const JsonNode& node) {
  return std::make_unique<Precompiled>(node.at("precompiled_charsmap"));
}

}  // namespace bitloom
