#pragma once
// Formats as users name them, and what is said of names that are none.

#include <string>
#include <vector>

#include "format/format.h"

namespace bitloom {

/// Error(kUsage) beginning with `place` (a verb, a flag), with the nearest name and all there are, `others` behind the
/// formats; of eXmY without exponent bits it says what is meant by such numbers.
[[noreturn]] void refuse_format(const std::string& place, const std::string& name,
                                const std::vector<std::string>& others = {});

/// The format called `name`; otherwise as above.
Format named_format(const std::string& place, const std::string& name);

}  // namespace bitloom
