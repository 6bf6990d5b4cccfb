#pragma once
// What a recipe is composed of besides formats: one table of parts, each with its name, its options (kind, range, place
// in the struct), what it needs of the data and what it is for. Reading and printing recipes in YAML, JSON and short
// form, `bitloom recipes`, spelling hints and check() all follow from the table; a new part or option is a row.
//
// Goals: no part's name or option is spelled anywhere else. Non-goals: what a part does; that is round/ and transform/.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "recipe/recipe.h"

namespace bitloom {

namespace detail {
template <typename... As, typename... Bs>
std::variant<As..., Bs...> joined(std::variant<As...>, std::variant<Bs...>);
}

/// Any rounding or transform.
using Part = decltype(detail::joined(std::declval<Rounding>(), std::declval<Transform>()));

Part part_of(const Rounding& rounding);
Part part_of(const Transform& transform);
/// The inverses. The part must be of that kind.
Rounding rounding_of(const Part& part);
Transform transform_of(const Part& part);

enum class OptionKind { kNumber, kInteger, kFlag, kChoice };

/// One option of a part. Every kind's value fits a double: numbers and integers (below 2^53) themselves, flags 0 and 1,
/// choices their place in the list.
struct Option {
  std::string_view name;
  std::string_view alias;  // another accepted spelling, or ""
  std::string_view help;
  OptionKind kind = OptionKind::kNumber;
  double low = 0, high = 1;  // the range, both ends allowed
  std::span<const std::string_view> choices;
  double (*get)(const Part& part) = nullptr;
  void (*set)(Part& part, double value) = nullptr;
};

/// When a part acts, which decides what may follow what.
enum class PartStage {
  kRewrite,     // before rounding, from the weights alone
  kScaling,     // before rounding, channel scales from data; one a site
  kRounding,    // chooses codes; one a quantize step
  kAfterwards,  // after rounding
};

struct PartRow {
  std::string_view name;
  PartStage stage = PartStage::kRounding;
  Part defaults;
  std::span<const Option> options;
  bool takes_targets = true;    // whether its step may name sites; hadamard is about the whole model
  bool needs_a_format = false;  // means nothing in a recipe that quantizes nothing
  Needs needs;                  // of a transform; a rounding's depend on its options, see needs_of()
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

/// "0.05", "500", "true", "act-order": numbers in the shortest form that reads back exactly.
std::string value_text(const Option& option, double value);
/// "a number from 0 to 0.99", "true or false", "one of natural, act-order, group-aware".
std::string allowed_values(const Option& option);
/// Whether set_option would accept the value. False for NaN.
bool in_range(const Option& option, double value);
/// Options whose value differs from the default of the part's row, in the row's order.
std::vector<std::pair<const Option*, double>> changed_options(const Part& part);
/// "gptq", "gptq:damping=0.05,act-order", "smoothquant:0.75".
std::string to_short(const Part& part);

}  // namespace bitloom
