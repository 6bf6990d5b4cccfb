#pragma once
// How one answer is wrong: by digit, by token, and against the ways in which additions are known to go wrong.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/arithmetic/answer.h"
#include "eval/arithmetic/problem/condition.h"

namespace bitloom::arithmetic {

/// One name for every answer, the first that fits in this order, so that counts of kinds add up to the rows.
enum class AnswerKind {
  kCorrect,
  kInvalid,        // no number, or several
  kOffByOneAtEnd,  // off by a power of ten, at the last digit of a chunk before another: a carry between tokens
  kOffByOne,       // off by another power of ten
  kLeftAligned,    // the shorter addend was padded with zeros on the right
  kChunkwise,      // chunks were added without carries between them
  kDroppedDigit,   // the answer without one digit of one operand
  kWrongLength,
  kOneDigit,  // one wrong digit
  kSeveralDigits,
};
inline constexpr int kAnswerKinds = 10;
std::string to_string(AnswerKind kind);
std::optional<AnswerKind> parse_answer_kind(const std::string& name);

struct RowMetrics {
  bool valid = false, correct = false;
  bool format_match = false;  // written as the answer's format writes this number, right or wrong
  bool right_length = false;  // as many digits as the true answer; the errors by digit and token need it
  std::optional<int> carries, longest_carry_chain;  // of the problem: columns that carry, consecutive ones; not of "*"
  std::optional<bool> length_match;                 // the sum is as long as its longer addend; not of "*"
  std::vector<int> digit_errors;                    // |digit - true digit| from the left
  std::vector<bool> token_errors;                   // by the chunks of the answer
  std::optional<int64_t> error;                     // |answer - truth|; none when the answer is longer than 18 digits
  std::optional<int> off_by_one_power;              // p when |error| = 10^p
  bool off_by_one_at_chunk_end = false;
  bool dropped_digit = false, left_aligned = false, chunkwise_left = false, chunkwise_right = false;
  AnswerKind kind = AnswerKind::kInvalid;
};

/// Digits of each token, as the tokenizer really cut: of the answer as it was written, and of both operands in the
/// question. Empty where unknown: then what rests on them is not found.
struct RowChunks {
  std::vector<int> answer, first, second;
};

RowMetrics row_metrics(const Exercise& exercise, const Condition& condition, const Answer& answer,
                       const RowChunks& chunks);

/// Columns of x + y that carry, and the longest run of them, over the columns of the longer addend.
struct Carries {
  int count = 0, longest_chain = 0;
};
Carries carries_of(int64_t x, int64_t y);

/// x + y chunk by chunk without carries between chunks, the sums written side by side (the first one bare, the others
/// at least as wide as their chunk), the shorter list of chunks filled with zeros on its right (`left` aligned) or
/// left.
/// "" without chunks.
std::string chunkwise_sum(const std::string& x, std::span<const int> x_chunks, const std::string& y,
                          std::span<const int> y_chunks, bool left_aligned);

}  // namespace bitloom::arithmetic
