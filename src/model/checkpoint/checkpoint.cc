#include "model/checkpoint/checkpoint.h"

#include <array>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "io/tensor_view.h"
#include "model/checkpoint/checkpoint_loader.h"
#include "model/config_reader.h"

namespace bitloom {
namespace {

/// Whether the file starts with GGUF's magic.
bool is_gguf(const std::string& path) {
  std::array<char, 4> magic{};
  std::ifstream file(path, std::ios::binary);
  file.read(magic.data(), magic.size());
  return file && std::string_view(magic.data(), magic.size()) == "GGUF";
}

CheckpointParts load(const std::string& path) try {
  const std::filesystem::file_status status = std::filesystem::status(path);
  if (!std::filesystem::exists(status)) refuse("{}: no such file or directory", path);
  if (std::filesystem::is_directory(status)) return load_directory(path);
  if (std::filesystem::is_regular_file(status) && is_gguf(path)) return load_gguf(path);
  refuse("{}: neither a model directory nor a GGUF file", path);
} catch (const std::filesystem::filesystem_error& error) {
  refuse("{}: cannot open: {}", error.path1().string(), error.code().message());
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path,
                                                   const std::function<void(const std::string&)>& warn) {
  CheckpointParts parts = load(path);
  const auto graph = std::make_shared<const Graph>(std::move(parts.graph));
  std::vector<std::string> order;
  for (ExpectedTensor& expected : expected_tensors(*graph)) order.push_back(std::move(expected.name));
  if (warn) {
    for (const std::string& remark : parts.remarks) warn(remark);
  }
  Companions companions(path, std::move(parts.config), std::move(parts.gguf), *graph);
  Files files{parts.kind, std::move(parts.weight_files), {}, std::move(parts.remarks)};
  for (const auto& [name, file] : parts.unused) files.unused.push_back(name);
  Model model(graph, Weights(path, std::move(order), std::move(parts.tensors)));
  return std::shared_ptr<const Checkpoint>(
      new Checkpoint(std::move(model), std::move(companions), std::make_shared<const Files>(files)));
}

std::shared_ptr<const Checkpoint> Checkpoint::edited(std::shared_ptr<const Checkpoint> base, const TensorEdits& edits) {
  Model model = base->Model::edited(edits);
  const bool untied = base->graph().tied_head && !model.graph().tied_head;
  Companions companions = untied ? base->companions_.untied() : base->companions_;
  return std::shared_ptr<const Checkpoint>(new Checkpoint(std::move(model), std::move(companions), base->files_));
}

std::set<std::string> in_out_weights(const Graph& graph) {
  std::set<std::string> names;
  for (const Site& site : linear_sites(graph)) {
    if (site.linear->stored_in_out) names.insert(site.linear->weight);
  }
  return names;
}

void check_shape(const std::string& file, const std::string& name, const std::vector<int64_t>& found,
                 const std::vector<int64_t>& expected) {
  if (found == expected) return;
  refuse("{}: tensor '{}' has shape {}, expected {}", file, name, shape_text(found), shape_text(expected));
}

void refuse_missing(const std::string& file, const std::string& name, const std::vector<int64_t>& expected) {
  refuse("{}: tensor '{}' is missing, expected with shape {}", file, name, shape_text(expected));
}

void apply_generation_config(Graph& graph, const Json& document, const std::string& origin) {
  const ConfigReader reader(document, origin);
  if (reader.has("eos_token_id")) graph.eos_ids = reader.ids("eos_token_id", {});
}

}  // namespace bitloom
