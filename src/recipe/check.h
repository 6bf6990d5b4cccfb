#pragma once
// Which steps make sense together; inside recipe/.

#include <optional>
#include <string>

#include "recipe/recipe.h"

namespace bitloom {

/// What is wrong and with which step.
struct RecipeFault {
  size_t step = 0;
  std::string reason;
};
/// The first fault that check() would refuse.
std::optional<RecipeFault> find_fault(const Recipe& recipe);

/// Why no site can have both, "" when it can: the same transform twice, or two channel scalings.
std::string clash(const Transform& first, const Transform& second);

}  // namespace bitloom
