#include "suite/cell_words.h"

#include <fmt/format.h>

#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kCell = "{cell:", kOut = "{out}";

std::string replace_all(std::string text, std::string_view from, const std::string& to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string with_cells(std::string word, const std::function<std::string(size_t)>& text) {
  for (size_t at = word.find(kCell); at != word.npos; at = word.find(kCell, at)) {
    const size_t end = word.find('}', at);
    if (end == word.npos) return word;
    const auto number = parse_number<size_t>(std::string_view(word).substr(at + kCell.size(), end - at - kCell.size()));
    const std::string value = number ? text(*number) : word.substr(at, end - at + 1);
    word.replace(at, end - at + 1, value);
    at += value.size();
  }
  return word;
}

}  // namespace

std::string cell_word(size_t cell) { return fmt::format("{{cell:{}}}", cell); }

std::vector<std::string> with_cells(const std::vector<std::string>& words,
                                    const std::function<std::string(size_t)>& text) {
  std::vector<std::string> out;
  out.reserve(words.size());
  for (const std::string& word : words) out.push_back(with_cells(word, text));
  return out;
}

std::vector<std::string> with_outputs(const std::vector<std::string>& words, const std::string& out,
                                      const std::function<std::string(size_t)>& text) {
  std::vector<std::string> result = with_cells(words, text);
  for (std::string& word : result) word = replace_all(word, kOut, out);
  return result;
}

std::vector<std::string> with_outputs(const std::vector<std::string>& words, const std::string& out,
                                      const std::string& others) {
  return with_outputs(words, out, [&](size_t) { return others; });
}

}  // namespace bitloom
