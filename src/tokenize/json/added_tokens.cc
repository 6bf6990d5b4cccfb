#include "tokenize/json/added_tokens.h"

#include <algorithm>

#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

size_t spaces_begin_before(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t begin = previous_code_point(text, end);
    size_t position = begin;
    if (!is_whitespace(next_code_point(text, position))) break;
    end = begin;
  }
  return end;
}

size_t spaces_end_behind(std::string_view text, size_t begin) {
  for (size_t next = begin; begin < text.size(); begin = next) {
    if (!is_whitespace(next_code_point(text, next))) break;
  }
  return begin;
}

AddedToken read_token(const JsonNode& node) {
  AddedToken token;
  token.id = node.at("id").id();
  token.content = node.at("content").text();
  token.special = node.flag_or("special", false);
  token.single_word = node.flag_or("single_word", false);
  token.lstrip = node.flag_or("lstrip", false);
  token.rstrip = node.flag_or("rstrip", false);
  token.normalized = node.flag_or("normalized", !token.special);
  token.spelled = token.content;
  return token;
}

}  // namespace

AddedTokens::AddedTokens(const JsonNode& node, const Normalizers& normalizers, size_t model_size,
                         FunctionRef<std::optional<int32_t>(const std::string&)> model_id) {
  RegexScratch scratch;
  auto next = static_cast<int64_t>(model_size);
  for (const JsonNode& item : node.items()) {
    AddedToken token = read_token(item);
    if (token.content.empty()) continue;
    const auto known = ids_.find(token.content);
    const std::optional<int32_t> in_model = model_id(token.content);
    const int64_t expected = known != ids_.end() ? known->second : in_model ? *in_model : next++;
    if (token.id != expected) {
      item.at("id").reject(
          fmt::format("is {} for the token '{}', but the vocabulary makes it {}", token.id, token.content, expected));
    }
    if (token.normalized) {
      NormalizedText text{token.content, true};
      for (const auto& normalizer : normalizers) normalizer->apply(text, scratch);
      token.spelled = text.text;
    }
    if (token.single_word && !word_) word_.emplace(std::string("[") + kRustWordClass + "]");
    if (token.special) special_.insert(token.content);
    ids_[token.content] = token.id;
    by_id_[token.id] = std::move(token);
  }
  index(node);
}

void AddedTokens::index(const JsonNode& node) {
  std::map<std::string_view, int32_t> plain, normalized;
  for (const auto& [id, token] : by_id_) {
    if (token.spelled.empty() || !(token.normalized ? normalized : plain).emplace(token.spelled, id).second) {
      node.reject(fmt::format("has the token '{}' (id {}), which normalizes to '{}': empty or the same as another's",
                              token.content, id, token.spelled));
    }
  }
  plain_ = PrefixTrie({plain.begin(), plain.end()});
  normalized_ = PrefixTrie({normalized.begin(), normalized.end()});
}

std::optional<int32_t> AddedTokens::find(const std::string& content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

bool AddedTokens::is_single_word(std::string_view text, size_t begin, size_t end) const {
  RegexScratch scratch;
  if (begin > 0) {
    const size_t before = previous_code_point(text, begin);
    if (word_->contains(text.substr(before, begin - before), scratch)) return false;
  }
  if (end == text.size()) return true;
  size_t after = end;
  next_code_point(text, after);
  return !word_->contains(text.substr(end, after - end), scratch);
}

void AddedTokens::split(std::string_view text, bool normalized,
                        FunctionRef<void(size_t begin, size_t end, int32_t id)> part) const {
  const PrefixTrie& trie = normalized ? normalized_ : plain_;
  size_t done = 0;  // a token that took spaces may end behind the start of the next one, as in the package
  for (size_t i = 0; i < text.size();) {
    // Leftmost first, of those the longest.
    int32_t id = -1;
    size_t length = 0;
    trie.prefixes(text.substr(i), [&](size_t bytes, int32_t value) { length = bytes, id = value; });
    if (length == 0) {
      ++i;
      continue;
    }
    size_t begin = i;
    size_t end = i + length;
    i = end;
    const AddedToken& token = by_id_.at(id);
    if (token.single_word && !is_single_word(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(spaces_begin_before(text, begin), done);
    if (token.rstrip) end = spaces_end_behind(text, end);
    if (done < begin) part(done, begin, -1);
    part(begin, end, id);
    done = end;
  }
  if (done < text.size()) part(done, text.size(), -1);
}

}  // namespace bitloom
