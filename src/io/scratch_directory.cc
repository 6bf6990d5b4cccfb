#include "io/scratch_directory.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace bitloom {

ScratchDirectory::ScratchDirectory(const std::string& parent) : path_(parent + "/scratch-XXXXXX") {
  if (mkdtemp(path_.data()) != nullptr) return;
  fail(ErrorKind::kFailed, "{}: cannot create directory: {}", path_, std::generic_category().message(errno));
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

}  // namespace bitloom
