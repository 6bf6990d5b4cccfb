#include <filesystem>
#include <set>

#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace bitloom {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

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

}  // namespace

std::vector<TensorView> open_safetensors_directory(const std::string& directory,
                                                   std::map<std::string, std::string>* absent) {
  const std::filesystem::path root(directory);
  if (is_there(root / kSingle)) return open_safetensors((root / kSingle).string()).tensors;
  const std::string index = (root / kIndex).string();
  if (!is_there(index)) refuse("{}: neither {} nor {} is there", directory, kSingle, kIndex);

  std::vector<TensorView> tensors;
  for (const auto& [shard, promised] : read_index(index)) {
    const std::string path = (root / shard).string();
    if (!is_there(path)) {
      refuse("{}: names shard {} (for tensor '{}' and {} more), which is missing", index, shard, *promised.begin(),
             promised.size() - 1);
    }
    std::set<std::string> missing = promised;
    for (TensorView& tensor : open_safetensors(path).tensors) {
      if (missing.erase(tensor.name) > 0) tensors.push_back(std::move(tensor));
    }
    for (const std::string& tensor : missing) {
      if (absent == nullptr) refuse("{}: lacks tensor '{}', which {} says is in it", path, tensor, kIndex);
      (*absent)[tensor] = path;
    }
  }
  return tensors;
}

}  // namespace bitloom
