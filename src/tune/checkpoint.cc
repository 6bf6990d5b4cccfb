#include "tune/checkpoint.h"

#include <fmt/ranges.h>

#include <filesystem>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "io/json.h"
#include "io/safetensors/safetensors.h"

namespace bitloom {
namespace {

/// The state's vectors under their names in the file.
template <class State>
auto groups_of(State& state) {
  return std::map<std::string, decltype(&state.best)>{{"values", &state.adam.values},
                                                      {"first", &state.adam.first},
                                                      {"second", &state.adam.second},
                                                      {"best", &state.best}};
}

template <class Number>
void take(const std::map<std::string, std::string>& metadata, const std::string& name, Number& to) {
  const auto found = metadata.find(name);
  const auto number = found == metadata.end() ? std::nullopt : parse_number<Number>(found->second);
  if (!number) refuse("'{}' is no number", name);
  to = *number;
}

/// What differs between two runs: "lr was 0.001, is 0.002".
std::vector<std::string> differences(const std::string& was, const std::string& is) {
  const Json before = Json::parse(was, nullptr, false), now = Json::parse(is);
  if (!before.is_object()) return {"it does not say of which"};
  std::vector<std::string> lines;
  for (const auto& [key, value] : now.items()) {
    const Json old = before.value(key, Json());
    if (old != value) lines.push_back(fmt::format("{} was {}, is {}", key, old.dump(), value.dump()));
  }
  return lines;
}

void check_run(const SafetensorsFile& file, const std::string& run) {
  if (run.empty()) return;
  const auto found = file.metadata.find("run");
  const std::vector<std::string> lines = differences(found == file.metadata.end() ? "" : found->second, run);
  if (lines.empty()) return;
  misuse("{}: where another run stood: {}; repeat that one's command to go on with it, or add --restart to begin anew",
         file.path, fmt::join(lines, "; "));
}

LearningState read_state(const SafetensorsFile& file, const Vectors& like) {
  std::map<std::string, const TensorView*> tensors;
  for (const TensorView& view : file.tensors) tensors.emplace(view.name, &view);
  LearningState state;
  for (const auto& [group, vectors] : groups_of(state)) {
    for (const auto& [name, values] : like) {
      const auto found = tensors.find(fmt::format("{}/{}", group, name));
      if (found == tensors.end()) refuse("tensor '{}/{}' is missing", group, name);
      const TensorView& view = *found->second;
      if (view.dtype != DType::kF32 || view.bytes.size() != values.size() * sizeof(float)) {
        refuse("tensor '{}/{}' is not {} values of F32", group, name, values.size());
      }
      std::vector<float>& to = (*vectors)[name];
      to.resize(values.size());
      decode_to_f32(view.dtype, view.bytes.data(), 0, static_cast<int64_t>(to.size()), to.data());
    }
  }
  int64_t done = 0;
  take(file.metadata, "steps", state.adam.steps);
  take(file.metadata, "first_loss", state.held_out.first);
  take(file.metadata, "best_loss", state.held_out.best);
  take(file.metadata, "best_step", state.held_out.best_step);
  take(file.metadata, "checks_since", state.held_out.checks_since);
  take(file.metadata, "done", done);
  state.done = done != 0;
  return state;
}

}  // namespace

void save(const std::string& path, const LearningState& state, const std::string& run) {
  std::vector<TensorBytes> tensors;
  for (const auto& [group, vectors] : groups_of(state)) {
    for (const auto& [name, values] : *vectors) {
      tensors.push_back({{fmt::format("{}/{}", group, name), DType::kF32, {static_cast<int64_t>(values.size())}},
                         std::as_bytes(std::span(values))});
    }
  }
  std::map<std::string, std::string> metadata = {{"steps", fmt::format("{}", state.adam.steps)},
                                                 {"first_loss", fmt::format("{}", state.held_out.first)},
                                                 {"best_loss", fmt::format("{}", state.held_out.best)},
                                                 {"best_step", fmt::format("{}", state.held_out.best_step)},
                                                 {"checks_since", fmt::format("{}", state.held_out.checks_since)},
                                                 {"done", state.done ? "1" : "0"}};
  if (!run.empty()) metadata["run"] = run;
  write_safetensors_file(path, tensors, metadata);
}

std::optional<LearningState> load_state(const std::string& path, const Vectors& like, const std::string& run) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto readable = [&](const auto& read) {
    try {
      return read();
    } catch (const std::exception& error) {
      refuse("{}: where learning stood cannot be read ({}); add --restart to begin anew", path, error.what());
    }
  };
  const SafetensorsFile file = readable([&] { return open_safetensors(path); });
  check_run(file, run);
  return readable([&] { return read_state(file, like); });
}

}  // namespace bitloom
