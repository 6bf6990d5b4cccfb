#include "tokenize/sentencepiece/spm_normalizer.h"

#include <algorithm>

namespace bitloom {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";

}  // namespace

size_t longest_prefix(const PrefixTrie& trie, std::string_view text) {
  size_t longest = 0;
  trie.prefixes(text, [&](size_t length, int32_t) { longest = length; });
  return longest;
}

size_t first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size());
}

SpmNormalizer::SpmNormalizer(const SpmModel& model, const PrefixTrie& kept) : model_(model), kept_(kept) {
  if (!model.character_map.empty())
    map_.emplace(model.character_map, model.origin + ": normalizer_spec.precompiled_charsmap");
}

/// What becomes of the beginning of `text`, which is removed.
std::string_view SpmNormalizer::next(std::string_view& text) const {
  const auto cut = [&text](size_t length) {
    const std::string_view head = text.substr(0, length);
    text.remove_prefix(length);
    return head;
  };
  if (const size_t kept = longest_prefix(kept_, text)) return cut(kept);
  const auto replaced = map_ ? map_->longest(text) : std::nullopt;
  if (!replaced) return cut(first_character(text));
  text.remove_prefix(replaced->length);
  return replaced->by;
}

std::string SpmNormalizer::normalize(std::string_view text) const {
  const bool removes = model_.remove_extra_whitespaces;
  const std::string_view space = model_.escape_whitespaces ? kSpace : " ";
  std::string out;
  for (std::string_view rest = text; removes && !rest.empty() && next(rest) == " ";) text = rest;
  if (text.empty()) return out;
  if (model_.add_dummy_prefix && !model_.space_is_suffix) out += space;
  bool after_space = removes;
  while (!text.empty()) {
    std::string_view part = next(text);
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    for (const char c : part) {
      if (c == ' ') {
        out += space;
      } else {
        out += c;
      }
    }
    if (!part.empty()) after_space = removes && part.ends_with(' ');
  }
  while (removes && out.ends_with(space)) out.resize(out.size() - space.size());
  if (model_.add_dummy_prefix && model_.space_is_suffix) out += space;
  return out;
}

}  // namespace bitloom
