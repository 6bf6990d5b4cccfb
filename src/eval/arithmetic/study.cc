#include "eval/arithmetic/study.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "eval/arithmetic/tokens/drafted_source.h"
#include "eval/arithmetic/tokens/pieces.h"
#include "eval/greedy.h"
#include "eval/scoring.h"

namespace bitloom::arithmetic {
namespace {

/// Problems whose tokens are looked at before a condition is believed.
constexpr size_t kCheckedProblems = 200;

struct Cell {
  Operation operation;
  const Condition* condition;
  int shots;
};

std::vector<int> digit_counts(std::span<const DigitToken> tokens) {
  std::vector<int> out;
  for (const DigitToken& token : tokens) out.push_back(token.digits);
  return out;
}

/// Digits of each token of a number at [begin, begin + length) of the question.
std::vector<int> operand_chunks(std::span<const std::string> pieces, size_t begin, size_t length) {
  return digit_counts(digit_tokens(pieces, begin, begin + length));
}

/// Whether two pieces have digits at the same places.
bool same_shape(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return is_digit(x) == is_digit(y); });
}

class Asker {
 public:
  Asker(LogitsSource& model, const Prompter& prompter, const StudyOptions& options)
      : model_(model), prompter_(prompter), options_(options) {}

  Row ask(const Cell& cell, const Problem& problem) {
    Row row;
    row.exercise = exercise_of(problem.query, cell.operation);
    row.problem = problem.index;
    row.condition = cell.condition->name;
    row.shots = cell.shots;
    row.chat = prompter_.is_chat();
    std::vector<Exercise> shots;
    shots.reserve(static_cast<size_t>(cell.shots));
    for (int i = 0; i < cell.shots; ++i)
      shots.push_back(exercise_of(problem.shots[static_cast<size_t>(i)], cell.operation));
    const Prompt prompt = prompter_.make(*cell.condition, row.exercise, shots);
    row.prompt_tokens = std::ssize(prompt.ids);
    generate(prompt, row);
    score(*cell.condition, prompt, row);
    return row;
  }

 private:
  void generate(const Prompt& prompt, Row& row) {
    const std::vector<int32_t> expected = prompt.reply_ids.value_or(std::vector<int32_t>());
    GreedyOptions greedy_options;
    greedy_options.max_tokens = std::ssize(expected) + kExtraReplyTokens;
    greedy_options.end_ids = options_.end_ids;
    greedy_options.stops = {"\n"};
    steps_.clear();
    model_.expect(expected);
    const GreedyResult result = greedy(
        model_, prompter_.tokenizer(), prompt.ids, greedy_options, [&](int32_t id, std::span<const float> logits) {
          const size_t at = steps_.size();
          const bool known = at < expected.size();
          steps_.push_back(step_stats(logits, id, known ? std::optional<int32_t>(expected[at]) : std::nullopt));
        });
    row.reply = result.text;
    row.stop = result.stop;
    ids_ = result.ids;
  }

  void score(const Condition& condition, const Prompt& prompt, Row& row) {
    const std::vector<std::string> pieces = pieces_of(prompter_.tokenizer(), ids_, prompt.ids);
    row.answer = read_answer(row.reply, condition.repeat.has_value());
    const std::vector<DigitToken> tokens = digit_tokens(pieces, row.answer.begin, row.answer.end);
    row.chunks = digit_counts(tokens);
    row.metrics = row_metrics(row.exercise, condition, row.answer, chunks_of_row(condition, row));
    if (row.answer.valid) keep_tokens(prompt, pieces, tokens, row);
  }

  RowChunks chunks_of_row(const Condition& condition, const Row& row) const {
    const std::string question = question_of(row.exercise, condition);
    const size_t second = question.find(static_cast<char>(row.exercise.operation)) + 1;
    // The line as the tokenizer sees it in a prompt begins after a line break or a template's token.
    const std::vector<std::string> pieces = pieces_of_text(prompter_.tokenizer(), question);
    return {row.chunks, operand_chunks(pieces, 0, second), operand_chunks(pieces, second, question.size())};
  }

