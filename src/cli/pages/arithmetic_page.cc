#include "cli/pages/arithmetic_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/pages/arithmetic_tables.h"

namespace bitloom {
namespace {

using namespace arithmetic;

double percent(int64_t part, int64_t whole) {
  return whole == 0 ? kUnknown : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

Estimate estimate_of(const Tally& tally) {
  if (tally.valid == 0) return {};
  const Interval interval = tally.interval();
  return {100 * tally.accuracy(), 100 * interval.low, 100 * interval.high};
}

Axis percent_axis(const std::string& title) { return {title, false, 0, 100}; }

std::string format_name(const CellSummary& cell) {
  return cell.operation == Operation::kAdd ? cell.condition
                                           : fmt::format("{} ({})", cell.condition, static_cast<char>(cell.operation));
}

PageBlock table_block(const TitledTable& table, bool folded = false) {
  return TableBlock{table.title, table.table, folded};
}

/// Accuracy over shots, a curve for each format; bars where there is one number of shots.
Plot accuracy_plot(std::span<const CellSummary> cells) {
  const Caption caption = {"Accuracy by format", "Right answers among the valid ones, with Wilson's 95 % intervals."};
  std::set<int> shots;
  for (const CellSummary& cell : cells) shots.insert(cell.shots);
  if (shots.size() > 1) {
    LinePlot plot{caption, {"shots"}, percent_axis("accuracy, %"), {}};
    std::map<std::string, size_t> curves;
    for (const CellSummary& cell : cells) {
      const auto [at, is_new] = curves.try_emplace(format_name(cell), plot.curves.size());
      if (is_new) plot.curves.push_back({format_name(cell), {}, {}});
      plot.curves[at->second].x.push_back(cell.shots);
      plot.curves[at->second].y.push_back(estimate_of(cell.all.tally));
    }
    return plot;
  }
  BarPlot plot{caption, "format", percent_axis("accuracy, %"), {}, {{"accuracy", {}}}};
  for (const CellSummary& cell : cells) {
    plot.categories.push_back(format_name(cell));
    plot.series[0].values.push_back(estimate_of(cell.all.tally));
  }
  return plot;
}

Plot length_plot(std::span<const CellSummary> cells) {
  BarPlot plot{{"Accuracy by lengths", "Digits of both operands and of the answer."},
               "digits",
               percent_axis("accuracy, %"),
               {},
               {}};
  std::set<std::array<int, 3>> signatures;
  for (const CellSummary& cell : cells)
    for (const auto& [signature, tally] : cell.by_signature) signatures.insert(signature);
  for (const auto& s : signatures) plot.categories.push_back(fmt::format("{} {} {}", s[0], s[1], s[2]));
  for (const CellSummary& cell : cells) {
    BarSeries& series = plot.series.emplace_back(BarSeries{format_name(cell), {}});
    for (const auto& signature : signatures) {
      const auto at = cell.by_signature.find(signature);
      series.values.push_back(at == cell.by_signature.end() ? Estimate() : estimate_of(at->second));
    }
  }
  return plot;
}

/// Bars of a figure at each place 1, 2, ... of the answer, a series for each format.
template <typename Places, typename Figure>
BarPlot place_plot(const Caption& caption, const std::string& category, const Axis& axis,
                   std::span<const CellSummary> cells, const Places& places, const Figure& figure) {
  BarPlot plot{caption, category, axis, {}, {}};
  size_t most = 0;
  for (const CellSummary& cell : cells) most = std::max(most, places(cell).size());
  for (size_t i = 1; i <= most; ++i) plot.categories.push_back(std::to_string(i));
  for (const CellSummary& cell : cells) {
    BarSeries& series = plot.series.emplace_back(BarSeries{format_name(cell), {}});
    for (size_t i = 0; i < most; ++i)
      series.values.push_back({i < places(cell).size() ? figure(places(cell)[i]) : kUnknown});
  }
  return plot;
}

Plot digit_plot(std::span<const CellSummary> cells) {
  return place_plot(
      {"Errors by digit", "Wrong digits from the left, among answers of the right length."}, "digit from the left",
      percent_axis("wrong, %"), cells, [](const CellSummary& cell) -> const auto& { return cell.all.digits; },
      [](const DigitErrors& digit) { return percent(digit.wrong, digit.rows); });
}

Plot entropy_plot(std::span<const CellSummary> cells) {
  return place_plot(
      {"Entropy by answer token", "Mean over the valid answers; high where the model does not know."},
      "token from the left", {"entropy, nats", false, 0, {}}, cells,
      [](const CellSummary& cell) -> const auto& { return cell.all.tokens; },
      [](const TokenSummary& token) { return token.entropy; });
}

/// Sizes of the errors at each format's worst digit.
Plot size_plot(std::span<const CellSummary> cells) {
  BarPlot plot{{"Size of the digit error", "|digit - right digit| at the digit that is wrong most often."},
               "|error|",
               {"answers", false, 0, {}},
               {"1", "2", "3", "4", "5", "6", "7", "8", "9"},
               {}};
  for (const CellSummary& cell : cells) {
    const auto& digits = cell.all.digits;
    const auto worst = std::max_element(digits.begin(), digits.end(),
                                        [](const DigitErrors& a, const DigitErrors& b) { return a.wrong < b.wrong; });
    if (worst == digits.end() || worst->wrong == 0) continue;
    BarSeries& series = plot.series.emplace_back(
        BarSeries{fmt::format("{}, digit {}", format_name(cell), worst - digits.begin() + 1), {}});
    for (const int64_t size : worst->sizes) series.values.push_back({static_cast<double>(size)});
  }
  return plot;
}

Plot off_by_one_plot(std::span<const CellSummary> cells) {
  BarPlot plot{{"Off by one",
                "Wrong answers that differ by a power of ten: all, and those at the last digit of a token "
                "that another follows."},
               "format",
               percent_axis("of the wrong answers, %"),
               {},
               {{"off by one", {}}, {"at a token's end", {}}}};
  for (const CellSummary& cell : cells) {
    const int64_t wrong = cell.all.tally.valid - cell.all.tally.correct;
    plot.categories.push_back(format_name(cell));
    plot.series[0].values.push_back({percent(cell.all.off_by_one, wrong)});
    plot.series[1].values.push_back({percent(cell.all.off_by_one_at_chunk_end, wrong)});
  }
  return plot;
}

bool has_errors(std::span<const CellSummary> cells) {
  return std::any_of(cells.begin(), cells.end(),
                     [](const CellSummary& cell) { return cell.all.tally.valid > cell.all.tally.correct; });
}

std::vector<Section> sections_of(const ArithmeticTables& tables, std::span<const CellSummary> cells) {
  const std::vector<CellSummary> detailed = detailed_cells(cells);
  std::vector<Section> sections;
  sections.push_back(
      {"Accuracy", {accuracy_plot(cells), Paragraph{tables.accuracy.note}, table_block(tables.accuracy)}});
  if (tables.paired.table.rows() > 0)
    sections.push_back({"Against the reference",
                        {Paragraph{tables.paired.note}, table_block(tables.paired), Paragraph{tables.changes.note},
                         table_block(tables.changes)}});
  sections.push_back({"Kinds of errors", {Paragraph{tables.kinds.note}, table_block(tables.kinds)}});
  if (has_errors(detailed)) sections.back().blocks.push_back(off_by_one_plot(detailed));
  sections.push_back({"Lengths", {length_plot(detailed)}});
  if (tables.digits.table.rows() > 0) sections.push_back({"Digits", {digit_plot(detailed)}});
  if (tables.sizes.table.rows() > 0) sections.back().blocks.push_back(size_plot(detailed));
  if (tables.tokens.table.rows() > 0)
    sections.push_back(
        {"Tokens", {entropy_plot(detailed), Paragraph{tables.tokens.note}, table_block(tables.tokens, true)}});
  sections.push_back({"Tokenizer", {Paragraph{tables.probe.note}, table_block(tables.probe)}});
  if (tables.refused.table.rows() > 0) {
    sections.back().blocks.push_back(Paragraph{tables.refused.note});
    sections.back().blocks.push_back(table_block(tables.refused));
  }
  return sections;
}

}  // namespace

Page arithmetic_page(const Facts& facts, const Study& study, std::span<const CellSummary> cells,
                     std::span<const PairedCell> paired, const Json& record) {
  Page page;
  page.title = facts.front().second;
  page.summary =
      "Arithmetic by format of the numbers, number of shots and lengths: how often the model is right, and how "
      "it is wrong.";
  page.sections = sections_of(arithmetic_tables(study, cells, paired), cells);
  page.sections.push_back({"Provenance", {FactList{facts}}});
  page.record = dump_json(record);
  return page;
}

}  // namespace bitloom
