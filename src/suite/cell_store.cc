#include "suite/cell_store.h"

#include <filesystem>

#include "base/error.h"
#include "io/directory/output_file.h"

namespace bitloom {

namespace fs = std::filesystem;

CellStore::CellStore(const std::string& directory, std::string build, bool any_build)
    : directory_(directory + "/cells"), build_(std::move(build)), any_build_(any_build) {
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) fail(ErrorKind::kFailed, "{}: {}", directory_, error.message());
}

std::string CellStore::result_file(const Cell& cell) const {
  return fmt::format("{}/{}-{}.json", directory_, cell.evaluation, cell.key);
}

std::string CellStore::output(const Cell& cell) const {
  return fmt::format("{}/{}-{}-{}.out", directory_, cell.evaluation, cell.key, build_.substr(0, 8));
}

std::optional<CellResult> CellStore::find(const Cell& cell) const { return find(cell, any_build_); }

std::optional<CellResult> CellStore::find(const Cell& cell, bool any_build) const {
  try {
    if (!fs::exists(result_file(cell))) return std::nullopt;
    const Json stored = read_json(result_file(cell));
    if (!any_build && stored.at("build") != build_) return std::nullopt;
    return CellResult{stored.at("record"), stored.at("seconds")};
  } catch (const std::exception&) {
    return std::nullopt;  // damaged: made again
  }
}

void CellStore::write(const Cell& cell, const CellResult& result) const {
  const Json stored = {{"label", cell.label},
                       {"build", build_},
                       {"words", cell.words},
                       {"record", result.record},
                       {"seconds", result.seconds}};
  replace_file(result_file(cell), stored.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void CellStore::forget(const Cell& cell) const {
  fs::remove(result_file(cell));
  fs::remove_all(output(cell));
}

bool CellStore::has_output(const Cell& cell) const { return fs::exists(output(cell)) && find(cell, false).has_value(); }

void CellStore::remove_output(const Cell& cell) const {
  const std::string stem = fs::path(output(cell)).filename().string();
  remove_files([&](const std::string& name) { return name.starts_with(stem); });
}

void CellStore::remove_all_outputs() const {
  remove_files([](const std::string& name) { return name.find(".out") != std::string::npos; });
}

void CellStore::remove_files(const std::function<bool(const std::string&)>& named) const {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory_))
    if (named(entry.path().filename().string())) found.push_back(entry.path());
  for (const fs::path& path : found) fs::remove_all(path);
}

}  // namespace bitloom
