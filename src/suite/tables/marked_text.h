#pragma once
// Parts of a document that a suite fills in: what stands between the lines
//   <!-- suites/NAME.yaml -->          the suite's first table
//   <!-- suites/NAME.yaml TABLE -->    the table of that name
// and the next line <!-- end -->.

#include <string>
#include <vector>

#include "suite/tables/tables.h"

namespace bitloom {

/// `text` with every part marked with a path whose file name is that of `suite_path` replaced. `origin` is the
/// document's path, for messages: Error(kUsage) with its line for a part that is not closed, one of a table that the
/// suite has not, one whose table lacks values, and when nothing is marked for this suite.
std::string fill_marked_parts(const std::string& text, const std::string& origin, const std::string& suite_path,
                              const std::vector<RenderedTable>& tables);

}  // namespace bitloom
