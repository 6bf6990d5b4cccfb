#pragma once

#include <string>

namespace bitloom {

/// Of the program: "0.1.0".
std::string version();

}  // namespace bitloom
