#include "eval/arithmetic/problem/number_format.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom::arithmetic {
namespace {

constexpr std::array<std::pair<const char*, char>, 5> kSeparators = {
    {{"comma", ','}, {"space", ' '}, {"dec", '.'}, {"hashtag", '#'}, {"dollar", '$'}}};

std::vector<NumberFormat> all_formats() {
  std::vector<NumberFormat> out = {{}};
  for (const auto& [name, separator] : kSeparators) {
    out.push_back({std::string(name) + "_r2l", separator, true});
    out.push_back({std::string(name) + "_l2r", separator, false});
  }
  return out;
}

}  // namespace

std::vector<std::string> number_format_names() {
  std::vector<std::string> names;
  for (const NumberFormat& format : all_formats()) names.push_back(format.name);
  return names;
}

NumberFormat parse_number_format(const std::string& name, const std::string& flag) {
  for (const NumberFormat& format : all_formats())
    if (format.name == name) return format;
  const std::vector<std::string> names = number_format_names();
  misuse("{}: no number format \"{}\"{}; there are {}", flag, name, did_you_mean(name, names), fmt::join(names, ", "));
}

std::vector<std::string> chunks_of(std::string_view digits, const NumberFormat& format) {
  if (format.separator == 0) return {std::string(digits)};
  std::vector<std::string> chunks;
  const size_t head = format.from_right ? digits.size() % kChunkDigits : 0;
  if (head > 0) chunks.emplace_back(digits.substr(0, head));
  for (size_t at = head; at < digits.size(); at += kChunkDigits) chunks.emplace_back(digits.substr(at, kChunkDigits));
  return chunks;
}

std::string format_digits(std::string_view digits, const NumberFormat& format) {
  return fmt::format("{}", fmt::join(chunks_of(digits, format), std::string_view(&format.separator, 1)));
}

std::string format_number(int64_t number, const NumberFormat& format) {
  return format_digits(std::to_string(number), format);
}

bool is_separator(char c) {
  return std::any_of(kSeparators.begin(), kSeparators.end(), [c](const auto& entry) { return entry.second == c; });
}

}  // namespace bitloom::arithmetic
