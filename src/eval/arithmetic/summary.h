#pragma once
// What the rows of a study add up to: the figures of the paper, as counts.

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "eval/arithmetic/study.h"

namespace bitloom::arithmetic {

struct Interval {
  double low = 0, high = 1;
};
/// Wilson's 95 % interval of a share: with p = k/n, z = 1.96,
///   (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n).   [0, 1] for n = 0.
Interval wilson95(int64_t successes, int64_t trials);

struct Tally {
  int64_t rows = 0, valid = 0, correct = 0, format_match = 0;
  /// Of the valid answers, as in the paper; 0 when there are none.
  double accuracy() const { return valid == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(valid); }
  Interval interval() const { return wilson95(correct, valid); }
};

/// Errors at one digit, the first being the leftmost, over the rows whose answer has the right length.
struct DigitErrors {
  int64_t rows = 0, wrong = 0;
  std::array<int64_t, 9> sizes{};  // of |digit - true digit| = 1 .. 9
};

/// One token of the answer, the first being the leftmost, over the valid answers that have it.
struct TokenSummary {
  int64_t rows = 0;
  double entropy = 0, entropy_bound = 0, logprob = 0, gap = 0;  // means, nats
  int64_t wrong = 0;                                            // of the answers with the right length
  int64_t more_frequent = 0, less_frequent = 0;                 // wrong tokens, against the true one
  std::array<int64_t, 3> off_by_one_ranks{};                    // FrequencyRanks, 1 ..; wrong tokens only
  std::array<int64_t, 10> first_digit_ranks{};
};

struct GroupSummary {
  Tally tally;
  int64_t off_by_one = 0, off_by_one_at_chunk_end = 0;  // of the wrong valid answers
  std::vector<DigitErrors> digits;
  std::vector<TokenSummary> tokens;
};

/// One operation, condition and number of shots.
struct CellSummary {
  Operation operation = Operation::kAdd;
  std::string condition;
  int shots = 0;
  GroupSummary all;
  GroupSummary match, mismatch;                      // whether the sum is as long as its longer addend; empty for "*"
  std::map<std::array<int, 3>, Tally> by_signature;  // digits of both operands and the answer
  std::array<int64_t, kAnswerKinds> kinds{};
};

/// In the order of the rows.
std::vector<CellSummary> summarise(std::span<const Row> rows);

}  // namespace bitloom::arithmetic
