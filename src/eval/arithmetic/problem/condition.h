#pragma once
// One way of asking: how the question's numbers are written, how the answer's, and whether the question is repeated.

#include <optional>
#include <string>

#include "eval/arithmetic/problem/number_format.h"
#include "eval/arithmetic/problem/problems.h"

namespace bitloom::arithmetic {

struct Condition {
  std::string name;
  NumberFormat query, answer;
  std::optional<NumberFormat> repeat;  // the reply first repeats the question in this format
  int spaces = 0;                      // around the operation and "=", and after "="
};

/// "FORMAT" (question and answer alike), "QUERY>ANSWER", "QUERY>REPEAT>ANSWER", and the controls "nosep+1" and
/// "nosep+2", which put spaces into the question to give it as many tokens as separators do. Error(kUsage) with the
/// allowed formats.
Condition parse_condition(const std::string& text);

/// "A+B=", the user's turn. No other text; with spaces "A + B = ".
std::string question_of(const Exercise& exercise, const Condition& condition);
/// "C", or "A+B=C" where the question is repeated (without spaces): what a right reply says.
std::string reply_of(const Exercise& exercise, const Condition& condition);

}  // namespace bitloom::arithmetic
