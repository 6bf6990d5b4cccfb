#pragma once
// What is asked: pairs of addends of given lengths, and the shots that go with them.
//
// eval/arithmetic as a whole. Goals: the study of "Tokenization counts" (Singh and Strouse, arXiv 2402.14903) for any
// model that gives logits: problems of controlled lengths, numbers written in formats that force a tokenizer's cuts, a
// look at the tokenizer first, and metrics that say how an answer is wrong, not only that it is. Original and quantized
// are compared on the same problems. Non-goals: other tasks (eval/tasks), loading models, printing.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace bitloom::arithmetic {

/// kSubtract and kMultiply are ours; the paper adds only.
enum class Operation : char { kAdd = '+', kSubtract = '-', kMultiply = '*' };

/// Error(kUsage) naming the allowed ones.
Operation parse_operation(const std::string& text);

struct Addends {
  int64_t first = 0, second = 0;
  bool operator==(const Addends&) const = default;
};

/// first OP second = answer, all non-negative.
struct Exercise {
  Operation operation = Operation::kAdd;
  int64_t first = 0, second = 0, answer = 0;
  bool operator==(const Exercise&) const = default;
};

/// '+': x + y = z. '-': the addition read backwards, z - y = x, so that it keeps its lengths and borrows where the
/// addition carries. '*': x * y of the same factors; its length is what comes out.
Exercise exercise_of(const Addends& addends, Operation operation);

int digits_of(int64_t number);

/// Lengths in digits of both addends and of their sum; answer 0: whatever it is.
struct Signature {
  int first = 0, second = 0, answer = 0;
  bool operator==(const Signature&) const = default;
};

/// G1: the ordered pairs of lengths low..high, answer free: (7,7), (7,8), (7,9), (8,7) ... for 7..9.
std::vector<Signature> addend_signatures(int low, int high);
/// G2: pairs with an answer as long as the longer addend or one digit longer, at most `high` digits. 13 for 7..9, in
/// the paper's order: (7,7,7) (7,7,8) (8,7,8) (7,8,8) (8,7,9) (7,8,9) (8,8,8) ...
std::vector<Signature> full_signatures(int low, int high);

/// Addends of a signature, uniform in its ranges. With the answer free each addend is uniform in [10^(l-1), 10^l).
/// Else, with the shorter addend S of ls digits (the second when both are as long), ll digits of the longer, la of the
/// answer A (paper's generator):
///   S in [10^(ls-1), min(10^ls, 10^la - 10^(ll-1)))
///   A in [max(10^(la-1), S + 10^(ll-1)), min(10^ll + S, 10^la)),   the longer = A - S.
Addends draw_addends(const Signature& signature, Rng& rng);

struct Problem {
  int64_t index = 0;
  Addends query;
  std::vector<Addends> shots;  // the first k serve a prompt of k shots
};

struct ProblemSet {
  std::string description;  // "G2, 7 to 9 digits, seed 0, 1300 problems"
  std::vector<Problem> problems;
};

/// "7-9" -> {7, 9}, "2" -> {2, 2}. Error(kUsage) naming `flag` for anything else.
std::pair<int, int> parse_lengths(const std::string& text, const std::string& flag);

struct GeneratorOptions {
  bool full = false;  // G2, else G1
  int low = 7, high = 9;
  int64_t count = 0;  // 0: 10 for each pair of G1, 100 for each signature of G2
  int max_shots = 8;
  uint64_t seed = 0;
};

/// Problem i has the signature i modulo their number, and so have its shots. A problem is a function of (seed, i), its
/// j-th shot of (seed, i, j). A shot never repeats its problem (which matters for numbers of one or two digits).
/// Error(kUsage) for lengths outside 1..kMaxDigits.
ProblemSet generate_problems(const GeneratorOptions& options);

/// Addends stay so short that a sum fits 18 digits; products need half of that.
inline constexpr int kMaxDigits = 17;
inline constexpr int kMaxFactorDigits = 9;

}  // namespace bitloom::arithmetic
