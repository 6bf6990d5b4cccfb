#include "base/install_paths.h"

#include <algorithm>
#include <filesystem>

namespace bitloom {

std::vector<std::string> data_directories(const std::string& name) {
  namespace fs = std::filesystem;
  std::vector<fs::path> places;
  std::error_code none;
  const fs::path program = fs::read_symlink("/proc/self/exe", none);
  if (!none) {
    const fs::path bin = program.parent_path();
    places = {bin / "../.." / name, bin / "../share/bitloom" / name};
  }
  places.emplace_back(name);
  std::vector<std::string> result;
  for (const fs::path& place : places) {
    const fs::path real = fs::canonical(place, none);
    if (none || !fs::is_directory(real)) continue;
    if (std::find(result.begin(), result.end(), real.string()) == result.end()) result.push_back(real.string());
  }
  return result;
}

}  // namespace bitloom
