#include "io/directory/scratch_directory.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace bitloom {

namespace {
constexpr const char* kPrefix = "scratch-";
}

ScratchDirectory::ScratchDirectory(const std::string& parent) : path_(parent + "/" + kPrefix + "XXXXXX") {
  if (mkdtemp(path_.data()) != nullptr) return;
  fail(ErrorKind::kFailed, "{}: cannot create directory: {}", path_, std::generic_category().message(errno));
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

void remove_scratch_directories(const std::string& parent) {
  std::error_code error;
  std::vector<std::filesystem::path> left;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    if (entry.path().filename().string().starts_with(kPrefix)) left.push_back(entry.path());
  }
  for (const std::filesystem::path& path : left) std::filesystem::remove_all(path, error);
}

}  // namespace bitloom
