#include "calibration/token_lines.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text/text.h"
#include "io/json.h"
#include "io/text_data.h"

namespace bitloom {
namespace {

constexpr std::string_view kWhitespace = " \t\r\n\f\v";

/// The beginning of a word, for messages: whole characters.
std::string_view shown(std::string_view word) {
  constexpr size_t kMost = 40;
  const std::string_view cut = word.substr(0, kMost);
  return cut.substr(0, first_invalid_utf8(cut));
}

int32_t checked(int64_t id, int64_t vocab_size, const std::string& origin) {
  if (id < 0 || id >= vocab_size) refuse("{}: id {} is outside the vocabulary (0 to {})", origin, id, vocab_size - 1);
  return static_cast<int32_t>(id);
}

std::vector<int32_t> ids_of_array(std::string_view line, int64_t vocab_size, const std::string& origin) {
  std::vector<int32_t> ids;
  for (const Json& element : parse_json(line, origin)) {
    const bool beyond = element.is_number_unsigned() && element.get<uint64_t>() > INT64_MAX;
    if (!element.is_number_integer() || beyond) refuse("{}: {} is no token id", origin, shown(element.dump()));
    ids.push_back(checked(element.get<int64_t>(), vocab_size, origin));
  }
  return ids;
}

std::vector<int32_t> ids_of_words(std::string_view line, int64_t vocab_size, const std::string& origin) {
  std::vector<int32_t> ids;
  for (size_t at = line.find_first_not_of(kWhitespace); at < line.size();
       at = line.find_first_not_of(kWhitespace, at)) {
    const size_t end = std::min(line.find_first_of(kWhitespace, at), line.size());
    const std::string_view word = line.substr(at, end - at);
    int64_t id = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size())
      refuse("{}: '{}' is no token id", origin, shown(word));
    ids.push_back(checked(id, vocab_size, origin));
    at = end;
  }
  return ids;
}

}  // namespace

std::vector<std::vector<int32_t>> parse_token_lines(std::string_view text, int64_t vocab_size,
                                                    const std::string& origin) {
  check_utf8(text, origin);
  std::vector<std::vector<int32_t>> documents;
  size_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    const std::string place = fmt::format("{}: line {}", origin, ++number);
    if (is_blank(line)) continue;
    const bool array = line[line.find_first_not_of(kWhitespace)] == '[';
    documents.push_back(array ? ids_of_array(line, vocab_size, place) : ids_of_words(line, vocab_size, place));
  }
  if (documents.empty()) refuse("{}: no token ids in it", origin);
  return documents;
}

}  // namespace bitloom
