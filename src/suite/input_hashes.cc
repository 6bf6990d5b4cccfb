#include "suite/input_hashes.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "io/directory/output_file.h"
#include "io/hash.h"
#include "io/json.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

// A file that changed this short a time ago could change again without its time telling so.
constexpr int64_t kTooYoung = 2'000'000'000;

int64_t nanoseconds(fs::file_time_type time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

InputHashes::InputHashes(std::string file) : file_(std::move(file)) {
  try {
    if (!fs::exists(file_)) return;
    const Json known = read_json(file_);
    for (const auto& [path, entry] : known.items())
      entries_[path] = {entry.at("bytes"), entry.at("changed"), entry.at("sha256")};
  } catch (const std::exception&) {
    entries_.clear();
  }
}

std::string InputHashes::of_file(const std::string& path, Progress& progress) {
  std::error_code none;
  const auto bytes = static_cast<int64_t>(fs::file_size(path, none));
  const int64_t changed = nanoseconds(fs::last_write_time(path, none));
  const auto known = entries_.find(path);
  if (known != entries_.end() && known->second.bytes == bytes && known->second.changed == changed)
    return known->second.sha256;
  progress.advance(0, path);
  const std::string hash = sha256_file(path);
  entries_.erase(path);
  if (nanoseconds(fs::file_time_type::clock::now()) - changed > kTooYoung) entries_[path] = {bytes, changed, hash};
  return hash;
}

std::string InputHashes::of(const std::string& path, Progress& progress) {
  if (!fs::is_directory(path)) return of_file(path, progress);
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file()) files.insert(entry.path().string());
  std::string all;
  for (const std::string& file : files)
    all += fmt::format("{} {}\n", of_file(file, progress), fs::path(file).lexically_relative(path).string());
  return sha256_hex(all);
}

void InputHashes::save() const {
  Json document = Json::object();
  for (const auto& [path, entry] : entries_)
    document[path] = {{"bytes", entry.bytes}, {"changed", entry.changed}, {"sha256", entry.sha256}};
  replace_file(file_, document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace bitloom
