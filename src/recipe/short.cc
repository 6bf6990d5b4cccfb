// The short form of recipes: "hadamard+gptq:act-order,damp=0.05+int4-g128".

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/text/text.h"
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

/// At '+', except inside brackets (the levels of a table) and numbers, and before side terms, which belong to a format.
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
  std::vector<std::string> joined;
  for (std::string& step : steps) {
    if (joined.empty() || !is_side_term(step)) {
      joined.push_back(std::move(step));
    } else {
      joined.back() += "+" + step;
    }
  }
  return joined;
}

bool is_format(const std::string& text) {
  try {
    parse_target(text);
    return true;
  } catch (const Error&) {
    return false;
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

/// Matrices outside the blocks that a short form may name, behind the format of the blocks.
constexpr std::string_view kOutside[] = {"head", "embedding"};

/// What attention multiplies, as a short form names it behind them.
struct OperandWord {
  std::string_view text;
  std::vector<std::string> targets;
};
const std::vector<OperandWord>& operand_words() {
  static const std::vector<OperandWord> words = [] {
    std::vector<OperandWord> all = {{"kv", {"keys", "values"}}};
    for (const Operand operand : kOperands) all.push_back({name_of(operand), {std::string(name_of(operand))}});
    return all;
  }();
  return words;
}

bool is_said_of(std::string_view text, std::string_view name) {
  return text.starts_with(name) && text.substr(name.size(), 1) == ":";
}

/// The role of "head:int8-row", or "".
std::string_view outside_role(std::string_view text) {
  for (const std::string_view role : kOutside) {
    if (is_said_of(text, role)) return role;
  }
  return "";
}

/// The word of "kv:int4-token", or null.
const OperandWord* operand_word(std::string_view text) {
  for (const OperandWord& word : operand_words()) {
    if (is_said_of(text, word.text)) return &word;
  }
  return nullptr;
}

/// What may follow the format of the blocks.
bool is_behind(std::string_view text) { return !outside_role(text).empty() || operand_word(text) != nullptr; }

/// A short form being read. Errors carry no place; parse_short adds it.
class Composer {
 public:
  /// The format of the blocks.
  void add_format(const std::string& text) {
    if (is_behind(text)) misuse("no format before '{}'; that of the blocks comes first", text);
    const size_t at = text.find('@');
    quantize_.quantize = parse_format(text.substr(0, at));
    if (at != std::string::npos) quantize_.activations = parse_activation_format(text.substr(at + 1));
    recipe_.steps.push_back(quantize_);
    check_faults(recipe_);
  }

  /// "head:int8-row", to nearest; "kv:int4-token".
  void add_behind(const std::string& text) {
    if (const OperandWord* word = operand_word(text)) return add_operands(*word, text.substr(word->text.size() + 1));
    const std::string role(outside_role(text));
    for (const RecipeStep& step : recipe_.steps) {
      if (step.targets == std::vector<std::string>{role}) misuse("a second format for '{}'; choose one", role);
    }
    RecipeStep step;
    if (text.find('@') != std::string::npos) misuse("'{}': only what the blocks read is rounded", text);
    step.quantize = parse_target(text.substr(role.size() + 1));
    step.targets = {role};
    recipe_.steps.push_back(std::move(step));
    check_faults(recipe_);
  }

  void add_part(const std::string& text) {
    const Part part = parse_part(text);
    if (row_of(part).stage == PartStage::kRounding) return set_rounding(part);
    RecipeStep step;
    step.transform = transform_of(part);
    recipe_.steps.push_back(std::move(step));
    check_faults(with_any_format());
  }

  Recipe take() { return std::move(recipe_); }

 private:
  void add_operands(const OperandWord& word, const std::string& format) {
    RecipeStep step;
    step.attention = parse_activation_format(format);
    step.targets = word.targets;
    for (const RecipeStep& other : recipe_.steps) {
      for (const std::string& target : other.targets) {
        if (!other.attention || std::find(step.targets.begin(), step.targets.end(), target) == step.targets.end())
          continue;
        misuse("a second format for '{}'; choose one", target);
      }
    }
    recipe_.steps.push_back(std::move(step));
    check_faults(recipe_);
  }

  static void check_faults(const Recipe& recipe) {
    if (const auto fault = find_fault(recipe)) misuse("{}", fault->reason);
  }

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
    any.quantize = RoundingTarget{}, any.activations = ActivationFormat{};
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

/// "head", "kv": what stands before the format of a step that a short form has behind that of the blocks; "" of others.
std::string_view word_behind(const RecipeStep& step) {
  if (step.attention) {
    for (const OperandWord& word : operand_words()) {
      if (step.targets == word.targets) return word.text;
    }
    return "";
  }
  if (!step.quantize || step.rounding != Rounding{} || step.activations || step.targets.size() != 1) return "";
  const auto role = std::find(std::begin(kOutside), std::end(kOutside), step.targets[0]);
  return role == std::end(kOutside) ? "" : *role;
}

/// The step that quantizes the blocks, behind which only matrices outside them and attention's operands follow; null in
/// a recipe that is no short one.
const RecipeStep* step_of_blocks(const Recipe& recipe) {
  const RecipeStep* found = nullptr;
  std::vector<std::string> seen;  // targets
  for (const RecipeStep& step : recipe.steps) {
    if (found != nullptr && !word_behind(step).empty()) {
      for (const std::string& target : step.targets) {
        if (std::find(seen.begin(), seen.end(), target) != seen.end()) return nullptr;
        seen.push_back(target);
      }
      continue;
    }
    if (step.attention) return nullptr;
    if (found != nullptr || step.keeps() || !step.targets.empty()) return nullptr;
    if (step.quantize) found = &step;
  }
  return found;
}

std::string describe(const Recipe& recipe) {
  const RecipeStep& blocks = *step_of_blocks(recipe);
  std::string before, after, outside;
  for (const RecipeStep& step : recipe.steps) {
    if (step.quantize && &step != &blocks) {
      outside += fmt::format("; the {} in {}", step.targets[0], to_string(*step.quantize));
    }
    if (step.attention) {
      outside += fmt::format("; {} in {}", fmt::join(step.targets, " and "), to_string(*step.attention));
    }
    if (!step.transform) continue;
    const Part part = part_of(*step.transform);
    const bool late = row_of(part).stage >= PartStage::kAfterwards;
    std::string& list = late ? after : before;
    list += (list.empty() ? (late ? "; afterwards " : "; before that ") : ", then ") + in_words(part);
  }
  const std::string inputs = blocks.activations ? fmt::format(" and inputs in {}", to_string(*blocks.activations)) : "";
  return fmt::format("{}{} for every linear layer of the blocks, {}{}{}{}", to_string(*blocks.quantize), inputs,
                     in_words(part_of(blocks.rounding)), before, after, outside);
}

}  // namespace

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

Recipe parse_short(std::string_view text) {
  if (text.empty()) misuse("a short recipe is empty; write one as {}", kExample);
  const std::vector<std::string> steps = split_steps(text);
  size_t format = steps.size() - 1;
  while (format > 0 && is_behind(steps[format])) --format;
  Composer composer;
  for (size_t s = 0; s < steps.size(); ++s) {
    try {
      if (steps[s].empty()) misuse("an empty step; steps are joined by single '+'");
      s < format    ? composer.add_part(steps[s])
      : s == format ? composer.add_format(steps[s])
                    : composer.add_behind(steps[s]);
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
  const RecipeStep* blocks = step_of_blocks(recipe);
  if (blocks == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (const RecipeStep& step : recipe.steps) {
    const auto behind = [&step] { return step.attention ? to_string(*step.attention) : to_string(*step.quantize); };
    texts.push_back(step.transform    ? to_short(*step.transform)
                    : &step == blocks ? to_short(step)
                                      : fmt::format("{}:{}", word_behind(step), behind()));
  }
  return fmt::format("{}", fmt::join(texts, "+"));
}

std::string to_short(const RecipeStep& step) {
  std::string format = to_string(*step.quantize);
  if (step.activations) format += "@" + to_string(*step.activations);
  return step.rounding == Rounding{} ? format : fmt::format("{}+{}", to_short(step.rounding), format);
}

std::string to_short(const Rounding& rounding) { return to_short(part_of(rounding)); }
std::string to_short(const Transform& transform) { return to_short(part_of(transform)); }

}  // namespace bitloom
