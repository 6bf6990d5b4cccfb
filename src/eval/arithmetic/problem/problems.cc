#include "eval/arithmetic/problem/problems.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom::arithmetic {
namespace {

constexpr uint64_t kProblemStream = 0x6171'0000'0000'0000, kShotStream = 0x6172'0000'0000'0000;

int64_t power_of_ten(int exponent) {
  int64_t power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

/// Uniform in [low, high): draws above the largest multiple of the range are thrown away.
int64_t uniform_in(int64_t low, int64_t high, Rng& rng) {
  assert(low < high);
  const auto range = static_cast<uint64_t>(high - low);
  const uint64_t rest = (UINT64_MAX % range + 1) % range;
  uint64_t draw = 0;
  do {
    draw = (static_cast<uint64_t>(rng.next_u32()) << 32) | rng.next_u32();
  } while (draw > UINT64_MAX - rest);
  return low + static_cast<int64_t>(draw % range);
}

int64_t draw_of_length(int digits, Rng& rng) { return uniform_in(power_of_ten(digits - 1), power_of_ten(digits), rng); }

bool same_question(const Addends& a, const Addends& b) {
  return a == b || (a.first == b.second && a.second == b.first);
}

Problem make_problem(int64_t index, const Signature& signature, const GeneratorOptions& options) {
  Problem problem;
  problem.index = index;
  Rng rng(options.seed, kProblemStream + static_cast<uint64_t>(index));
  problem.query = draw_addends(signature, rng);
  Rng shot_rng(options.seed, kShotStream + static_cast<uint64_t>(index));
  while (std::ssize(problem.shots) < options.max_shots) {
    const Addends shot = draw_addends(signature, shot_rng);
    if (!same_question(shot, problem.query)) problem.shots.push_back(shot);
  }
  return problem;
}

}  // namespace

Operation parse_operation(const std::string& text) {
  for (const Operation operation : {Operation::kAdd, Operation::kSubtract, Operation::kMultiply})
    if (text.size() == 1 && text[0] == static_cast<char>(operation)) return operation;
  misuse("--ops: no operation \"{}\"; there are +, - and *", text);
}

Exercise exercise_of(const Addends& addends, Operation operation) {
  const auto [x, y] = addends;
  switch (operation) {
    case Operation::kSubtract:
      return {operation, x + y, y, x};
    case Operation::kMultiply:
      return {operation, x, y, x * y};
    case Operation::kAdd:
      break;
  }
  return {operation, x, y, x + y};
}

int digits_of(int64_t number) { return static_cast<int>(std::to_string(number).size()); }

std::vector<Signature> addend_signatures(int low, int high) {
  std::vector<Signature> out;
  for (int first = low; first <= high; ++first)
    for (int second = low; second <= high; ++second) out.push_back({first, second, 0});
  return out;
}

std::vector<Signature> full_signatures(int low, int high) {
  std::vector<Signature> out;
  for (int longer = low; longer <= high; ++longer)
    for (int shorter = low; shorter <= longer; ++shorter)
      for (int answer = longer; answer <= std::min(longer + 1, high); ++answer) {
        out.push_back({longer, shorter, answer});
        if (shorter != longer) out.push_back({shorter, longer, answer});
      }
  return out;
}

Addends draw_addends(const Signature& signature, Rng& rng) {
  if (signature.answer == 0) {
    const int64_t first = draw_of_length(signature.first, rng);
    return {first, draw_of_length(signature.second, rng)};
  }
  const bool first_is_shorter = signature.first < signature.second;
  const int longer = std::max(signature.first, signature.second), shorter = std::min(signature.first, signature.second);
  const int64_t longer_from = power_of_ten(longer - 1), answer_end = power_of_ten(signature.answer);
  const int64_t small =
      uniform_in(power_of_ten(shorter - 1), std::min(power_of_ten(shorter), answer_end - longer_from), rng);
  const int64_t answer = uniform_in(std::max(power_of_ten(signature.answer - 1), small + longer_from),
                                    std::min(power_of_ten(longer) + small, answer_end), rng);
  return first_is_shorter ? Addends{small, answer - small} : Addends{answer - small, small};
}

std::pair<int, int> parse_lengths(const std::string& text, const std::string& flag) {
  const std::vector<std::string> range = split(text, '-');
  const auto low = parse_number<int>(range.front()), high = parse_number<int>(range.back());
  if (range.size() > 2 || !low || !high) misuse("{} {}: a number of digits, or two as in 7-9", flag, text);
  return {*low, *high};
}

ProblemSet generate_problems(const GeneratorOptions& options) {
  if (options.low < 1 || options.high > kMaxDigits || options.low > options.high)
    misuse("--digits {}-{}: lengths lie between 1 and {}, the smaller first", options.low, options.high, kMaxDigits);
  const std::vector<Signature> signatures =
      options.full ? full_signatures(options.low, options.high) : addend_signatures(options.low, options.high);
  const int64_t per_signature = options.full ? 100 : 10;
  const int64_t count = options.count > 0 ? options.count : per_signature * std::ssize(signatures);
  ProblemSet set;
  for (int64_t i = 0; i < count; ++i)
    set.problems.push_back(make_problem(i, signatures[static_cast<size_t>(i % std::ssize(signatures))], options));
  set.description = fmt::format("{}, {} to {} digits, seed {}, {} problems", options.full ? "G2" : "G1", options.low,
                                options.high, options.seed, count);
  return set;
}

}  // namespace bitloom::arithmetic
