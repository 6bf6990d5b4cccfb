#pragma once
// What a recipe is composed of besides formats: one table of parts, each with its name, its options (kind, range, place
// in the struct), what it needs of the data and what it is for. Reading and printing recipes in YAML, JSON and short
// form, `bitloom recipes`, spelling hints and check() all follow from the table; a new part or option is a row.
//
// Goals: no part's name or option is spelled anywhere else. Non-goals: what a part does; that is round/ and transform/,
// and a method's row there (round/rounding.h) is its row here.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text/any_value.h"
#include "base/text/option.h"
#include "recipe/recipe.h"

namespace bitloom {

/// The options of any rounding or transform, which say what it is.
using Part = AnyValue;

Part part_of(const Rounding& rounding);
Part part_of(const Transform& transform);
/// The inverses. The part must be of that kind.
Rounding rounding_of(const Part& part);
Transform transform_of(const Part& part);

/// When a part acts, which decides what may follow what.
enum class PartStage {
  kRewrite,     // before rounding, from the weights alone
  kScaling,     // before rounding, channel scales from data; one a site
  kReassembly,  // before rounding, of scaled inputs: which channels are split and merged
  kRounding,    // chooses codes; one a quantize step
  kAfterwards,  // after rounding
  kTuning,      // once everything is rounded
};

struct PartRow {
  std::string_view name;
  PartStage stage = PartStage::kRounding;
  Part defaults = {};
  std::span<const Option> options = {};
  bool takes_targets = true;    // whether its step may name sites; hadamard is about the whole model
  bool needs_a_format = false;  // means nothing in a recipe that quantizes nothing
  Needs needs = {};             // of a transform; a rounding's depend on its options, see needs_of()
  std::string_view help;        // one line
  std::string_view words;       // for descriptions: "rounded to nearest"
};

/// In the order in which they are listed.
std::span<const PartRow> part_rows();
const PartRow& row_of(const Part& part);
PartStage stage_of(const Transform& transform);

/// A second name for a part with some options set, such as "gptaq".
struct PartAlias {
  std::string_view name;
  Part part;
};
std::span<const PartAlias> part_aliases();

/// The part with this name, with its defaults (an alias: with its own). nullopt when there is none.
std::optional<Part> find_part(std::string_view name);
/// The same for a name that must be a rounding, or a transform. Error(kUsage) with the allowed names.
Part rounding_named(std::string_view name);
Part transform_named(std::string_view name);
/// Names and aliases, for hints.
std::vector<std::string> part_names();

/// Error(kUsage) naming the part, the option, the value and what is allowed. Returns the option that was set.
const Option& set_option(Part& part, std::string_view name, std::string_view value);
/// A word without '=': a flag's name, a choice, or a number for the part's first option. Errors as above.
const Option& set_bare_option(Part& part, std::string_view word);
/// Several, "act-order,damp=0.05". Error(kUsage) also for one that is given twice or is empty.
void set_options(Part& part, const std::string& text);

/// Options whose value differs from the default of the part's row, in the row's order.
std::vector<std::pair<const Option*, double>> changed_options(const Part& part);
/// "gptq", "gptq:damping=0.05,act-order", "smoothquant:0.75".
std::string to_short(const Part& part);

}  // namespace bitloom
