#pragma once
// Problems from a file with the columns of the paper's published results.

#include <string>

#include "eval/arithmetic/problem/problems.h"

namespace bitloom::arithmetic {

/// Distinct pairs `num1`, `num2` in order of appearance, each with the longest list that any of its rows has in `shots`
/// ("a+b=c,a+b=c"; the column may be absent); other columns are not looked at. In the published files a prompt of fewer
/// shots has other ones; a run with fewer takes the first of the longest list. `limit` 0: all problems.
/// Error(kRefused) naming file, line, column and value; numbers have 1 to kMaxDigits digits, no leading zero, and c is
/// a + b.
ProblemSet read_problem_file(const std::string& path, int64_t limit = 0);

}  // namespace bitloom::arithmetic
