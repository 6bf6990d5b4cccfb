#pragma once
// The experiment: every problem, asked in every condition with every number of shots, answered greedily and scored.

#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/arithmetic/row_metrics.h"
#include "eval/arithmetic/tokens/probe.h"
#include "eval/arithmetic/tokens/token_stats.h"
#include "eval/logits/logits_source.h"

namespace bitloom::arithmetic {

/// A token that holds digits of the answer.
struct AnswerToken {
  int32_t id = 0;
  std::string text;
  StepStats stats;
  FrequencyRanks ranks;  // where the answer has the right length and the true answer is cut the same way
};

struct Row {
  Exercise exercise;
  int64_t problem = 0;  // its index in the set
  std::string condition;
  int shots = 0;
  bool chat = false;  // asked in messages, else in lines
  int64_t prompt_tokens = 0;
  std::string reply, stop;
  Answer answer;
  RowMetrics metrics;
  std::vector<int> chunks;          // digits of each of `tokens`
  std::vector<AnswerToken> tokens;  // none for an invalid answer
};

struct StudyOptions {
  std::vector<Condition> conditions;
  std::vector<int> shots = {8};
  std::vector<Operation> operations = {Operation::kAdd};
  std::vector<int32_t> end_ids;  // tokens that end a reply; a line break does too
  uint64_t seed = 0;             // of the probe
};

/// A condition that this tokenizer cannot carry for this operation; it has no rows.
struct RefusedCondition {
  Operation operation = Operation::kAdd;
  Refusal refusal;
};

struct Study {
  TokenizerProbe probe;
  std::vector<RefusedCondition> refused;
  std::vector<Row> rows;  // by operation, condition, shots, problem
  double seconds = 0;
};

/// Tokens that a reply may have beyond a right one's: 20 in all for a nine-digit answer in threes, as in the paper, and
/// 45 for a repeated question in single digits.
inline constexpr int64_t kExtraReplyTokens = 16;

/// Probes first; a condition that does not hold is refused by name. Error(kRefused) with all reasons when none holds;
/// Error(kUsage) when a problem has fewer shots than asked for or factors are longer than kMaxFactorDigits. Rows are a
/// function of the model and the arguments alone.
Study run_study(LogitsSource& model, const Prompter& prompter, const ProblemSet& set, const StudyOptions& options,
                Context& context);

}  // namespace bitloom::arithmetic
