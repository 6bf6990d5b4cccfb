#include "eval/arithmetic/pairing.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"

namespace bitloom::arithmetic {
namespace {

using Key = std::tuple<Operation, std::string, int, int64_t>;
Key key_of(const Outcome& outcome) {
  return {outcome.exercise.operation, outcome.condition, outcome.shots, outcome.problem};
}

std::string describe(const Outcome& outcome) {
  return fmt::format("{}, {} shots, problem {}: {} {} {}", outcome.condition, outcome.shots, outcome.problem,
                     outcome.exercise.first, static_cast<char>(outcome.exercise.operation), outcome.exercise.second);
}

const char* form_of(const Outcome& outcome) { return outcome.chat ? "chat messages" : "lines"; }

const Outcome& partner_of(const Outcome& outcome, const std::map<Key, const Outcome*>& reference,
                          const std::string& origin) {
  const auto at = reference.find(key_of(outcome));
  if (at == reference.end()) refuse("{}: lacks {}", origin, describe(outcome));
  if (at->second->exercise != outcome.exercise)
    refuse("{}: other problems: {}, here {}", origin, describe(*at->second), describe(outcome));
  if (at->second->chat != outcome.chat)
    refuse("{}: asked in {}, here in {}", origin, form_of(*at->second), form_of(outcome));
  return *at->second;
}

/// A cell and the answers it is made of, in order.
struct OpenCell {
  PairedCell cell;
  std::vector<uint8_t> reference, model;  // 1: right
};

bool same_cell(const PairedCell& cell, const Outcome& outcome) {
  return cell.operation == outcome.exercise.operation && cell.condition == outcome.condition &&
         cell.shots == outcome.shots;
}

OpenCell& cell_of(const Outcome& outcome, std::vector<OpenCell>& cells) {
  const auto found =
      std::find_if(cells.begin(), cells.end(), [&](const OpenCell& open) { return same_cell(open.cell, outcome); });
  if (found != cells.end()) return *found;
  OpenCell& open = cells.emplace_back();
  open.cell.operation = outcome.exercise.operation;
  open.cell.condition = outcome.condition;
  open.cell.shots = outcome.shots;
  return open;
}

PairedCell closed(OpenCell& open) {
  open.cell.answers = mcnemar(open.reference, open.model);
  open.cell.difference = paired_difference(std::vector<double>(open.reference.begin(), open.reference.end()),
                                           std::vector<double>(open.model.begin(), open.model.end()));
  return open.cell;
}

}  // namespace

std::vector<Outcome> outcomes_of(std::span<const Row> rows) {
  std::vector<Outcome> out;
  for (const Row& row : rows)
    out.push_back({row.exercise, row.condition, row.shots, row.chat, row.problem, row.metrics.kind});
  return out;
}

std::vector<PairedCell> pair_outcomes(std::span<const Outcome> reference, std::span<const Outcome> model,
                                      const std::string& origin) {
  std::map<Key, const Outcome*> by_key;
  for (const Outcome& outcome : reference) by_key[key_of(outcome)] = &outcome;
  std::vector<OpenCell> open;
  for (const Outcome& outcome : model) {
    const Outcome& partner = partner_of(outcome, by_key, origin);
    OpenCell& cell = cell_of(outcome, open);
    cell.reference.push_back(partner.correct() ? 1 : 0);
    cell.model.push_back(outcome.correct() ? 1 : 0);
    ++cell.cell.reference_kinds[static_cast<size_t>(partner.kind)];
    ++cell.cell.model_kinds[static_cast<size_t>(outcome.kind)];
  }
  std::vector<PairedCell> cells;
  cells.reserve(open.size());
  for (OpenCell& cell : open) cells.push_back(closed(cell));
  return cells;
}

}  // namespace bitloom::arithmetic
