#pragma once
// Inside of model/: tensors of a file that the graph does not read. Some must not be overlooked.

#include <map>
#include <set>
#include <string>

namespace bitloom {

/// Refuses a tensor of `unused` (name -> file) that says how a tensor of `used` is to be read: a scale or a zero point
/// of stored codes, an adapter, a mask. Without it the used one means something else. `origin` is what should have
/// told.
void refuse_qualifying_tensors(const std::string& origin, const std::set<std::string>& used,
                               const std::map<std::string, std::string>& unused);

/// One sentence about tensors that may have been meant to change results; "" where all of `unused` are of kinds that
/// never do: buffers that are computed from the configuration, a head that is tied to the embedding.
std::string remark_on_unused(const std::string& origin, const std::map<std::string, std::string>& unused,
                             bool tied_head);

}  // namespace bitloom
