#pragma once

#include <string>

namespace bitloom {

/// "0.1.0".
std::string version();

}  // namespace bitloom
