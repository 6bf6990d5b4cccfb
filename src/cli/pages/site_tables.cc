#include "cli/pages/site_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "recipe/parts.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

/// Sums over the matrices of a row; means are weighted by weights.
struct Sum {
  std::string name;
  int64_t matrices = 0, weights = 0, saturated = 0, zero_groups = 0;
  double bits_nominal = 0, bits_true = 0;
  int64_t measured = 0;  // weights whose error is known
  double error = 0, worst_error = 0;
  int64_t observed = 0;  // weights whose output error is known
  double output_error = 0, worst_output_error = 0, highest_damping = 0;
  std::string worst_site;
  std::optional<double> compensation;    // the largest
  int64_t learned = 0;                   // weights whose rounding was learned
  std::optional<int64_t> flipped, kept;  // codes and rows, of those

  void add(const SiteRecord& site) {
    const int64_t count = site.rows * site.cols;
    const auto weight = static_cast<double>(count);
    matrices += 1, weights += count;
    saturated += site.saturated, zero_groups += site.zero_groups;
    bits_nominal += site.bits_nominal * weight, bits_true += site.bits_true * weight;
    if (!site.taken_over) {
      measured += count;
      error += site.weight_error * weight;
      worst_error = std::max(worst_error, site.weight_error);
    }
    if (site.compensation_ratio) compensation = std::max(compensation.value_or(0), *site.compensation_ratio);
    if (site.flipped) learned += count, flipped = flipped.value_or(0) + *site.flipped;
    if (site.rows_kept) kept = kept.value_or(0) + *site.rows_kept;
    if (!site.output_error) return;
    observed += count;
    output_error += *site.output_error * weight;
    highest_damping = std::max(highest_damping, site.damping.value_or(0));
    if (*site.output_error < worst_output_error) return;
    worst_output_error = *site.output_error;
    worst_site = site.name;
  }
};

std::string figure(double sum, int64_t weights) {
  return weights == 0 ? "-" : format_significant(sum / static_cast<double>(weights), 3);
}
std::string figure_if(bool known, double value) { return known ? format_significant(value, 3) : "-"; }
std::string count_if(bool known, int64_t value) { return known ? format_count(value) : "-"; }

/// What only some roundings tell.
struct RoundingFigure {
  const char *title, *meaning;
  bool (*known)(const Sum&);
  std::string (*text)(const Sum&);
};
const RoundingFigure kRoundingFigures[] = {
    {"compensation", "largest weight after compensation over the largest before",
     [](const Sum& sum) { return sum.compensation.has_value(); },
     [](const Sum& sum) { return format_significant(*sum.compensation, 3); }},
    {"flipped", "codes that are not those of nearest rounding", [](const Sum& sum) { return sum.flipped.has_value(); },
     [](const Sum& sum) {
       return format_percent(static_cast<double>(*sum.flipped) /
                             static_cast<double>(std::max<int64_t>(sum.learned, 1)));
     }},
    {"rows kept", "rows for which nearest rounding did better", [](const Sum& sum) { return sum.kept.has_value(); },
     [](const Sum& sum) { return format_count(*sum.kept); }},
};

/// Those that some site has.
std::vector<RoundingFigure> rounding_figures(const std::vector<SiteRecord>& sites) {
  Sum all;
  for (const SiteRecord& site : sites) all.add(site);
  std::vector<RoundingFigure> figures(std::begin(kRoundingFigures), std::end(kRoundingFigures));
  std::erase_if(figures, [&](const RoundingFigure& figure) { return !figure.known(all); });
  return figures;
}

/// The columns of `figures` at the right end of a table's.
std::vector<Column> with_columns(std::vector<Column> columns, const std::vector<RoundingFigure>& figures) {
  for (const RoundingFigure& figure : figures) columns.push_back({figure.title});
  return columns;
}
std::vector<std::string> with_cells(std::vector<std::string> cells, const std::vector<RoundingFigure>& figures,
                                    const Sum& sum) {
  for (const RoundingFigure& figure : figures) cells.push_back(figure.known(sum) ? figure.text(sum) : "-");
  return cells;
}

