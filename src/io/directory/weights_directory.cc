#include "io/directory/weights_directory.h"

#include <filesystem>
#include <optional>
#include <set>

#include "base/error.h"
#include "io/json.h"
#include "io/safetensors/safetensors.h"
#include "io/torch/torch_file.h"

namespace bitloom {
namespace {

using Absent = std::map<std::string, std::string>;  // tensor that an index promises -> shard that lacks it

struct WeightsFormat {
  const char* single;  // the one file
  const char* index;   // or what names the shards
  std::vector<TensorView> (*open)(const std::string& path);
};

constexpr WeightsFormat kSafetensors = {"model.safetensors", "model.safetensors.index.json",
                                        [](const std::string& path) { return open_safetensors(path).tensors; }};
constexpr WeightsFormat kTorch = {"pytorch_model.bin", "pytorch_model.bin.index.json", open_torch_file};

/// False also for a path that the file system cannot have.
bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

/// Shard file name -> tensors that the index promises in it.
using Shards = std::map<std::string, std::set<std::string>>;

Shards read_index(const std::string& path) {
  const Json index = read_json(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object()) refuse("{}: no \"weight_map\" object", path);
  Shards shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      refuse("{}: weight_map of tensor '{}' is {}, expected a file name", path, tensor, shard.type_name());
    }
    const std::string name = shard.get<std::string>();
    // A file name is all that is read from here: a path could leave the model's directory.
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      refuse("{}: weight_map of tensor '{}' names \"{}\", expected a plain file name", path, tensor, name);
    }
    shards[name].insert(tensor);
  }
  return shards;
}

std::vector<TensorView> open_shards(const std::filesystem::path& root, const WeightsFormat& format, Absent* absent) {
  const std::string index = (root / format.index).string();
  std::vector<TensorView> tensors;
  for (const auto& [shard, promised] : read_index(index)) {
    const std::string path = (root / shard).string();
    if (!is_there(path)) {
      refuse("{}: names shard {} (for tensor '{}' and {} more), which is missing", index, shard, *promised.begin(),
             promised.size() - 1);
    }
    std::set<std::string> missing = promised;
    for (TensorView& tensor : format.open(path)) {
      if (missing.erase(tensor.name) > 0) tensors.push_back(std::move(tensor));
    }
    for (const std::string& tensor : missing) {
      if (absent == nullptr) refuse("{}: lacks tensor '{}', which {} says is in it", path, tensor, format.index);
      (*absent)[tensor] = path;
    }
  }
  return tensors;
}

/// nullopt where the directory holds nothing of the format.
std::optional<std::vector<TensorView>> open_format(const std::string& directory, const WeightsFormat& format,
                                                   Absent* absent) {
  const std::filesystem::path root(directory);
  if (is_there(root / format.single)) return format.open((root / format.single).string());
  if (is_there(root / format.index)) return open_shards(root, format, absent);
  return std::nullopt;
}

}  // namespace

std::vector<TensorView> open_safetensors_directory(const std::string& directory, Absent* absent) {
  if (auto tensors = open_format(directory, kSafetensors, absent)) return *std::move(tensors);
  refuse("{}: neither {} nor {} is there", directory, kSafetensors.single, kSafetensors.index);
}

std::vector<TensorView> open_weights_directory(const std::string& directory, Absent* absent) {
  for (const WeightsFormat& format : {kSafetensors, kTorch}) {
    if (auto tensors = open_format(directory, format, absent)) return *std::move(tensors);
  }
  refuse("{}: no weights are there: expected {}, {}, {} or {}", directory, kSafetensors.single, kSafetensors.index,
         kTorch.single, kTorch.index);
}

}  // namespace bitloom
