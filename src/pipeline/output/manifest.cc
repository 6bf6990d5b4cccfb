#include "pipeline/output/manifest.h"

namespace bitloom {
namespace {

double per_weight(double total, int64_t weights) { return weights > 0 ? total / static_cast<double>(weights) : 0; }

Json kept_json(const TensorSpec& part) {
  return {{"dtype", info(part.dtype).name}, {"shape", part.shape}, {"bytes", part.bytes()}};
}

}  // namespace

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

Json config_of(const Checkpoint& source, const std::vector<PlannedTensor>& plan, const InputFormats& activations,
               const OperandFormats& operands) {
  Json tensors = Json::object();
  for (const PlannedTensor& tensor : plan) {
    const std::optional<Storage> storage = tensor.storage();
    if (!storage) continue;
    tensors[tensor.name] = {{"storage", to_string(*storage)}, {"shape", {tensor.rows->rows(), tensor.rows->cols()}}};
  }
  Json config = source.config();
  config["quantization_config"] = {{"quant_method", "bitloom"}, {"version", kLayoutVersion}, {"tensors", std::move(tensors)}};
  for (const auto& [place, format] : activations) {
    const std::string name = input_place(source.graph(), place.first, place.second);
    config["quantization_config"]["activations"][name] = to_string(format);
  }
  for (const auto& [place, format] : operands) {
    config["quantization_config"]["activations"][operand_place(place.first, place.second)] = to_string(format);
  }
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
    nominal += tensor.total_nominal_bits();
  }
  result.bits_nominal = per_weight(nominal, of_blocks);
  result.bits_true = per_weight(8 * block_bytes, of_blocks);
  result.bits_true_model = per_weight(8 * all_bytes, all);
  result.weights = all;
  result.block_weights = of_blocks;
}

}  // namespace bitloom