/// In the order of first appearance.
std::vector<Sum> group_by(const std::vector<SiteRecord>& sites,
                          const std::function<std::string(const SiteRecord&)>& name_of) {
  std::vector<Sum> sums;
  for (const SiteRecord& site : sites) {
    const std::string name = name_of(site);
    auto at = std::find_if(sums.begin(), sums.end(), [&](const Sum& sum) { return sum.name == name; });
    if (at == sums.end()) {
      at = sums.emplace(sums.end());
      at->name = name;
    }
    at->add(site);
  }
  return sums;
}

/// A part of a dotted name that is a number and has others on both sides.
struct NumberedPart {
  size_t begin, end;
};
std::optional<NumberedPart> numbered_part(const std::string& name, size_t from) {
  for (size_t at = name.find('.', from); at != std::string::npos; at = name.find('.', at + 1)) {
    const size_t end = name.find_first_not_of("0123456789", at + 1);
    if (end != std::string::npos && end > at + 1 && name[end] == '.') return NumberedPart{at + 1, end};
  }
  return std::nullopt;
}

/// The number of the expert that the site belongs to.
std::optional<int64_t> expert_of(const SiteRecord& site) {
  const std::optional<NumberedPart> block = numbered_part(site.name, 0);
  const auto expert = block ? numbered_part(site.name, block->end) : std::nullopt;
  if (!expert) return std::nullopt;
  return std::stoll(site.name.substr(expert->begin, expert->end - expert->begin));
}

bool looked_at_data(const std::vector<SiteRecord>& sites) {
  return std::any_of(sites.begin(), sites.end(), [](const SiteRecord& site) { return site.output_error.has_value(); });
}

}  // namespace

std::pair<std::string, std::string> kind_and_block(const std::string& name) {
  const std::optional<NumberedPart> block = numbered_part(name, 0);
  if (!block) return {name, ""};
  std::string kind = "*" + name.substr(block->end);
  if (const std::optional<NumberedPart> expert = numbered_part(kind, 0)) {
    kind.replace(expert->begin, expert->end - expert->begin, "*");
  }
  return {kind, name.substr(block->begin, block->end - block->begin)};
}

Table size_table(const QuantizeResult& result) {
  Table table({{"part", Align::kLeft}, {"weights"}, {"bits nominal"}, {"bits true"}, {"MiB"}});
  const double block_bytes = result.bits_true * static_cast<double>(result.block_weights) / 8;
  table.add({"matrices of the blocks", format_count(result.block_weights), format_bits(result.bits_nominal),
             format_bits(result.bits_true), format_mib(std::llround(block_bytes))});
  table.add(
      {"whole model", format_count(result.weights), "-", format_bits(result.bits_model), format_mib(result.bytes)});
  return table;
}

Table allocation_table(const Allocation& allocation) {
  struct Row {
    int64_t matrices = 0, weights = 0, bytes = 0;
    double loss = 0;
    std::map<std::string, int> roles;
  };
  std::map<std::string, Row> by_storage;
  for (const AllocatedGroup& group : allocation.groups) {
    Row& row = by_storage[group.storage];
    row.matrices += static_cast<int64_t>(group.tensors.size());
    row.weights += group.weights, row.bytes += group.bytes, row.loss += group.loss();
    row.roles[group.place.substr(group.place.rfind('.') + 1)] += 1;
  }
  Table table(
      {{"storage", Align::kLeft}, {"matrices"}, {"size MiB"}, {"bits"}, {"predicted KL"}, {"roles", Align::kLeft}});
  for (const auto& [storage, row] : by_storage) {
    std::vector<std::string> roles;
    for (const auto& [role, count] : row.roles) roles.push_back(fmt::format("{} x {}", count, role));
    table.add({storage, format_count(row.matrices), fmt::format("{:.2f}", static_cast<double>(row.bytes) / (1 << 20)),
               format_bits(8 * static_cast<double>(row.bytes) / static_cast<double>(row.weights)),
               format_significant(row.loss, 3), fmt::format("{}", fmt::join(roles, ", "))});
  }
  return table;
}

