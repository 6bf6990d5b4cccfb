#include "format/activation_format.h"

#include "base/error.h"
#include "base/text.h"

namespace bitloom {
namespace {

using Granularity = ActivationFormat::Granularity;

constexpr std::string_view kOptions = "-token -tensor -gN (N a positive integer)";

/// `part` is what stands behind the last '-'.
void read_granularity(std::string_view part, std::string_view text, ActivationFormat& format) {
  format.group = 0;
  if (part == "token") {
    format.granularity = Granularity::kToken;
  } else if (part == "tensor") {
    format.granularity = Granularity::kTensor;
  } else if (const auto group = parse_number<int64_t>(part.substr(part.starts_with('g') ? 1 : part.size()));
             group && *group > 0) {
    format.granularity = Granularity::kGroup;
    format.group = *group;
  } else {
    const std::vector<std::string> words = {"token", "tensor"};
    misuse("unknown option \"-{}\" in the activation format \"{}\"; options are {}{}", part, text, kOptions,
           did_you_mean(part, words));
  }
}

}  // namespace

ActivationFormat parse_activation_format(std::string_view text) {
  // A table's levels may be negative.
  const size_t bracket = text.find(']'), dash = text.rfind('-');
  const bool has_option = dash != std::string_view::npos && (bracket == std::string_view::npos || dash > bracket);
  const std::string_view name = has_option ? text.substr(0, dash) : text;
  const auto format = find_format(name);
  if (!format) {
    misuse("unknown format \"{}\" in the activation format \"{}\"; formats are {}{}", name, text, format_spellings(),
           did_you_mean(name, format_names()));
  }
  ActivationFormat result;
  if (!has_option)
    misuse("the activation format \"{}\" does not say who shares a scale; options are {}", text, kOptions);
  read_granularity(text.substr(dash + 1), text, result);
  result.format = *format;
  return result;
}

std::string to_string(const ActivationFormat& format) {
  const std::string name = name_of(format.format);
  switch (format.granularity) {
    case Granularity::kTensor:
      return name + "-tensor";
    case Granularity::kToken:
      return name + "-token";
    case Granularity::kGroup:
      break;
  }
  return fmt::format("{}-g{}", name, format.group);
}

}  // namespace bitloom
