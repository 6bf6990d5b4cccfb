#include "base/install_paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace bitloom {
namespace {

namespace fs = std::filesystem;

TEST(DataDirectories, AreFoundFromTheProgramAndTheCurrentDirectory) {
  for (const char* name : {"recipes", "assets/demo"}) {
    const std::vector<std::string> found = data_directories(name);
    EXPECT_EQ(std::count(found.begin(), found.end(), fs::canonical(name).string()), 1) << name;
    for (const std::string& directory : found) EXPECT_TRUE(fs::is_directory(directory)) << directory;
  }
}

TEST(DataDirectories, AreNoFilesAndNothingThatIsAbsent) {
  EXPECT_TRUE(data_directories("HACKING.md").empty());
  EXPECT_TRUE(data_directories("no such folder").empty());
}

}  // namespace
}  // namespace bitloom
