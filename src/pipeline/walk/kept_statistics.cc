#include "pipeline/walk/kept_statistics.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/directory/output_file.h"
#include "observe/statistics_file.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;

std::string index_path(const std::string& directory) { return directory + "/statistics.json"; }

std::string input_path(const std::string& directory, int block, const std::string& input) {
  return fmt::format("{}/block-{:04}.{}.safetensors", directory, block, input);
}

/// Before the index speaks of another run.
void remove_inputs(const std::string& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("block-") && name.ends_with(".safetensors")) fs::remove(entry.path());
  }
}

}  // namespace

void begin_statistics(const std::string& directory, const StatisticsOrigin& origin) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot create directory: {}", directory, error.message());
  if (fs::exists(index_path(directory))) remove_inputs(directory);
  replace_file(index_path(directory), dump_json({{"version", kVersion},
                                                 {"source", origin.source},
                                                 {"rewrites", origin.rewrites},
                                                 {"calibration", origin.calibration}}));
}

void keep_statistics(const std::string& directory, int block, const std::string& input,
                     const InputStatistics& statistics) {
  write_statistics(input_path(directory, block, input), {{input, statistics}}, {});
}

Json open_statistics(const std::string& directory, const StatisticsOrigin& expected) {
  const std::string path = index_path(directory);
  if (!fs::exists(path)) refuse("{}: no statistics here; --save-stats keeps them", directory);
  const Json index = read_json(path);
  if (!index.is_object() || index.value("version", 0) != kVersion) {
    refuse("{}: \"version\" is {}, expected {}", path,
           index.is_object() ? index.value("version", Json()).dump() : "missing", kVersion);
  }
  if (index.value("source", Json()) != expected.source) refuse("{}: these are statistics of another model", path);
  if (index.value("rewrites", "") != expected.rewrites) {
    refuse("{}: these statistics were kept after the rewrites '{}', the recipe makes '{}'", path,
           index.value("rewrites", ""), expected.rewrites);
  }
  return index.value("calibration", Json::object());
}

InputStatistics load_statistics(const std::string& directory, int block, const std::string& input, int64_t channels,
                                const Needs& needs) {
  const std::string path = input_path(directory, block, input);
  if (!fs::exists(path)) refuse("{}: missing; the run that kept these statistics did not need them", path);
  StatisticsFile file = read_statistics(path);
  const auto found = file.inputs.find(input);
  if (found == file.inputs.end()) refuse("{}: no statistics of '{}'", path, input);
  if (found->second.channels() != channels) {
    refuse("{}: {} channels, the model has {}", path, found->second.channels(), channels);
  }
  if (needs.second_moment && !found->second.moment) {
    refuse("{}: without the second moment, which this recipe needs; keep statistics of it, or of gptq", path);
  }
  if (needs.cross_moment && !found->second.cross) {
    refuse("{}: without the float model's activations, which this recipe needs; keep statistics of it, or of gptaq",
           path);
  }
  if (needs.halves && !found->second.half) {
    refuse("{}: without the first half's moments, which this recipe needs; keep statistics of it, or of ldlq:drift=1",
           path);
  }
  if (needs.histogram && !found->second.histogram) {
    refuse("{}: without the histogram of values, which this recipe needs; keep statistics of it", path);
  }
  if (needs.sample > 0) {
    refuse("{}: kept statistics hold no tokens, and this recipe needs {}; use a text instead of --stats", path,
           needs.sample);
  }
  return std::move(found->second);
}

}  // namespace bitloom
