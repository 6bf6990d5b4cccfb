#include "format/named_format.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {

std::string about_no_exponent(const std::string& name) {
  if (!name.starts_with("e0m")) return {};
  const auto mantissa = parse_number<int>(std::string_view(name).substr(3));
  if (!mantissa || *mantissa < 1 || *mantissa > 7) return {};
  return fmt::format("'{}' has no exponent bits; numbers in equal steps are int{}-narrow{}", name, *mantissa + 1,
                     *mantissa > 1 ? fmt::format(", or e1m{} in other units", *mantissa - 1) : "");
}

void refuse_format(const std::string& place, const std::string& name, const std::vector<std::string>& others) {
  if (const std::string about = about_no_exponent(name); !about.empty()) misuse("{}: {}", place, about);
  std::vector<std::string> names = format_names();
  names.insert(names.end(), others.begin(), others.end());
  misuse("{}: unknown format '{}'{}; there are: {}", place, name, did_you_mean(name, names), fmt::join(names, ", "));
}

Format named_format(const std::string& place, const std::string& name) {
  if (const auto format = find_format(name)) return *format;
  refuse_format(place, name);
}

}  // namespace bitloom
