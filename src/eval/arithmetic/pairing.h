#pragma once
// Two models on the same problems: which answers were lost, which were won, and which errors became more.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/arithmetic/study.h"
#include "eval/statistics/paired.h"

namespace bitloom::arithmetic {

/// What pairing needs of a row.
struct Outcome {
  Exercise exercise;
  std::string condition;
  int shots = 0;
  bool chat = false;
  int64_t problem = 0;
  AnswerKind kind = AnswerKind::kInvalid;
  bool correct() const { return kind == AnswerKind::kCorrect; }
};
std::vector<Outcome> outcomes_of(std::span<const Row> rows);

struct PairedCell {
  Operation operation = Operation::kAdd;
  std::string condition;
  int shots = 0;
  McNemar answers;              // right answers; an invalid one is wrong
  PairedDifference difference;  // of the accuracies, the model's less the reference's
  std::array<int64_t, kAnswerKinds> reference_kinds{}, model_kinds{};
};

/// Cell by cell in the model's order. What the reference alone has is left out.
/// Error(kRefused) naming the first row of the model's that the reference lacks, or that asks another problem there,
/// or in another form (messages and lines are not compared);
/// `origin` is what the reference came from.
std::vector<PairedCell> pair_outcomes(std::span<const Outcome> reference, std::span<const Outcome> model,
                                      const std::string& origin);

}  // namespace bitloom::arithmetic
