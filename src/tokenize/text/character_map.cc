#include "tokenize/text/character_map.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/text/token_limit.h"

namespace bitloom {
namespace {

size_t offset(uint32_t unit) { return static_cast<size_t>(unit >> 10) << ((unit & 0x200u) >> 6); }

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes, const std::string& where) : where_(where) {
  uint32_t size = 0;
  if (bytes.size() < sizeof size) refuse("{} has {} bytes, too few for a size", where_, bytes.size());
  std::memcpy(&size, bytes.data(), sizeof size);
  if (size % 4 != 0 || size < 4 || size > bytes.size() - 4)
    refuse("{} claims a trie of {} bytes, {} are left", where_, size, bytes.size() - 4);
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data() + 4, size);
  replacements_ = bytes.substr(4 + size_t{size});
  if (first_invalid_utf8(replacements_) != replacements_.size())
    refuse("{} has replacements that are no UTF-8", where_);
  for (size_t begin = 0, end = 0; begin < replacements_.size(); begin = end + 1) {
    end = std::min(replacements_.find('\0', begin), replacements_.size());
    if (end - begin > kMaxTokenBytes)
      refuse("{} has a replacement of {} bytes, at byte {} (at most {})", where_, end - begin, begin, kMaxTokenBytes);
  }
}

/// Calls found(length, leaf's value) until it returns false.
template <typename Found>
void CharacterMap::matches(std::string_view text, const Found& found) const {
  size_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || (units_[at] & 0x800000FFu) != byte) return;
    const uint32_t unit = units_[at];
    at ^= offset(unit);
    if (i >= kMaxTokenBytes)  // hostile: offsets of a trie can lead back
      refuse("{}: its trie has a string of more than {} bytes", where_, kMaxTokenBytes);
    if ((unit >> 8 & 1) == 0) continue;
    if (i + 1 < text.size() && is_continuation(text[i + 1])) continue;
    const size_t value = at < units_.size() ? units_[at] & 0x7FFFFFFFu : replacements_.size();
    if (!found(i + 1, value)) return;
  }
}

std::optional<CharacterMap::Match> CharacterMap::shortest(std::string_view text) const {
  std::optional<Match> match;
  matches(text, [&](size_t length, size_t value) {
    match = {length, replacement(value)};
    return false;
  });
  return match;
}

std::optional<CharacterMap::Match> CharacterMap::longest(std::string_view text) const {
  size_t longest = 0, value = 0;
  matches(text, [&](size_t length, size_t of_leaf) {
    longest = length;
    value = of_leaf;
    return true;
  });
  if (longest == 0) return std::nullopt;
  return Match{longest, replacement(value)};
}

std::string_view CharacterMap::replacement(size_t begin) const {
  const bool inside = begin < replacements_.size();
  if (!inside || is_continuation(replacements_[begin]))
    fail(ErrorKind::kRefused, "{}: its trie points to byte {} of {} of replacements", where_, begin,
         replacements_.size());
  return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
}

}  // namespace bitloom
