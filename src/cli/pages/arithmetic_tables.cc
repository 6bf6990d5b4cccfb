#include "cli/pages/arithmetic_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/numbers.h"

namespace bitloom {
namespace {

using namespace arithmetic;

std::string count(int64_t value) { return fmt::format("{}", value); }

std::string share(int64_t part, int64_t whole) {
  return whole == 0 ? "-" : format_percent(static_cast<double>(part) / static_cast<double>(whole));
}

std::string accuracy(const Tally& tally) { return share(tally.correct, tally.valid); }

std::string part_of(int64_t part, int64_t whole) { return whole == 0 ? "-" : fmt::format("{}/{}", part, whole); }

std::string interval(const Tally& tally) {
  if (tally.valid == 0) return "-";
  const Interval i = tally.interval();
  return fmt::format("{:.1f} to {:.1f}", 100 * i.low, 100 * i.high);
}

std::string name_of(const CellSummary& cell) { return cell_name(cell.operation, cell.condition, cell.shots); }

TitledTable probe_table(const TokenizerProbe& probe) {
  TitledTable out{fmt::format("How the tokenizer cuts digits: {}", to_string(probe.cut)),
                  "Random numbers of two to nine digits, by what stands beside them.",
                  Table({{"place", Align::kLeft},
                         {"cut", Align::kLeft},
                         {"single"},
                         {"3 from left"},
                         {"3 from right"},
                         {"irregular"},
                         {"merged"},
                         {"example", Align::kLeft}})};
  for (const CutCount& place : probe.places)
    out.table.add({place.place, to_string(place.cut), count(place.single), count(place.left), count(place.right),
                   count(place.irregular), count(place.merged), place.example});
  return out;
}

TitledTable refused_table(const Study& study) {
  TitledTable out{"Refused conditions", "This tokenizer does not carry them, so nothing was measured.",
                  Table({{"format", Align::kLeft}, {"op"}, {"reason", Align::kLeft}, {"tokens", Align::kLeft}})};
  for (const auto& [operation, refusal] : study.refused)
    out.table.add({refusal.condition, {static_cast<char>(operation)}, refusal.reason, refusal.example});
  return out;
}

TitledTable accuracy_table(std::span<const CellSummary> cells) {
  TitledTable out{"Accuracy",
                  "Of the valid answers, with Wilson's 95 % interval. Length match: the sum is as long as its longer "
                  "addend. Off by one: by a power of ten; at the end: at the last digit of a token that another "
                  "follows, where a carry between tokens is missed or made up.",
                  Table({{"format", Align::kLeft},
                         {"rows"},
                         {"invalid"},
                         {"accuracy"},
                         {"95 %"},
                         {"format kept"},
                         {"length match"},
                         {"mismatch"},
                         {"off by one/wrong"},
                         {"at the end"}})};
  for (const CellSummary& cell : cells) {
    const Tally& all = cell.all.tally;
    out.table.add({name_of(cell), count(all.rows), count(all.rows - all.valid), accuracy(all), interval(all),
                   share(all.format_match, all.valid), accuracy(cell.match.tally), accuracy(cell.mismatch.tally),
                   part_of(cell.all.off_by_one, all.valid - all.correct),
                   part_of(cell.all.off_by_one_at_chunk_end, cell.all.off_by_one)});
  }
  return out;
}

/// Kinds that any of the counts has.
std::vector<int> kinds_seen(std::span<const std::array<int64_t, kAnswerKinds>> counts) {
  std::vector<int> seen;
  for (int kind = 0; kind < kAnswerKinds; ++kind)
    if (std::any_of(counts.begin(), counts.end(), [&](const auto& c) { return c[static_cast<size_t>(kind)] > 0; }))
      seen.push_back(kind);
  return seen;
}

TitledTable kinds_table(std::span<const CellSummary> cells) {
  std::vector<std::array<int64_t, kAnswerKinds>> counts;
  std::vector<Column> columns = {{"answers", Align::kLeft}};
  for (const CellSummary& cell : cells) {
    counts.push_back(cell.kinds);
    columns.push_back({name_of(cell)});
  }
  TitledTable out{"Kinds of answers", "Each answer counts once, for the first kind that fits.", Table(columns)};
  for (const int kind : kinds_seen(counts)) {
    std::vector<std::string> line = {to_string(static_cast<AnswerKind>(kind))};
    for (const auto& of_cell : counts) line.push_back(count(of_cell[static_cast<size_t>(kind)]));
    out.table.add(line);
  }
  return out;
}

TitledTable signature_table(std::span<const CellSummary> cells) {
  std::vector<Column> columns = {{"digits", Align::kLeft}, {"rows"}};
  std::map<std::array<int, 3>, int64_t> signatures;
  for (const CellSummary& cell : cells) {
    columns.push_back({name_of(cell)});
    for (const auto& [signature, tally] : cell.by_signature)
      signatures[signature] = std::max(signatures[signature], tally.rows);
  }
  TitledTable out{"Accuracy by lengths", "Digits of both operands and of the answer.", Table(columns)};
  for (const auto& [signature, rows] : signatures) {
    std::vector<std::string> line = {fmt::format("{} {} {}", signature[0], signature[1], signature[2]), count(rows)};
    for (const CellSummary& cell : cells) {
      const auto at = cell.by_signature.find(signature);
      line.push_back(at == cell.by_signature.end() ? "-" : accuracy(at->second));
    }
    out.table.add(line);
  }
  return out;
}

size_t most_digits(std::span<const CellSummary> cells) {
  size_t most = 0;
  for (const CellSummary& cell : cells) most = std::max(most, cell.all.digits.size());
  return most;
}

TitledTable digit_table(std::span<const CellSummary> cells) {
  std::vector<Column> columns = {{"wrong at digit", Align::kLeft}};
  for (size_t digit = 1; digit <= most_digits(cells); ++digit) columns.push_back({fmt::format("{}", digit)});
  TitledTable out{"Errors by digit", "From the left, over answers of the right length.", Table(columns)};
  for (const CellSummary& cell : cells) {
    if (cell.all.digits.empty()) continue;
    std::vector<std::string> line = {name_of(cell)};
    for (const DigitErrors& digit : cell.all.digits) line.push_back(share(digit.wrong, digit.rows));
    out.table.add(line);
  }
  return out;
}

TitledTable size_table(std::span<const CellSummary> cells) {
  std::vector<Column> columns = {{"worst digit", Align::kLeft}, {"digit"}};
  for (int size = 1; size <= 9; ++size) columns.push_back({fmt::format("{}", size)});
  TitledTable out{"|error| at the digit that is wrong most often", "Answers by the size of the error.", Table(columns)};
  for (const CellSummary& cell : cells) {
    const auto& digits = cell.all.digits;
    const auto worst = std::max_element(digits.begin(), digits.end(),
                                        [](const DigitErrors& a, const DigitErrors& b) { return a.wrong < b.wrong; });
    if (worst == digits.end() || worst->wrong == 0) continue;
    std::vector<std::string> line = {name_of(cell), fmt::format("{}", worst - digits.begin() + 1)};
    for (const int64_t size : worst->sizes) line.push_back(count(size));
    out.table.add(line);
  }
  return out;
}

TitledTable token_table(std::span<const CellSummary> cells) {
  TitledTable out{"Answer tokens",
                  "Means in nats: entropy over the whole vocabulary, its lower bound from five log-probabilities (the "
                  "paper's), log-probability of the chosen token, and its lead over the second. More frequent: wrong "
                  "tokens with a lower id than the right one's.",
                  Table({{"token", Align::kLeft},
                         {"rows"},
                         {"wrong"},
                         {"entropy"},
                         {"bound"},
                         {"log p"},
                         {"lead"},
                         {"more frequent"}})};
  for (const CellSummary& cell : cells)
    for (size_t i = 0; i < cell.all.tokens.size(); ++i) {
      const TokenSummary& token = cell.all.tokens[i];
      out.table.add({fmt::format("{}, token {}", name_of(cell), i + 1), count(token.rows), count(token.wrong),
                     fmt::format("{:.3f}", token.entropy), fmt::format("{:.3f}", token.entropy_bound),
                     fmt::format("{:.3f}", token.logprob), fmt::format("{:.2f}", token.gap),
                     part_of(token.more_frequent, token.more_frequent + token.less_frequent)});
    }
  return out;
}

TitledTable paired_table(std::span<const PairedCell> paired) {
  TitledTable out{"Against the reference, on the same problems",
                  "Difference of accuracies (an invalid answer is wrong) with its 95 % interval; p of McNemar's exact "
                  "test.",
                  Table({{"format", Align::kLeft},
                         {"rows"},
                         {"reference"},
                         {"model"},
                         {"difference"},
                         {"95 %"},
                         {"lost"},
                         {"won"},
                         {"p"}})};
  for (const PairedCell& cell : paired) {
    const McNemar& answers = cell.answers;
    const int64_t rows = cell.difference.items;
    out.table.add({cell_name(cell.operation, cell.condition, cell.shots), count(rows),
                   share(answers.both + answers.only_reference, rows), share(answers.both + answers.only_model, rows),
                   fmt::format("{:+.1f} %", 100 * cell.difference.mean),
                   fmt::format("{:+.1f} to {:+.1f}", 100 * cell.difference.low, 100 * cell.difference.high),
                   count(answers.only_reference), count(answers.only_model), format_significant(answers.p_value, 2)});
  }
  return out;
}

TitledTable change_table(std::span<const PairedCell> paired) {
  std::vector<std::array<int64_t, kAnswerKinds>> counts;
  std::vector<Column> columns = {{"answers", Align::kLeft}};
  for (const PairedCell& cell : paired) {
    counts.push_back(cell.reference_kinds);
    counts.push_back(cell.model_kinds);
    columns.push_back({cell_name(cell.operation, cell.condition, cell.shots)});
  }
  TitledTable out{"Which answers became more", "Of the reference, of the model, and the change.", Table(columns)};
  for (const int kind : kinds_seen(counts)) {
    const auto at = static_cast<size_t>(kind);
    std::vector<std::string> line = {to_string(static_cast<AnswerKind>(kind))};
    for (const PairedCell& cell : paired)
      line.push_back(fmt::format("{} {} {:+}", cell.reference_kinds[at], cell.model_kinds[at],
                                 cell.model_kinds[at] - cell.reference_kinds[at]));
    out.table.add(line);
  }
  return out;
}

}  // namespace

std::string cell_name(Operation operation, const std::string& condition, int shots) {
  const std::string which = operation == Operation::kAdd ? "" : fmt::format(" ({})", static_cast<char>(operation));
  return fmt::format("{}{}, {} shot{}", condition, which, shots, shots == 1 ? "" : "s");
}

std::vector<CellSummary> detailed_cells(std::span<const CellSummary> cells) {
  int most = 0;
  for (const CellSummary& cell : cells) most = std::max(most, cell.shots);
  std::vector<CellSummary> out;
  std::copy_if(cells.begin(), cells.end(), std::back_inserter(out),
               [most](const CellSummary& cell) { return cell.shots == most; });
  return out;
}

std::vector<const TitledTable*> ArithmeticTables::in_order() const {
  std::vector<const TitledTable*> out = {&probe,  &refused, &accuracy, &kinds,  &lengths,
                                         &digits, &sizes,   &tokens,   &paired, &changes};
  std::erase_if(out, [](const TitledTable* table) { return table->table.rows() == 0; });
  return out;
}

ArithmeticTables arithmetic_tables(const Study& study, std::span<const CellSummary> cells,
                                   std::span<const PairedCell> paired) {
  const std::vector<CellSummary> detailed = detailed_cells(cells);
  return {probe_table(study.probe),  refused_table(study),  accuracy_table(cells), kinds_table(detailed),
          signature_table(detailed), digit_table(detailed), size_table(detailed),  token_table(detailed),
          paired_table(paired),      change_table(paired)};
}

}  // namespace bitloom
