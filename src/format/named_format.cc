#include "format/named_format.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"

namespace bitloom {
namespace {

/// "e0m3" has the levels of no minifloat, but those of an integer of as many bits.
void refuse_no_exponent(const std::string& place, const std::string& name) {
  if (!name.starts_with("e0m")) return;
  const auto mantissa = parse_number<int>(std::string_view(name).substr(3));
  if (!mantissa || *mantissa < 1 || *mantissa > 7) return;
  misuse("{}: '{}' has no exponent bits; numbers in equal steps are int{}-narrow{}", place, name, *mantissa + 1,
         *mantissa > 1 ? fmt::format(", or e1m{} in other units", *mantissa - 1) : "");
}

}  // namespace

void refuse_format(const std::string& place, const std::string& name, const std::vector<std::string>& others) {
  refuse_no_exponent(place, name);
  std::vector<std::string> names = format_names();
  names.insert(names.end(), others.begin(), others.end());
  misuse("{}: unknown format '{}'{}; there are: {}", place, name, did_you_mean(name, names), fmt::join(names, ", "));
}

Format named_format(const std::string& place, const std::string& name) {
  if (const auto format = find_format(name)) return *format;
  refuse_format(place, name);
}

}  // namespace bitloom
