// The short form of recipes: "hadamard+gptq:act-order,damp=0.05+int4-g128".

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/parts.h"

namespace bitloom {
namespace {

constexpr const char* kExample = "gptq+int4-g128";

/// Whether the '+' at `at` belongs to a number such as 1e+3. No part's or format's name starts with a digit.
bool is_exponent_sign(std::string_view text, size_t at) {
  const auto digit = [&text](size_t i) { return std::isdigit(static_cast<unsigned char>(text[i])) != 0; };
  if (at < 2 || at + 1 >= text.size() || !digit(at + 1)) return false;
  return (text[at - 1] == 'e' || text[at - 1] == 'E') && (digit(at - 2) || text[at - 2] == '.');
}

/// At '+', except inside brackets (the levels of a table) and numbers.
std::vector<std::string> split_steps(std::string_view text) {
  std::vector<std::string> steps(1);
  bool in_brackets = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') in_brackets = true;
    if (text[i] == ']') in_brackets = false;
    if (text[i] == '+' && !in_brackets && !is_exponent_sign(text, i)) {
      steps.emplace_back();
    } else {
      steps.back() += text[i];
    }
  }
  return steps;
}

bool is_format(const std::string& text) {
  try {
    parse_target(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void set_options(Part& part, const std::string& text) {
  std::vector<const Option*> given;
  for (const std::string& word : split(text, ',')) {
    if (word.empty()) misuse("an empty option of '{}'", row_of(part).name);
    const size_t equals = word.find('=');
    const Option& option = equals == std::string::npos
                               ? set_bare_option(part, word)
                               : set_option(part, word.substr(0, equals), word.substr(equals + 1));
    if (std::find(given.begin(), given.end(), &option) != given.end()) {
      misuse("{} of '{}' is given twice", option.name, row_of(part).name);
    }
    given.push_back(&option);
  }
}

/// "gptq:act-order,damp=0.05", which is not the last step.
Part parse_part(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  auto part = find_part(name);
  if (!part && is_format(text)) misuse("the format '{}' must come last, as in {}", text, kExample);
  if (!part) {
    misuse("unknown part '{}'{}; allowed: {}", name, did_you_mean(name, part_names()), fmt::join(part_names(), ", "));
  }
  if (colon != std::string::npos) set_options(*part, text.substr(colon + 1));
  return *part;
}

RoundingTarget parse_format(const std::string& text) {
  const std::string name = text.substr(0, text.find(':'));
  if (find_part(name)) misuse("no format after '{}'; it comes last, as in {}", name, kExample);
  return parse_target(text);
}

/// A short form being read. Errors carry no place; parse_short adds it.
class Composer {
 public:
  void add(const std::string& text, bool last) {
    if (text.empty()) misuse("an empty step; steps are joined by single '+'");
    if (last) {
      quantize_.quantize = parse_format(text);
      recipe_.steps.push_back(quantize_);
      if (const auto fault = find_fault(recipe_)) misuse("{}", fault->reason);
      return;
    }
    const Part part = parse_part(text);
    if (row_of(part).stage == PartStage::kRounding) return set_rounding(part);
    RecipeStep step;
    step.transform = transform_of(part);
    recipe_.steps.push_back(std::move(step));
    if (const auto fault = find_fault(with_any_format())) misuse("{}", fault->reason);
  }

  Recipe take() { return std::move(recipe_); }

 private:
  void set_rounding(const Part& part) {
    const std::string name(row_of(part).name);
    if (!rounding_.empty()) misuse("'{}' is a second rounding after '{}'; choose one", name, rounding_);
    rounding_ = name;
    quantize_.rounding = rounding_of(part);
  }

  /// The steps so far as a whole recipe, so that a fault is found where it is made.
  Recipe with_any_format() const {
    Recipe whole = recipe_;
    RecipeStep any;
    any.quantize = RoundingTarget{};
    whole.steps.push_back(any);
    return whole;
  }

  Recipe recipe_;
  RecipeStep quantize_;
  std::string rounding_;
};

/// "rounded with error feedback (GPTQ), damping 0.05, order act-order"
std::string in_words(const Part& part) {
  std::vector<std::string> options;
  for (const auto& [option, value] : changed_options(part)) {
    options.push_back(fmt::format("{} {}", option->name, value_text(*option, value)));
  }
  const std::string_view words = row_of(part).words;
  return options.empty() ? std::string(words) : fmt::format("{}, {}", words, fmt::join(options, ", "));
}

std::string describe(const Recipe& recipe) {
  const RecipeStep& last = recipe.steps.back();
  std::string before, after;
  for (const RecipeStep& step : recipe.steps) {
    if (!step.transform) continue;
    const Part part = part_of(*step.transform);
    const bool late = row_of(part).stage == PartStage::kAfterwards;
    std::string& list = late ? after : before;
    list += (list.empty() ? (late ? "; afterwards " : "; before that ") : ", then ") + in_words(part);
  }
  return fmt::format("{} for every linear layer of the blocks, {}{}{}", to_string(*last.quantize),
                     in_words(part_of(last.rounding)), before, after);
}

/// "gptq+int4-g128", of nearest rounding the format alone.
std::string quantize_text(const RecipeStep& step) {
  const std::string format = to_string(*step.quantize);
  return step.rounding == Rounding{} ? format : fmt::format("{}+{}", to_short(step.rounding), format);
}

}  // namespace

Recipe parse_short(std::string_view text) {
  if (text.empty()) misuse("a short recipe is empty; write one as {}", kExample);
  const std::vector<std::string> steps = split_steps(text);
  Composer composer;
  for (size_t s = 0; s < steps.size(); ++s) {
    try {
      composer.add(steps[s], s + 1 == steps.size());
    } catch (const Error& error) {
      if (steps.size() == 1) throw;
      misuse("short recipe '{}', step {}: {}", text, s + 1, error.what());
    }
  }
  Recipe recipe = composer.take();
  recipe.name = *to_short(recipe);
  recipe.description = describe(recipe);
  return recipe;
}

std::optional<std::string> to_short(const Recipe& recipe) {
  if (recipe.steps.empty() || !recipe.steps.back().quantize) return std::nullopt;
  std::string text;
  for (const RecipeStep& step : recipe.steps) {
    if (!step.targets.empty() || step.keeps()) return std::nullopt;
    if (step.quantize && &step != &recipe.steps.back()) return std::nullopt;
    text += step.transform ? to_short(*step.transform) + "+" : quantize_text(step);
  }
  return text;
}

std::string to_short(const Rounding& rounding) { return to_short(part_of(rounding)); }
std::string to_short(const Transform& transform) { return to_short(part_of(transform)); }

}  // namespace bitloom