Table scheme_table(const std::vector<SiteRecord>& sites) {
  const bool data = looked_at_data(sites);
  std::vector<Column> columns = {{"scheme", Align::kLeft},
                                 {"rounding", Align::kLeft},
                                 {"matrices"},
                                 {"weights"},
                                 {"bits nominal"},
                                 {"bits true"},
                                 {"error"},
                                 {"worst error"}};
  if (data) columns.push_back({"output error"});
  columns.insert(columns.end(), {{"saturated"}, {"zero groups"}});
  Table table(columns);
  const auto name_of = [](const SiteRecord& site) { return site.storage + site.search + "\t" + site.rounding; };
  for (const Sum& sum : group_by(sites, name_of)) {
    const size_t tab = sum.name.find('\t');
    const std::string rounding = sum.name.substr(tab + 1);
    const bool known = sum.measured > 0;
    std::vector<std::string> cells = {
        sum.name.substr(0, tab),
        rounding.empty() ? "taken over" : rounding,
        format_count(sum.matrices),
        format_count(sum.weights),
        format_bits(sum.bits_nominal / static_cast<double>(std::max<int64_t>(sum.weights, 1))),
        format_bits(sum.bits_true / static_cast<double>(std::max<int64_t>(sum.weights, 1))),
        figure(sum.error, sum.measured),
        figure_if(known, sum.worst_error)};
    if (data) cells.push_back(figure(sum.output_error, sum.observed));
    cells.push_back(count_if(known, sum.saturated));
    cells.push_back(count_if(known, sum.zero_groups));
    table.add(std::move(cells));
  }
  return table;
}

Table layer_table(const std::vector<SiteRecord>& sites) {
  const std::vector<RoundingFigure> figures = rounding_figures(sites);
  Table table(with_columns({{"layers", Align::kLeft},
                            {"matrices"},
                            {"error"},
                            {"output error"},
                            {"worst output error"},
                            {"in block"},
                            {"highest damping"}},
                           figures));
  for (const Sum& sum : group_by(sites, [](const SiteRecord& site) { return kind_and_block(site.name).first; })) {
    if (sum.observed == 0) continue;
    table.add(
        with_cells({sum.name, format_count(sum.matrices), figure(sum.error, sum.measured),
                    figure(sum.output_error, sum.observed), format_significant(sum.worst_output_error, 3),
                    kind_and_block(sum.worst_site).second, figure_if(sum.highest_damping > 0, sum.highest_damping)},
                   figures, sum));
  }
  return table;
}

/// Of a rounding as its record spells it: "gptq:act-order".
static bool looks_at_data(const std::string& rounding) {
  const auto part = find_part(rounding.substr(0, rounding.find(':')));
  return part && needs_of(rounding_of(*part)).any();
}

Table expert_table(const std::vector<SiteRecord>& sites) {
  // By block and expert: the tokens, and whether one of its matrices was rounded without them.
  std::map<int64_t, std::map<int64_t, std::pair<int64_t, bool>>> blocks;
  for (const SiteRecord& site : sites) {
    const std::optional<int64_t> expert = expert_of(site);
    if (!expert) continue;
    auto& [tokens, without] = blocks[std::stoll(kind_and_block(site.name).second)][*expert];
    tokens = std::max(tokens, site.tokens);
    without |= !looks_at_data(site.rounding);
  }
  Table table({{"experts of block"}, {"experts"}, {"fewest tokens"}, {"median"}, {"most"}, {"without data"}});
  for (const auto& [block, experts] : blocks) {
    std::vector<int64_t> tokens;
    int64_t without = 0;
    for (const auto& [expert, seen] : experts) {
      tokens.push_back(seen.first), without += seen.second ? 1 : 0;
    }
    std::sort(tokens.begin(), tokens.end());
    table.add({std::to_string(block), format_count(static_cast<int64_t>(tokens.size())), format_count(tokens.front()),
               format_count(tokens[tokens.size() / 2]), format_count(tokens.back()), format_count(without)});
  }
  return table;
}

