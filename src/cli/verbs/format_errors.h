#pragma once
// formats --sqnr: what rounding to formats is expected to cost.

#include <string>
#include <vector>

#include "cli/terminal/session.h"

namespace bitloom {

/// Errors of `formats` (of those that INT8 is compared with where there are none) on numbers of a distribution
/// (density_spellings() or FILE:TENSOR) over the clip value, and at the best one; a plot of them in the file `plot`
/// unless "". Error(kUsage) for what is no distribution or no format.
void show_expected_errors(const std::string& distribution, const std::vector<std::string>& formats,
                          const std::string& plot, Session& session);

}  // namespace bitloom
