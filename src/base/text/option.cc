#include "base/text/option.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text/text.h"

namespace bitloom {

std::optional<double> parse_option(const Option& option, std::string_view text) {
  switch (option.kind) {
    case OptionKind::kNumber: {
      const auto number = parse_number<double>(text);
      if (!number || !in_range(option, *number)) return std::nullopt;
      return *number + 0.0;  // -0 is 0
    }
    case OptionKind::kInteger: {
      const auto integer = parse_number<int64_t>(text);
      if (!integer || !in_range(option, static_cast<double>(*integer))) return std::nullopt;
      return static_cast<double>(*integer);
    }
    case OptionKind::kFlag:
      if (text != "true" && text != "false") return std::nullopt;
      return text == "true" ? 1 : 0;
    case OptionKind::kChoice: {
      const auto found = std::find(option.choices.begin(), option.choices.end(), text);
      if (found == option.choices.end()) return std::nullopt;
      return static_cast<double>(found - option.choices.begin());
    }
  }
  return std::nullopt;
}

std::string value_text(const Option& option, double value) {
  switch (option.kind) {
    case OptionKind::kNumber:
      return fmt::format("{}", value);
    case OptionKind::kInteger:
      return fmt::format("{}", static_cast<int64_t>(value));
    case OptionKind::kFlag:
      return value != 0 ? "true" : "false";
    case OptionKind::kChoice:
      return std::string(option.choices[static_cast<size_t>(value)]);
  }
  return "";
}

std::string allowed_values(const Option& option) {
  switch (option.kind) {
    case OptionKind::kNumber:
      return fmt::format("a number from {} to {}", option.low, option.high);
    case OptionKind::kInteger:
      return fmt::format("an integer from {:.0f} to {:.0f}", option.low, option.high);
    case OptionKind::kFlag:
      return "true or false";
    case OptionKind::kChoice:
      return fmt::format("one of {}", fmt::join(option.choices, ", "));
  }
  return "";
}

bool in_range(const Option& option, double value) { return value >= option.low && value <= option.high; }

}  // namespace bitloom
