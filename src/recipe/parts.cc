#include "recipe/parts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <type_traits>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

[[noreturn]] void reject_option(const PartRow& row, std::string_view word) {
  if (row.options.empty()) misuse("'{}' takes no options, found '{}'", row.name, word);
  std::vector<std::string> allowed, known;
  for (const Option& option : row.options) {
    known.emplace_back(option.name);
    if (!option.alias.empty()) known.emplace_back(option.alias);
    known.insert(known.end(), option.choices.begin(), option.choices.end());
    allowed.push_back(option.alias.empty() ? std::string(option.name)
                                           : fmt::format("{} (or {})", option.name, option.alias));
  }
  misuse("unknown option '{}' of '{}'{}; allowed: {}", word, row.name, did_you_mean(word, known),
         fmt::join(allowed, ", "));
}

const Option* find_option(const PartRow& row, std::string_view name) {
  for (const Option& option : row.options) {
    if (name == option.name || (!option.alias.empty() && name == option.alias)) return &option;
  }
  return nullptr;
}

const Option& assign(Part& part, const Option& option, std::string_view value) {
  const auto parsed = parse_option(option, value);
  if (!parsed) {
    misuse("{} of '{}' must be {}, found '{}'", option.name, row_of(part).name, allowed_values(option), value);
  }
  option.set(part, *parsed);
  return option;
}

bool is_rounding(const Part& part) { return row_of(part).stage == PartStage::kRounding; }

Part part_named(std::string_view name, bool rounding) {
  const auto part = find_part(name);
  if (part && is_rounding(*part) == rounding) return *part;
  std::vector<std::string> allowed;
  for (const std::string& known : part_names()) {
    if (is_rounding(*find_part(known)) == rounding) allowed.push_back(known);
  }
  const char* kinds[] = {"transform", "rounding"};
  if (part) {
    misuse("'{}' is a {}, not a {}; allowed: {}", name, kinds[!rounding], kinds[rounding], fmt::join(allowed, ", "));
  }
  misuse("unknown {} '{}'{}; allowed: {}", kinds[rounding], name, did_you_mean(name, allowed),
         fmt::join(allowed, ", "));
}

template <typename... Kinds>
Transform transform_among(const Part& part, const std::variant<Kinds...>*) {
  Transform found;
  const auto take = [&found](const auto* kind) { return kind != nullptr && (found = *kind, true); };
  if ((take(part.get_if<Kinds>()) || ...)) return found;
  fail(ErrorKind::kFailed, "'{}' is a part of another kind", row_of(part).name);
}

/// As short as set_bare_option understands it: choices, set flags and an only option's number go without a name.
std::string option_text(const PartRow& row, const Option& option, double value) {
  const std::string text = value_text(option, value);
  if (option.kind == OptionKind::kFlag && value != 0) return std::string(option.name);
  if (option.kind == OptionKind::kChoice) return text;
  if (option.kind != OptionKind::kFlag && row.options.size() == 1) return text;
  return fmt::format("{}={}", option.name, text);
}

}  // namespace

Part part_of(const Rounding& rounding) { return rounding.options(); }

Part part_of(const Transform& transform) {
  return std::visit([](const auto& options) { return Part(options); }, transform);
}

Rounding rounding_of(const Part& part) { return Rounding(part); }
Transform transform_of(const Part& part) { return transform_among(part, static_cast<const Transform*>(nullptr)); }

const PartRow& row_of(const Part& part) {
  for (const PartRow& row : part_rows()) {
    if (row.defaults.type() == part.type()) return row;
  }
  fail(ErrorKind::kFailed, "a part of type {} has no row", part.type().name());
}

PartStage stage_of(const Transform& transform) { return row_of(part_of(transform)).stage; }

std::optional<Part> find_part(std::string_view name) {
  for (const PartRow& row : part_rows()) {
    if (row.name == name) return row.defaults;
  }
  for (const PartAlias& alias : part_aliases()) {
    if (alias.name == name) return alias.part;
  }
  return std::nullopt;
}

Part rounding_named(std::string_view name) { return part_named(name, true); }
Part transform_named(std::string_view name) { return part_named(name, false); }

std::vector<std::string> part_names() {
  std::vector<std::string> names;
  for (const PartRow& row : part_rows()) names.emplace_back(row.name);
  for (const PartAlias& alias : part_aliases()) names.emplace_back(alias.name);
  return names;
}

const Option& set_option(Part& part, std::string_view name, std::string_view value) {
  const PartRow& row = row_of(part);
  const Option* option = find_option(row, name);
  if (option == nullptr) reject_option(row, name);
  return assign(part, *option, value);
}

const Option& set_bare_option(Part& part, std::string_view word) {
  const PartRow& row = row_of(part);
  if (const Option* option = find_option(row, word)) {
    if (option->kind == OptionKind::kFlag) return assign(part, *option, "true");
    misuse("{} of '{}' needs a value, {}: {}=...", word, row.name, allowed_values(*option), word);
  }
  for (const Option& option : row.options) {
    if (option.kind == OptionKind::kChoice && parse_option(option, word)) return assign(part, option, word);
  }
  const bool number = parse_number<double>(word).has_value();
  if (!number || row.options.empty()) reject_option(row, word);
  const Option& first = row.options.front();
  if (first.kind != OptionKind::kNumber && first.kind != OptionKind::kInteger) {
    misuse("'{}' takes no bare number, found '{}'; its first option is {} ({})", row.name, word, first.name,
           allowed_values(first));
  }
  return assign(part, first, word);
}

std::vector<std::pair<const Option*, double>> changed_options(const Part& part) {
  const PartRow& row = row_of(part);
  std::vector<std::pair<const Option*, double>> result;
  for (const Option& option : row.options) {
    if (option.get(part) != option.get(row.defaults)) result.emplace_back(&option, option.get(part));
  }
  return result;
}

std::string to_short(const Part& part) {
  const PartRow& row = row_of(part);
  std::vector<std::string> words;
  for (const auto& [option, value] : changed_options(part)) words.push_back(option_text(row, *option, value));
  return words.empty() ? std::string(row.name) : fmt::format("{}:{}", row.name, fmt::join(words, ","));
}

}  // namespace bitloom
