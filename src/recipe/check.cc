#include "recipe/check.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "base/error.h"
#include "format/table/fitted_table.h"
#include "observe/activation_range.h"
#include "recipe/parts.h"
#include "round/fpq/fpq.h"

namespace bitloom {
namespace {

/// Targets that meet in any model: everything, or a pattern in common. Others may, in one: see resolve_transforms.
bool surely_meet(const RecipeStep& a, const RecipeStep& b) {
  if (a.targets.empty() || b.targets.empty()) return true;
  return std::any_of(a.targets.begin(), a.targets.end(), [&b](const std::string& pattern) {
    return std::find(b.targets.begin(), b.targets.end(), pattern) != b.targets.end();
  });
}

std::string bad_option(const Part& part) {
  const PartRow& row = row_of(part);
  for (const Option& option : row.options) {
    const double value = option.get(part);
    if (in_range(option, value)) continue;
    return fmt::format("{} of '{}' must be {}, found {}", option.name, row.name, allowed_values(option), value);
  }
  return "";
}

std::string bad_attention(const RecipeStep& step) {
  if (step.quantize || step.transform || step.activations)
    return "rounds what attention multiplies and more; make it two steps";
  if (step.targets.empty()) return "rounds what attention multiplies, but names no targets: queries, keys, ...";
  for (const Operand operand : kOperands) {
    if (std::find(step.targets.begin(), step.targets.end(), name_of(operand)) == step.targets.end()) continue;
    if (std::string reason = bad_operand_format(operand, *step.attention); !reason.empty()) return reason;
  }
  return "";
}

std::string bad_transform(const RecipeStep& step) {
  const Part part = part_of(*step.transform);
  const PartRow& row = row_of(part);
  if (step.quantize) return fmt::format("quantizes and transforms ('{}') at once; make it two steps", row.name);
  if (!row.takes_targets && !step.targets.empty()) {
    return fmt::format("'{}' rewrites the whole model and takes no targets", row.name);
  }
  return bad_option(part);
}

/// ": 'kmeans' can".
std::string others_that_round_onto(const Storage& storage) {
  std::vector<std::string> names;
  for (const RoundingRow* method : rounding_methods()) {
    if (rounds_onto(Rounding(method->defaults()), storage)) names.push_back(fmt::format("'{}'", method->name));
  }
  return names.empty() ? "" : fmt::format(": {} can", fmt::join(names, ", "));
}

/// Levels that are to be fitted, where they cannot be.
std::string bad_fit(const Storage& storage) {
  const auto is_open = [](const BaseStorage& base) {
    const auto* grid = base.get_if<GridStorage>();
    const auto* table = grid == nullptr ? nullptr : std::get_if<TableFormat>(&grid->format);
    return table != nullptr && fit_request(*table).has_value();
  };
  if (storage.side.low_rank.present() && is_open(storage.side.low_rank.factors)) {
    return fmt::format("{}: levels are fitted to weights, not to the factors of a product; name them",
                       to_string(storage));
  }
  if (!is_open(storage.base)) return "";
  const Granularity& scales = storage.base.get<GridStorage>().granularity;
  if (scales.kind == Granularity::Kind::kRow || scales.kind == Granularity::Kind::kGroup) return "";
  return fmt::format("{}: levels are fitted to a sample of rows, which have scales of their own with -row and -gN only",
                     to_string(storage));
}

/// What is wrong with the step by itself.
std::string bad_step(const RecipeStep& step) {
  if (!step.quantize && step.rounding != Rounding{}) {
    return fmt::format("rounding '{}' has nothing to round: {}", to_short(step.rounding),
                       step.transform   ? "a transform quantizes nothing"
                       : step.attention ? "attention's operands have no codes"
                                        : "the step keeps its matrices as they are");
  }
  if (step.attention) return bad_attention(step);
  if (step.activations && !step.activations->moves.empty()) {
    return fmt::format("{} with {} moves: channels are moved in the weights, too, so 'reassemble' finds which",
                       kind_text(*step.activations), step.activations->moves.size());
  }
  if (!step.quantize && step.activations) return "has a format of what is read, but quantizes nothing";
  if (step.transform) return bad_transform(step);
  if (step.keeps() && step.targets.empty()) return "keeps, but names no patterns";
  if (step.quantize) {
    if (std::string reason = bad_fit(step.quantize->storage); !reason.empty()) return reason;
  }
  if (step.quantize && !rounds_onto(step.rounding, step.quantize->storage)) {
    return fmt::format("'{}' cannot choose codes of {}{}", step.rounding.row().name, to_string(step.quantize->storage),
                       others_that_round_onto(step.quantize->storage));
  }
  if (const auto* fpq = step.rounding.get_if<FpqRounding>()) {
    if (std::string reason = clash_of(*fpq); !reason.empty()) return reason;
  }
  return bad_option(part_of(step.rounding));
}

/// A search that rounds to nearest on the way, before a storage that has no nearest rounding.
std::string bad_search(const RecipeStep& search, const RecipeStep& quantize) {
  if (!search.transform || !quantize.quantize) return "";
  const bool scales = std::holds_alternative<ScaleSearchTransform>(*search.transform);
  const bool moves = std::holds_alternative<ReassembleTransform>(*search.transform);
  if (!(scales || moves) || rounds_onto(Rounding(), quantize.quantize->storage)) return "";
  return fmt::format("'{}' tries {} by rounding to nearest, which {} has no grid for",
                     row_of(part_of(*search.transform)).name, scales ? "scales" : "thresholds",
                     to_string(quantize.quantize->storage));
}

/// Channels are moved for the sake of inputs that are rounded.
std::string bad_reassembly(const Recipe& recipe, const RecipeStep& step) {
  if (!step.transform || !std::holds_alternative<ReassembleTransform>(*step.transform)) return "";
  const std::string_view name = row_of(part_of(*step.transform)).name;
  bool rounds_inputs = false;
  for (const RecipeStep& other : recipe.steps) rounds_inputs = rounds_inputs || other.activations;
  return rounds_inputs ? "" : fmt::format("'{}' is about rounded inputs, but no step has activations", name);
}

/// How a product is learned that there is none of.
std::string bad_correction(const RecipeStep& step) {
  const auto* tuning = step.transform ? std::get_if<BlockTuningTransform>(&*step.transform) : nullptr;
  const bool paper = tuning != nullptr && tuning->parity == BlockTuningTransform::Parity::kPaper;
  if (!paper || tuning->correction > 0) return "";
  return "parity=paper of 'tune-blocks' is about its correction, and that is 0: give it a rank";
}

/// How formats are learned that are not.
std::string bad_format_gradient(const RecipeStep& step) {
  const auto* distill = step.transform ? std::get_if<DistillTransform>(&*step.transform) : nullptr;
  if (distill == nullptr || distill->formats) return "";
  const bool has_parity = distill->parity != DistillTransform::Parity::kNone;
  if (!has_parity && distill->format_rate == DistillTransform{}.format_rate) return "";
  return fmt::format("{} of 'distill' is about formats, and they are not learned: give it 'formats'",
                     has_parity ? "parity=paper" : fmt::format("format-rate={}", distill->format_rate));
}

/// Gradients are those of the model as it is: scales that are found block by block change what they are of.
std::string bad_gradients(const RecipeStep& scaling, const RecipeStep& quantize) {
  if (!scaling.transform || !quantize.quantize || !needs_gradients(needs_of(quantize.rounding))) return "";
  const PartRow& row = row_of(part_of(*scaling.transform));
  if (row.stage != PartStage::kScaling && row.stage != PartStage::kReassembly) return "";
  return fmt::format("'{}' takes gradients of the model before '{}' scales it; choose one", to_short(quantize.rounding),
                     row.name);
}

/// What is wrong with the step after an earlier one.
std::string bad_pair(const RecipeStep& earlier, const RecipeStep& later) {
  if (std::string reason = bad_search(earlier, later); !reason.empty()) return reason;
  if (std::string reason = bad_gradients(earlier, later); !reason.empty()) return reason;
  if (std::string reason = bad_gradients(later, earlier); !reason.empty()) return reason;
  if (!earlier.transform || !later.transform) return "";
  const std::string reason = clash(*earlier.transform, *later.transform);
  if (!reason.empty() && surely_meet(earlier, later)) return reason;
  const PartRow &first = row_of(part_of(*earlier.transform)), &second = row_of(part_of(*later.transform));
  if (first.stage == PartStage::kScaling && second.stage == PartStage::kRewrite) {
    return fmt::format("'{}' must come before '{}': it would undo scales that were found on the data", second.name,
                       first.name);
  }
  if (first.stage == PartStage::kReassembly && second.stage < PartStage::kReassembly) {
    return fmt::format("'{}' must come before '{}', which is about the inputs as they are then", second.name,
                       first.name);
  }
  return "";
}

std::string lacks_format(const Recipe& recipe, const RecipeStep& step) {
  const auto quantizes = [](const RecipeStep& other) { return other.quantize.has_value(); };
  if (!step.transform || std::any_of(recipe.steps.begin(), recipe.steps.end(), quantizes)) return "";
  const PartRow& row = row_of(part_of(*step.transform));
  return row.needs_a_format ? fmt::format("'{}' is about rounding, but no step quantizes", row.name) : "";
}

Needs needs_of_step(const RecipeStep& step) {
  if (step.transform) return row_of(part_of(*step.transform)).needs;
  if (!step.quantize) return {};
  Needs needs = needs_of(step.rounding);
  if (step.activations) add_range_needs(*step.activations, needs);
  return needs;
}

}  // namespace

std::string clash(const Transform& first, const Transform& second) {
  const PartRow &a = row_of(part_of(first)), &b = row_of(part_of(second));
  if (&a == &b) return fmt::format("'{}' is given twice", a.name);
  if (a.stage != PartStage::kScaling || b.stage != PartStage::kScaling) return "";
  return fmt::format("'{}' and '{}' both scale the channels of the same sites; choose one", a.name, b.name);
}

std::optional<RecipeFault> find_fault(const Recipe& recipe) {
  for (size_t s = 0; s < recipe.steps.size(); ++s) {
    const RecipeStep& step = recipe.steps[s];
    std::string reason = bad_step(step);
    for (size_t e = 0; e < s && reason.empty(); ++e) reason = bad_pair(recipe.steps[e], step);
    if (reason.empty()) reason = lacks_format(recipe, step);
    if (reason.empty()) reason = bad_reassembly(recipe, step);
    if (reason.empty()) reason = bad_correction(step);
    if (reason.empty()) reason = bad_format_gradient(step);
    if (!reason.empty()) return RecipeFault{s, reason};
  }
  return std::nullopt;
}

void check(const Recipe& recipe) {
  if (const auto fault = find_fault(recipe)) {
    misuse("recipe '{}', step {}: {}", recipe.name, fault->step + 1, fault->reason);
  }
}

Needs needs_of(const Recipe& recipe) {
  Needs all;
  for (const RecipeStep& step : recipe.steps) all |= needs_of_step(step);
  return all;
}

}  // namespace bitloom