  /// True tokens are known where the reply so far is cut as the right one is, piece by piece.
  void keep_tokens(const Prompt& prompt, std::span<const std::string> pieces, std::span<const DigitToken> tokens,
                   Row& row) const {
    const std::vector<int32_t> expected = prompt.reply_ids.value_or(std::vector<int32_t>());
    const std::vector<std::string> right = pieces_of(prompter_.tokenizer(), expected, prompt.ids);
    size_t alike = 0;
    while (alike < pieces.size() && alike < right.size() && same_shape(pieces[alike], right[alike])) ++alike;
    for (const DigitToken& token : tokens) {
      AnswerToken kept{ids_[token.piece], pieces[token.piece], steps_[token.piece], {}};
      if (token.piece >= alike) {
        kept.stats.true_rank.reset();
        kept.stats.true_logprob.reset();
      } else if (row.metrics.right_length) {
        kept.ranks = ranks_of(kept.text, right[token.piece]);
      }
      row.tokens.push_back(std::move(kept));
    }
  }

  FrequencyRanks ranks_of(const std::string& chosen, const std::string& truth) const {
    const bool digits =
        std::all_of(chosen.begin(), chosen.end(), is_digit) && std::all_of(truth.begin(), truth.end(), is_digit);
    return digits ? frequency_ranks(prompter_.tokenizer(), chosen, truth) : FrequencyRanks{};
  }

  DraftedSource model_;
  const Prompter& prompter_;
  const StudyOptions& options_;
  std::vector<StepStats> steps_;  // of the last reply, one for each of ids_
  std::vector<int32_t> ids_;
};

void check_problems(const ProblemSet& set, const StudyOptions& options) {
  if (set.problems.empty()) misuse("{}: there are no problems", set.description);
  const int most = *std::max_element(options.shots.begin(), options.shots.end());
  const bool multiplies = std::count(options.operations.begin(), options.operations.end(), Operation::kMultiply) > 0;
  for (const Problem& problem : set.problems) {
    if (std::ssize(problem.shots) < most)
      misuse("--shots {}: {} + {} of {} has {}", most, problem.query.first, problem.query.second, set.description,
             problem.shots.size());
    const int digits = std::max(digits_of(problem.query.first), digits_of(problem.query.second));
    if (multiplies && digits > kMaxFactorDigits)
      misuse("--ops *: factors have at most {} digits, {} has {}", kMaxFactorDigits, set.description, digits);
  }
}

std::vector<Exercise> checked_exercises(const ProblemSet& set, Operation operation) {
  std::vector<Exercise> out;
  for (size_t i = 0; i < std::min(kCheckedProblems, set.problems.size()); ++i)
    out.push_back(exercise_of(set.problems[i].query, operation));
  return out;
}

/// The cells to run; what does not hold goes to study.refused.
std::vector<Cell> plan(const Prompter& prompter, const ProblemSet& set, const StudyOptions& options, Study& study) {
  std::vector<Cell> cells;
  for (const Operation operation : options.operations) {
    const std::vector<Exercise> exercises = checked_exercises(set, operation);
    for (const Condition& condition : options.conditions) {
      if (auto refusal = check_condition(prompter, condition, exercises)) {
        study.refused.push_back({operation, std::move(*refusal)});
        continue;
      }
      for (const int shots : options.shots) cells.push_back({operation, &condition, shots});
    }
  }
  if (!cells.empty()) return cells;
  std::string reasons;
  for (const auto& [operation, refusal] : study.refused)
    reasons += fmt::format("{} {} ({}): {}: {}", reasons.empty() ? "" : ";", refusal.condition,
                           static_cast<char>(operation), refusal.reason, refusal.example);
  refuse("this tokenizer carries none of the formats:{}", reasons);
}

}  // namespace

Study run_study(LogitsSource& model, const Prompter& prompter, const ProblemSet& set, const StudyOptions& options,
                Context& context) {
  const Stopwatch watch;
  check_problems(set, options);
  Study study;
  study.probe = probe_tokenizer(prompter.tokenizer(), options.seed);
  const std::vector<Cell> cells = plan(prompter, set, options, study);
  int64_t total = 0;
  for (const Cell& cell : cells) total += (cell.shots + 2) * std::ssize(set.problems);
  Asker asker(model, prompter, options);
  context.progress.begin("arithmetic", total);
  for (const Cell& cell : cells) {
    for (const Problem& problem : set.problems) {
      study.rows.push_back(asker.ask(cell, problem));
      context.progress.advance(cell.shots + 2, fmt::format("{}, {} shots", cell.condition->name, cell.shots));
    }
  }
  context.progress.end();
  study.seconds = watch.seconds();
  return study;
}

}  // namespace bitloom::arithmetic
