#include "tune/checkpoint.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"
#include "io/json.h"
#include "io/safetensors/safetensors.h"

namespace bitloom {
namespace {

/// The state's vectors under their names in the file.
template <class State>
auto vectors_of(State& state) {
  return std::map<std::string, decltype(&state.best)>{{"values", &state.adam.values},
                                                      {"first", &state.adam.first},
                                                      {"second", &state.adam.second},
                                                      {"best", &state.best}};
}

/// Those of the matrices whose codes are learned.
template <class State>
auto weights_of(State& state) {
  return std::map<std::string, decltype(&state.best)>{{"wanted", &state.codes.wanted},
                                                      {"weight_second", &state.codes.second}};
}

template <class State>
auto codes_of(State& state) {
  return std::map<std::string, decltype(&state.best_codes)>{{"codes", &state.codes.codes},
                                                            {"best_codes", &state.best_codes}};
}

using TensorsByName = std::map<std::string, const TensorView*>;

/// How many numbers are in each.
template <class Values>
std::map<std::string, size_t> lengths_of(const std::map<std::string, Values>& of) {
  std::map<std::string, size_t> lengths;
  for (const auto& [name, values] : of) lengths[name] = values.size();
  return lengths;
}

const TensorView& find(const TensorsByName& tensors, const std::string& name, DType dtype, size_t count) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) refuse("tensor '{}' is missing", name);
  const TensorView& view = *found->second;
  if (view.dtype != dtype || view.bytes.size() != static_cast<size_t>(bytes_of(dtype, static_cast<int64_t>(count)))) {
    refuse("tensor '{}' is not {} values of {}", name, count, info(dtype).name);
  }
  return view;
}

/// Vectors of these names and lengths, of finite numbers.
void read_vectors(const TensorsByName& tensors, const std::string& group, const std::map<std::string, size_t>& lengths,
                  Vectors& to) {
  for (const auto& [name, length] : lengths) {
    const std::string tensor = fmt::format("{}/{}", group, name);
    const TensorView& view = find(tensors, tensor, DType::kF32, length);
    std::vector<float>& values = to[name];
    values.resize(length);
    decode_to_f32(view.dtype, view.bytes.data(), 0, static_cast<int64_t>(length), values.data());
    const auto infinite = std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
    if (infinite == values.end()) continue;
    refuse("tensor '{}' has {} at {}, must be finite", tensor, *infinite, infinite - values.begin());
  }
}

void read_codes(const TensorsByName& tensors, const std::string& group, const std::map<std::string, CodeShape>& shapes,
                Codes& to) {
  for (const auto& [name, shape] : shapes) {
    const std::string tensor = fmt::format("{}/{}", group, name);
    const TensorView& view = find(tensors, tensor, DType::kU16, shape.codes);
    std::vector<uint16_t>& codes = to[name];
    codes.resize(shape.codes);
    if (!codes.empty()) std::memcpy(codes.data(), view.bytes.data(), view.bytes.size());
    const auto outside = std::find_if(codes.begin(), codes.end(), [&](uint16_t code) { return code >= shape.entries; });
    if (outside == codes.end()) continue;
    refuse("tensor '{}' has the code {} at {}, must be below {}", tensor, *outside, outside - codes.begin(),
           shape.entries);
  }
}

template <class Number>
void take(const std::map<std::string, std::string>& metadata, const std::string& name, Number& to) {
  const auto found = metadata.find(name);
  const auto number = found == metadata.end() ? std::nullopt : parse_number<Number>(found->second);
  if (!number) refuse("'{}' is no number", name);
  to = *number;
}

void take_count(const std::map<std::string, std::string>& metadata, const std::string& name, int64_t most,
                int64_t& to) {
  take(metadata, name, to);
  if (to < 0 || to > most) refuse("'{}' is {}, must be 0 to {}", name, to, most);
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

LearningState read_state(const SafetensorsFile& file, const ExpectedState& expected) {
  TensorsByName tensors;
  for (const TensorView& view : file.tensors) tensors.emplace(view.name, &view);
  std::map<std::string, size_t> weights;
  for (const auto& [name, shape] : expected.codes) weights[name] = shape.weights;
  LearningState state;
  for (const auto& [group, vectors] : vectors_of(state)) {
    read_vectors(tensors, group, lengths_of(expected.vectors), *vectors);
  }
  for (const auto& [group, vectors] : weights_of(state)) read_vectors(tensors, group, weights, *vectors);
  for (const auto& [group, of] : codes_of(state)) read_codes(tensors, group, expected.codes, *of);
  int64_t done = 0;
  take_count(file.metadata, "steps", expected.steps, state.adam.steps);
  take_count(file.metadata, "best_step", state.adam.steps, state.held_out.best_step);
  take_count(file.metadata, "checks_since", state.adam.steps, state.held_out.checks_since);
  take_count(file.metadata, "done", 1, done);
  take(file.metadata, "first_loss", state.held_out.first);
  take(file.metadata, "best_loss", state.held_out.best);
  state.done = done != 0;
  return state;
}

}  // namespace

void save(const std::string& path, const LearningState& state, const std::string& run) {
  std::vector<TensorBytes> tensors;
  const auto add = [&](const std::string& group, DType dtype, const auto& of) {
    for (const auto& [name, values] : of) {
      tensors.push_back({{fmt::format("{}/{}", group, name), dtype, {static_cast<int64_t>(values.size())}},
                         std::as_bytes(std::span(values))});
    }
  };
  for (const auto& [group, vectors] : vectors_of(state)) add(group, DType::kF32, *vectors);
  for (const auto& [group, vectors] : weights_of(state)) add(group, DType::kF32, *vectors);
  for (const auto& [group, codes] : codes_of(state)) add(group, DType::kU16, *codes);
  std::map<std::string, std::string> metadata = {{"steps", fmt::format("{}", state.adam.steps)},
                                                 {"first_loss", fmt::format("{}", state.held_out.first)},
                                                 {"best_loss", fmt::format("{}", state.held_out.best)},
                                                 {"best_step", fmt::format("{}", state.held_out.best_step)},
                                                 {"checks_since", fmt::format("{}", state.held_out.checks_since)},
                                                 {"done", state.done ? "1" : "0"}};
  if (!run.empty()) metadata["run"] = run;
  write_safetensors_file(path, tensors, metadata);
}

LearningState load_state(const std::string& path, const ExpectedState& expected) {
  const auto readable = [&](const auto& read) {
    try {
      return read();
    } catch (const std::exception& error) {
      refuse("{}: where learning stood cannot be read ({}); add --restart to begin anew", path, error.what());
    }
  };
  const SafetensorsFile file = readable([&] { return open_safetensors(path); });
  check_run(file, expected.run);
  return readable([&] { return read_state(file, expected); });
}

}  // namespace bitloom
