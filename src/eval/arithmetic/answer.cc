#include "eval/arithmetic/answer.h"

#include <algorithm>

#include "base/text/text.h"
#include "eval/arithmetic/problem/number_format.h"
#include "eval/arithmetic/tokens/pieces.h"

namespace bitloom::arithmetic {
namespace {

constexpr size_t kMaxValueDigits = 18;  // 10^18 - 1 fits 63 bits

/// Where the number that begins at `at` ends: at its last digit before anything but separators.
size_t number_end(std::string_view text, size_t at) {
  size_t end = at;
  for (; at < text.size() && (is_digit(text[at]) || is_separator(text[at])); ++at)
    if (is_digit(text[at])) end = at + 1;
  return end;
}

std::string significant_digits(std::string_view written) {
  std::string digits;
  std::copy_if(written.begin(), written.end(), std::back_inserter(digits), is_digit);
  return digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

}  // namespace

Answer read_answer(std::string_view reply, bool repeats) {
  Answer answer;
  const size_t equals = repeats ? reply.rfind('=') : std::string_view::npos;
  const size_t from = equals == std::string_view::npos ? 0 : equals + 1;
  int numbers = 0;
  for (size_t at = from; at < reply.size(); ++at) {
    if (!is_digit(reply[at])) continue;
    const size_t end = number_end(reply, at);
    const bool negative = at > from && reply[at - 1] == '-';
    if (++numbers > 1 || negative) return {};
    answer.begin = at;
    answer.end = at = end;
  }
  if (numbers == 0) return {};
  answer.valid = true;
  answer.written = reply.substr(answer.begin, answer.end - answer.begin);
  answer.digits = significant_digits(answer.written);
  if (answer.digits.size() <= kMaxValueDigits) answer.value = parse_number<int64_t>(answer.digits);
  return answer;
}

}  // namespace bitloom::arithmetic
