#include "cli/pages/page_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/version.h"
#include "io/directory/output_file.h"

namespace bitloom {

void check_page_file(const std::string& path, const std::string& what) {
  namespace fs = std::filesystem;
  if (fs::is_directory(path)) fail(ErrorKind::kFailed, "{}: cannot write {}: it is a directory", path, what);
  const fs::path parent = fs::path(path).parent_path();
  const std::string place = fs::exists(path) ? path : parent.empty() ? "." : parent.string();
  if (access(place.c_str(), W_OK) != 0) {
    fail(ErrorKind::kFailed, "{}: cannot write {}: {}", path, what, std::strerror(errno));
  }
}

void write_page(const std::string& path, Page page) {
  page.footer = "bitloom " + version();
  OutputFile file(path);
  file.write_at(0, to_html(page));
  file.finish();
}

}  // namespace bitloom
