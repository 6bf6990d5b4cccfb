#pragma once
// Formats as users name them, and what is said of names that are none.

#include <string>
#include <vector>

#include "format/format.h"

namespace bitloom {

/// What is meant by eXmY without exponent bits, as in "e0m3 has no exponent bits; numbers in equal steps are
/// int4-narrow, or e1m2 in other units"; empty for any other name.
std::string about_no_exponent(const std::string& name);

/// Error(kUsage) beginning with `place` (a verb, a flag), with the nearest name and all there are, `others` behind the
/// formats; of a name that about_no_exponent() knows what that says.
[[noreturn]] void refuse_format(const std::string& place, const std::string& name,
                                const std::vector<std::string>& others = {});

/// The format called `name`; otherwise as above.
Format named_format(const std::string& place, const std::string& name);

}  // namespace bitloom
