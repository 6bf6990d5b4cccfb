// Tasks by name: the folder that comes with bitloom, and files.

#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/install_paths.h"
#include "base/text/text.h"
#include "eval/tasks/task.h"
#include "io/json.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

/// The task files by stem; of equal stems the first directory's.
std::map<std::string, std::string> task_files() {
  std::map<std::string, std::string> result;
  for (const std::string& directory : data_directories("tasks")) {
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(directory, unreadable))
      if (entry.path().extension() == ".yaml") result.emplace(entry.path().stem().string(), entry.path().string());
  }
  return result;
}

Task read_task_file(const std::string& path) {
  if (!fs::is_regular_file(path)) misuse("{}: no such task file", path);
  return parse_task(read_text(path), path);
}

}  // namespace

std::vector<TaskEntry> list_tasks() {
  std::vector<TaskEntry> result;
  for (const auto& [name, path] : task_files()) result.push_back({name, path, read_task_file(path).description});
  return result;
}

Task load_task(const std::string& text) {
  if (text.find('/') != std::string::npos || fs::path(text).extension() == ".yaml") return read_task_file(text);
  const auto files = task_files();
  if (const auto file = files.find(text); file != files.end()) return read_task_file(file->second);
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const auto& file : files) names.push_back(file.first);
  misuse("unknown task '{}'{}; tasks: {}", text, did_you_mean(text, names), fmt::join(names, ", "));
}

}  // namespace bitloom
