#include "eval/arithmetic/row_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/text/text.h"

namespace bitloom::arithmetic {
namespace {

constexpr std::array<const char*, kAnswerKinds> kNames = {"correct",
                                                          "invalid",
                                                          "off by one at a chunk's end",
                                                          "off by one elsewhere",
                                                          "left aligned",
                                                          "chunkwise",
                                                          "dropped digit",
                                                          "wrong length",
                                                          "one digit",
                                                          "several digits"};

std::optional<int> power_of_ten(int64_t number) {
  int power = 0;
  for (; number > 1 && number % 10 == 0; number /= 10) ++power;
  return number == 1 ? std::optional<int>(power) : std::nullopt;
}

/// The addition behind an exercise: x + y = z. Nothing for products.
std::optional<Addends> addition_of(const Exercise& exercise) {
  switch (exercise.operation) {
    case Operation::kAdd:
      return Addends{exercise.first, exercise.second};
    case Operation::kSubtract:
      return Addends{exercise.answer, exercise.second};
    case Operation::kMultiply:
      break;
  }
  return std::nullopt;
}

std::optional<int64_t> applied(Operation operation, int64_t first, int64_t second) {
  switch (operation) {
    case Operation::kSubtract:
      return first < second ? std::nullopt : std::optional<int64_t>(first - second);
    case Operation::kMultiply:
      return first * second;
    case Operation::kAdd:
      break;
  }
  return first + second;
}

/// Whether the answer is right for the operands with one digit of one of them left out (of at least two digits).
bool is_dropped_digit(const Exercise& exercise, int64_t answer) {
  const std::array<int64_t, 2> operands = {exercise.first, exercise.second};
  for (const int which : {0, 1}) {
    const std::string digits = std::to_string(operands[static_cast<size_t>(which)]);
    for (size_t i = 0; digits.size() > 1 && i < digits.size(); ++i) {
      std::array<int64_t, 2> changed = operands;
      changed[static_cast<size_t>(which)] = *parse_number<int64_t>(std::string(digits).erase(i, 1));
      if (applied(exercise.operation, changed[0], changed[1]) == answer) return true;
    }
  }
  return false;
}

bool is_left_aligned(const Exercise& exercise, int64_t answer) {
  int64_t first = exercise.first, second = exercise.second;
  if (exercise.operation != Operation::kAdd || digits_of(first) == digits_of(second)) return false;
  int64_t& shorter = digits_of(first) < digits_of(second) ? first : second;
  const int width = std::max(digits_of(first), digits_of(second));
  while (digits_of(shorter) < width) shorter *= 10;
  return first + second == answer;
}

std::vector<int> digit_errors(const std::string& answer, const std::string& truth) {
  std::vector<int> errors;
  for (size_t i = 0; i < answer.size(); ++i) errors.push_back(std::abs(answer[i] - truth[i]));
  return errors;
}

std::vector<bool> token_errors(std::span<const int> digit_errors, std::span<const int> chunks) {
  std::vector<bool> errors;
  size_t at = 0;
  for (const int digits : chunks) {
    const size_t end = std::min(at + static_cast<size_t>(digits), digit_errors.size());
    errors.push_back(std::any_of(digit_errors.begin() + static_cast<std::ptrdiff_t>(at),
                                 digit_errors.begin() + static_cast<std::ptrdiff_t>(end), [](int e) { return e > 0; }));
    at = end;
  }
  return errors;
}

/// Whether the digit worth 10^power is the last of a chunk that another one follows.
bool ends_chunk(int power, std::span<const int> chunks) {
  int below = 0;  // digits right of the end of the chunk
  for (size_t i = chunks.size(); i-- > 0; below += chunks[i])
    if (below == power) return power > 0;
  return false;
}

void compare(const Exercise& exercise, const Answer& answer, const RowChunks& chunks, RowMetrics& row) {
  const std::string truth = std::to_string(exercise.answer);
  row.right_length = answer.digits.size() == truth.size();
  if (row.right_length) {
    row.digit_errors = digit_errors(answer.digits, truth);
    // Leading zeros belong to no digit of the number, so a mask with them says nothing.
    int digits = 0;
    for (const int chunk : chunks.answer) digits += chunk;
    if (static_cast<size_t>(digits) == truth.size()) row.token_errors = token_errors(row.digit_errors, chunks.answer);
  }
  if (!answer.value) return;
  row.error = std::abs(*answer.value - exercise.answer);
  if (row.correct) return;
  row.off_by_one_power = power_of_ten(*row.error);
  row.off_by_one_at_chunk_end = row.off_by_one_power && ends_chunk(*row.off_by_one_power, chunks.answer);
  row.dropped_digit = is_dropped_digit(exercise, *answer.value);
  row.left_aligned = is_left_aligned(exercise, *answer.value);
  if (exercise.operation != Operation::kAdd) return;
  const std::string x = std::to_string(exercise.first), y = std::to_string(exercise.second);
  row.chunkwise_left = chunkwise_sum(x, chunks.first, y, chunks.second, true) == answer.digits;
  row.chunkwise_right = chunkwise_sum(x, chunks.first, y, chunks.second, false) == answer.digits;
}

AnswerKind kind_of(const RowMetrics& row) {
  if (!row.valid) return AnswerKind::kInvalid;
  if (row.correct) return AnswerKind::kCorrect;
  if (row.off_by_one_power) return row.off_by_one_at_chunk_end ? AnswerKind::kOffByOneAtEnd : AnswerKind::kOffByOne;
  if (row.left_aligned) return AnswerKind::kLeftAligned;
  if (row.chunkwise_left || row.chunkwise_right) return AnswerKind::kChunkwise;
  if (row.dropped_digit) return AnswerKind::kDroppedDigit;
  if (!row.right_length) return AnswerKind::kWrongLength;
  const auto wrong = std::count_if(row.digit_errors.begin(), row.digit_errors.end(), [](int e) { return e > 0; });
  return wrong == 1 ? AnswerKind::kOneDigit : AnswerKind::kSeveralDigits;
}

struct Chunk {
  int64_t value = 0;
  int digits = 0;
};

std::vector<Chunk> cut(const std::string& number, std::span<const int> chunks) {
  std::vector<Chunk> out;
  size_t at = 0;
  for (const int digits : chunks) {
    out.push_back({parse_number<int64_t>(number.substr(at, static_cast<size_t>(digits))).value_or(0), digits});
    at += static_cast<size_t>(digits);
  }
  return out;
}

}  // namespace

std::string to_string(AnswerKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::optional<AnswerKind> parse_answer_kind(const std::string& name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<AnswerKind>(at - kNames.begin());
}

Carries carries_of(int64_t x, int64_t y) {
  Carries out;
  int chain = 0;
  bool carry = false;
  for (; x > 0 || y > 0; x /= 10, y /= 10) {
    carry = x % 10 + y % 10 + (carry ? 1 : 0) >= 10;
    chain = carry ? chain + 1 : 0;
    out.count += carry ? 1 : 0;
    out.longest_chain = std::max(out.longest_chain, chain);
  }
  return out;
}

std::string chunkwise_sum(const std::string& x, std::span<const int> x_chunks, const std::string& y,
                          std::span<const int> y_chunks, bool left_aligned) {
  std::vector<Chunk> a = cut(x, x_chunks), b = cut(y, y_chunks);
  std::vector<Chunk>& shorter = a.size() < b.size() ? a : b;
  shorter.insert(left_aligned ? shorter.end() : shorter.begin(), std::max(a.size(), b.size()) - shorter.size(), {});
  std::string out;
  for (size_t i = 0; i < a.size(); ++i)
    out += fmt::format("{:0{}}", a[i].value + b[i].value, i == 0 ? 0 : std::max(a[i].digits, b[i].digits));
  return out;
}

RowMetrics row_metrics(const Exercise& exercise, const Condition& condition, const Answer& answer,
                       const RowChunks& chunks) {
  RowMetrics row;
  if (const auto addition = addition_of(exercise)) {
    const Carries carries = carries_of(addition->first, addition->second);
    row.carries = carries.count;
    row.longest_carry_chain = carries.longest_chain;
    const int64_t sum = addition->first + addition->second;
    row.length_match = digits_of(sum) == std::max(digits_of(addition->first), digits_of(addition->second));
  }
  row.valid = answer.valid;
  if (answer.valid) {
    row.correct = answer.value == exercise.answer;
    row.format_match = format_digits(answer.digits, condition.answer) == answer.written;
    compare(exercise, answer, chunks, row);
  }
  row.kind = kind_of(row);
  return row;
}

}  // namespace bitloom::arithmetic
