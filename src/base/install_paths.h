#pragma once
// Where the files that come with bitloom lie, from a build tree, an installation or a checkout.

#include <string>
#include <vector>

namespace bitloom {

/// Where the folder `name` ("recipes", "assets/calibration") may lie, first match wins: beside the build that the
/// program runs from (EXE/../../name), share/bitloom/name beside its bin/, in the current directory. Existing
/// directories only, each once.
std::vector<std::string> data_directories(const std::string& name);

}  // namespace bitloom
