#include "eval/arithmetic/problem/condition.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom::arithmetic {
namespace {

constexpr const char* kFlag = "--formats";

std::string equation(const Exercise& exercise, const NumberFormat& format, int spaces) {
  const std::string gap(static_cast<size_t>(spaces), ' ');
  return fmt::format("{0}{1}{2}{1}{3}{1}={1}", format_number(exercise.first, format), gap,
                     static_cast<char>(exercise.operation), format_number(exercise.second, format));
}

}  // namespace

Condition parse_condition(const std::string& text) {
  Condition condition;
  condition.name = text;
  for (const int spaces : {1, 2}) {
    if (text != fmt::format("nosep+{}", spaces)) continue;
    condition.spaces = spaces;
    return condition;
  }
  const std::vector<std::string> parts = split(text, '>');
  if (parts.size() > 3) misuse("{}: \"{}\" has more than three parts: QUERY>REPEAT>ANSWER", kFlag, text);
  condition.query = parse_number_format(parts.front(), kFlag);
  condition.answer = parse_number_format(parts.back(), kFlag);
  if (parts.size() == 3) condition.repeat = parse_number_format(parts[1], kFlag);
  return condition;
}

std::string question_of(const Exercise& exercise, const Condition& condition) {
  return equation(exercise, condition.query, condition.spaces);
}

std::string reply_of(const Exercise& exercise, const Condition& condition) {
  const std::string answer = format_number(exercise.answer, condition.answer);
  return condition.repeat ? equation(exercise, *condition.repeat, 0) + answer : answer;
}

}  // namespace bitloom::arithmetic
