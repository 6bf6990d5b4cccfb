#include "pipeline/manifest.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/text.h"
#include "io/hash.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

const char* kind_name(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kHuggingFace:
      return "huggingface";
    case CheckpointKind::kBitloom:
      return "bitloom";
    case CheckpointKind::kGguf:
      return "gguf";
  }
  return "";
}

/// Bits of all weights as papers count them; of a kept tensor as it is stored.
double nominal_total(const PlannedTensor& tensor) {
  if (!tensor.is_quantized()) return 8 * static_cast<double>(tensor.bytes());
  const double bits = tensor.taken ? tensor.taken->nominal_bits()
                                   : nominal_bits(tensor.storage(), tensor.rows->rows(), tensor.rows->cols());
  return bits * static_cast<double>(tensor.weights());
}

double per_weight(double total, int64_t weights) { return weights > 0 ? total / static_cast<double>(weights) : 0; }

Json kept_json(const TensorSpec& part) {
  return {{"dtype", info(part.dtype).name}, {"shape", part.shape}, {"bytes", part.bytes()}};
}

}  // namespace

std::vector<Json> describe_files(const std::vector<std::string>& paths, Context& context) {
  std::vector<int64_t> sizes;
  sizes.reserve(paths.size());
  for (const std::string& path : paths) sizes.push_back(static_cast<int64_t>(fs::file_size(path)));
  std::vector<Json> result(paths.size());
  // The largest first, so that no thread is left alone with it at the end.
  std::vector<size_t> order(paths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  context.progress.begin("hashing", std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  context.threads.parallel_for(static_cast<int64_t>(paths.size()), [&](int64_t i) {
    const size_t file = order[static_cast<size_t>(i)];
    result[file] = {{"sha256", sha256_file(paths[file])}, {"bytes", sizes[file]}};
    context.progress.advance(sizes[file], fs::path(paths[file]).filename().string());
  });
  context.progress.end();
  return result;
}

Json describe_text(const std::string& contents) {
  return {{"sha256", sha256_hex(contents)}, {"bytes", contents.size()}};
}

Json source_of(const Checkpoint& source) {
  Json files = Json::object();
  for (const auto& [name, contents] : source.companion_files()) files[name] = describe_text(contents);
  const fs::path config = fs::path(source.path()) / kConfigFile;
  if (source.kind() != CheckpointKind::kGguf) files[kConfigFile] = describe_text(read_text(config.string()));
  // The name alone: where the source lies on this machine must not change the bytes.
  return {{"name", fs::canonical(source.path()).filename().string()},
          {"kind", kind_name(source.kind())},
          {"files", std::move(files)}};
}

Json tensors_of(const std::vector<PlannedTensor>& plan, const QuantizeResult& result) {
  Json tensors = Json::object(), kept = Json::object();
  int64_t weights = 0, tensor_bytes = 0;
  for (const PlannedTensor& tensor : plan) {
    weights += tensor.weights();
    tensor_bytes += tensor.bytes();
    if (!tensor.is_quantized()) kept[tensor.name] = kept_json(tensor.parts.front());
  }
  for (const SiteRecord& site : result.sites) tensors[site.name] = to_json(site);
  return {{"tensors", std::move(tensors)},
          {"kept", std::move(kept)},
          {"totals",
           {{"bits_nominal", result.bits_nominal},
            {"bits_true", result.bits_true},
            {"bits_true_model", result.bits_true_model},
            {"weights", weights},
            {"tensor_bytes", tensor_bytes}}}};
}

Json config_of(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  Json tensors = Json::object();
  for (const PlannedTensor& tensor : plan) {
    if (!tensor.is_quantized()) continue;
    tensors[tensor.name] = {{"storage", to_string(tensor.storage())},
                            {"shape", {tensor.rows->rows(), tensor.rows->cols()}}};
  }
  Json config = source.config();
  config["quantization_config"] = {{"quant_method", "bitloom"}, {"version", 2}, {"tensors", std::move(tensors)}};
  return config;
}

void add_up(const std::vector<PlannedTensor>& plan, QuantizeResult& result) {
  double nominal = 0, block_bytes = 0, all_bytes = 0;
  int64_t of_blocks = 0, all = 0;
  for (const PlannedTensor& tensor : plan) {
    const auto bytes = static_cast<double>(tensor.bytes());
    all += tensor.weights();
    all_bytes += bytes;
    if (!tensor.of_blocks) continue;
    of_blocks += tensor.weights();
    block_bytes += bytes;
    nominal += nominal_total(tensor);
  }
  result.bits_nominal = per_weight(nominal, of_blocks);
  result.bits_true = per_weight(8 * block_bytes, of_blocks);
  result.bits_true_model = per_weight(8 * all_bytes, all);
}

Json to_json(const SiteRecord& site) {
  Json json = {{"storage", site.storage},   {"shape", {site.rows, site.cols}},   {"bytes", site.bytes},
               {"rounding", site.rounding}, {"bits_nominal", site.bits_nominal}, {"bits_true", site.bits_true}};
  if (!site.search.empty()) json["search"] = site.search;
  if (site.taken_over) {
    json["taken_over"] = true;
    return json;
  }
  json.update({{"weight_error", site.weight_error},
               {"max_abs_error", site.max_abs_error},
               {"saturated", site.saturated},
               {"zero_groups", site.zero_groups}});
  if (site.output_error) json["output_error"] = *site.output_error;
  if (site.damping) json["damping"] = *site.damping;
  if (site.compensation_ratio) json["compensation_ratio"] = *site.compensation_ratio;
  if (site.flipped) json["flipped"] = *site.flipped;
  if (site.rows_kept) json["rows_kept"] = *site.rows_kept;
  if (site.tokens > 0) {
    json.update(
        {{"tokens", site.tokens}, {"dropped_tokens", site.dropped_tokens}, {"dead_channels", site.dead_channels}});
  }
  return json;
}

SiteRecord site_from_json(const Json& json) {
  SiteRecord site;
  site.name = json.at("name").get<std::string>();
  site.storage = json.at("storage").get<std::string>();
  site.search = json.value("search", "");
  site.rows = json.at("shape").at(0).get<int64_t>();
  site.cols = json.at("shape").at(1).get<int64_t>();
  site.bytes = json.at("bytes").get<int64_t>();
  site.rounding = json.at("rounding").get<std::string>();
  site.bits_nominal = json.at("bits_nominal").get<double>();
  site.bits_true = json.at("bits_true").get<double>();
  site.weight_error = json.value("weight_error", 0.0);
  site.max_abs_error = json.value("max_abs_error", 0.0);
  site.saturated = json.value("saturated", int64_t{0});
  site.zero_groups = json.value("zero_groups", int64_t{0});
  site.taken_over = json.value("taken_over", false);
  if (json.contains("output_error")) site.output_error = json["output_error"].get<double>();
  if (json.contains("damping")) site.damping = json["damping"].get<double>();
  if (json.contains("compensation_ratio")) site.compensation_ratio = json["compensation_ratio"].get<double>();
  if (json.contains("flipped")) site.flipped = json["flipped"].get<int64_t>();
  if (json.contains("rows_kept")) site.rows_kept = json["rows_kept"].get<int64_t>();
  site.tokens = json.value("tokens", int64_t{0});
  site.dropped_tokens = json.value("dropped_tokens", int64_t{0});
  site.dead_channels = json.value("dead_channels", int64_t{0});
  return site;
}

}  // namespace bitloom
