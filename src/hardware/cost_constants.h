#pragma once

#include <string_view>

namespace bitloom {

/// cost_constants.json; made part of the program when it is built.
extern const std::string_view kCostConstants;

}  // namespace bitloom