Table site_table(const std::vector<SiteRecord>& sites) {
  const std::vector<RoundingFigure> figures = rounding_figures(sites);
  Table table(with_columns({{"matrix", Align::kLeft},
                            {"scheme", Align::kLeft},
                            {"rounding", Align::kLeft},
                            {"error"},
                            {"largest"},
                            {"output error"},
                            {"tokens"},
                            {"damping"},
                            {"saturated"},
                            {"dead channels"}},
                           figures));
  const bool data = looked_at_data(sites);
  for (const SiteRecord& site : sites) {
    Sum sum;
    sum.add(site);
    table.add(
        with_cells({site.name, site.storage + site.search, site.taken_over ? "taken over" : site.rounding,
                    figure_if(!site.taken_over, site.weight_error), figure_if(!site.taken_over, site.max_abs_error),
                    figure_if(site.output_error.has_value(), site.output_error.value_or(0)),
                    count_if(data, site.tokens), figure_if(site.damping.has_value(), site.damping.value_or(0)),
                    count_if(!site.taken_over, site.saturated), count_if(site.tokens > 0, site.dead_channels)},
                   figures, sum));
  }
  return table;
}

std::string rounding_note(const std::vector<SiteRecord>& sites) {
  std::string note;
  for (const RoundingFigure& figure : rounding_figures(sites))
    note += fmt::format("{}{}: {}", note.empty() ? "" : "; ", figure.title, figure.meaning);
  return note;
}

std::vector<const SiteRecord*> overcompensated(const std::vector<SiteRecord>& sites) {
  std::vector<const SiteRecord*> out;
  for (const SiteRecord& site : sites)
    if (site.compensation_ratio.value_or(0) > kMostCompensation) out.push_back(&site);
  std::stable_sort(out.begin(), out.end(), [](const SiteRecord* a, const SiteRecord* b) {
    return *a->compensation_ratio > *b->compensation_ratio;
  });
  return out;
}

std::string compensation_warning(const std::vector<SiteRecord>& sites) {
  const std::vector<const SiteRecord*> beyond = overcompensated(sites);
  if (beyond.empty()) return "";
  return fmt::format(
      "error feedback made weights of {} {} more than {} times the largest, so its damping is too small; worst: {}, {}",
      beyond.size(), beyond.size() == 1 ? "matrix" : "matrices", kMostCompensation, beyond.front()->name,
      format_significant(*beyond.front()->compensation_ratio, 3));
}

double weight_error_of(const SiteRecord& site) { return site.taken_over ? kUnknown : site.weight_error; }
double output_error_of(const SiteRecord& site) { return site.output_error.value_or(kUnknown); }

StripPlot site_strips(const Caption& caption, const std::string& y_title, bool logarithmic,
                      const std::vector<SiteFigures>& figures) {
  StripPlot plot{caption, {"block"}, {y_title, logarithmic}, {}, {}, {}};
  std::map<std::string, size_t> rows;
  std::map<int64_t, size_t> columns;  // by the block's number
  for (const SiteFigures& figure : figures) {
    for (const SiteRecord& site : figure.sites) {
      const auto [kind, block] = kind_and_block(site.name);
      if (block.empty()) continue;
      if (rows.try_emplace(kind, rows.size()).second) plot.rows.push_back(kind);
      columns[std::stoll(block)] = 0;
    }
  }
  for (auto& [block, column] : columns) {
    column = plot.columns.size();
    plot.columns.push_back(std::to_string(block));
  }
  for (const SiteFigures& figure : figures) {
    StripSeries series{figure.name, {rows.size(), std::vector<double>(columns.size(), kUnknown)}};
    for (const SiteRecord& site : figure.sites) {
      const auto [kind, block] = kind_and_block(site.name);
      if (block.empty()) continue;
      double& value = series.values[rows.at(kind)][columns.at(std::stoll(block))];
      value = std::fmax(value, figure.figure(site));  // of experts the worst
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

}  // namespace bitloom
