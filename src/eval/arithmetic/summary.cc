#include "eval/arithmetic/summary.h"

#include <algorithm>
#include <cmath>

namespace bitloom::arithmetic {
namespace {

void add_tally(const RowMetrics& metrics, Tally& tally) {
  ++tally.rows;
  tally.valid += metrics.valid ? 1 : 0;
  tally.correct += metrics.correct ? 1 : 0;
  tally.format_match += metrics.format_match ? 1 : 0;
}

void add_digits(const RowMetrics& metrics, std::vector<DigitErrors>& digits) {
  if (digits.size() < metrics.digit_errors.size()) digits.resize(metrics.digit_errors.size());
  for (size_t i = 0; i < metrics.digit_errors.size(); ++i) {
    const int error = metrics.digit_errors[i];
    ++digits[i].rows;
    if (error == 0) continue;
    ++digits[i].wrong;
    ++digits[i].sizes[static_cast<size_t>(error - 1)];
  }
}

template <size_t N>
void count_rank(const std::optional<int>& rank, std::array<int64_t, N>& counts) {
  if (rank) ++counts[static_cast<size_t>(*rank - 1)];
}

/// Sums; finish() makes means of them.
void add_token(const AnswerToken& token, bool is_wrong, TokenSummary& out) {
  ++out.rows;
  out.entropy += token.stats.entropy;
  out.entropy_bound += token.stats.entropy_bound;
  out.logprob += token.stats.logprob;
  out.gap += token.stats.gap;
  if (!is_wrong) return;
  ++out.wrong;
  if (token.ranks.more_frequent) ++(*token.ranks.more_frequent ? out.more_frequent : out.less_frequent);
  count_rank(token.ranks.off_by_one, out.off_by_one_ranks);
  count_rank(token.ranks.first_digit, out.first_digit_ranks);
}

void add_row(const Row& row, GroupSummary& group) {
  add_tally(row.metrics, group.tally);
  group.off_by_one += row.metrics.off_by_one_power ? 1 : 0;
  group.off_by_one_at_chunk_end += row.metrics.off_by_one_at_chunk_end ? 1 : 0;
  add_digits(row.metrics, group.digits);
  if (group.tokens.size() < row.tokens.size()) group.tokens.resize(row.tokens.size());
  for (size_t i = 0; i < row.tokens.size(); ++i)
    add_token(row.tokens[i], i < row.metrics.token_errors.size() && row.metrics.token_errors[i], group.tokens[i]);
}

void finish(GroupSummary& group) {
  for (TokenSummary& token : group.tokens) {
    const auto rows = static_cast<double>(token.rows);
    for (double* sum : {&token.entropy, &token.entropy_bound, &token.logprob, &token.gap}) *sum /= rows;
  }
}

bool same_cell(const CellSummary& cell, const Row& row) {
  return cell.operation == row.exercise.operation && cell.condition == row.condition && cell.shots == row.shots;
}

}  // namespace

Interval wilson95(int64_t successes, int64_t trials) {
  if (trials == 0) return {};
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n;
  const double z2 = 1.959963984540054 * 1.959963984540054;
  const double centre = p + z2 / (2 * n), half = std::sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)));
  return {std::max(0.0, (centre - half) / (1 + z2 / n)), std::min(1.0, (centre + half) / (1 + z2 / n))};
}

std::vector<CellSummary> summarise(std::span<const Row> rows) {
  std::vector<CellSummary> cells;
  for (const Row& row : rows) {
    auto cell = std::find_if(cells.begin(), cells.end(), [&](const CellSummary& c) { return same_cell(c, row); });
    if (cell == cells.end()) {
      cells.emplace_back();
      cell = cells.end() - 1;
      cell->operation = row.exercise.operation;
      cell->condition = row.condition;
      cell->shots = row.shots;
    }
    add_row(row, cell->all);
    if (row.metrics.length_match) add_row(row, *row.metrics.length_match ? cell->match : cell->mismatch);
    const Exercise& e = row.exercise;
    add_tally(row.metrics, cell->by_signature[{digits_of(e.first), digits_of(e.second), digits_of(e.answer)}]);
    ++cell->kinds[static_cast<size_t>(row.metrics.kind)];
  }
  for (CellSummary& cell : cells)
    for (GroupSummary* group : {&cell.all, &cell.match, &cell.mismatch}) finish(*group);
  return cells;
}

}  // namespace bitloom::arithmetic
