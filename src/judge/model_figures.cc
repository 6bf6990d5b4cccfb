#include "judge/model_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "pipeline/output/manifest.h"
#include "runtime/generate.h"

namespace bitloom {

namespace fs = std::filesystem;

namespace {

/// The key of the largest value, "+ 2 more" behind it when there are others; "" of nothing.
std::string most_used(const std::map<std::string, double>& counts) {
  if (counts.empty()) return "";
  const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
  const std::string& name = std::max_element(counts.begin(), counts.end(), less)->first;
  return counts.size() == 1 ? name : fmt::format("{} + {} more", name, counts.size() - 1);
}

/// What inputs of the blocks are rounded to, of those that are; whatever their static ranges are.
std::string activations_of(const Graph& graph) {
  std::map<std::string, double> formats;
  for (int block = 0; block < static_cast<int>(graph.blocks.size()); ++block)
    for (int input = 0; input < input_count(graph, block); ++input)
      if (const auto& format = input_at(graph, block, input).activations) ++formats[kind_text(*format)];
  return most_used(formats);
}

/// "keys int4-token, values int4-asym-token": of each operand that is rounded what most blocks' is.
std::string attention_of(const Graph& graph) {
  std::string text;
  for (const Operand operand : kOperands) {
    std::map<std::string, double> formats;
    for (const Block& block : graph.blocks)
      if (const auto& format = block.attention.format_of(operand)) ++formats[kind_text(*format)];
    if (formats.empty()) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name_of(operand), most_used(formats));
  }
  return text;
}

}  // namespace

std::string format_text(const ModelSize& size) {
  const std::string inputs = size.activations.empty() ? "" : "@" + size.activations;
  return size.format + inputs + (size.attention.empty() ? "" : ", " + size.attention);
}

Json manifest_of(const Checkpoint& model) {
  const std::string path = (fs::path(model.path()) / kManifestFile).string();
  return model.kind() == CheckpointKind::kBitloom && fs::exists(path) ? read_json(path) : Json();
}

ModelSize size_of(const Checkpoint& model) {
  ModelSize out;
  out.activations = activations_of(model.graph()), out.attention = attention_of(model.graph());
  for (const std::string& file : model.weight_files()) out.bytes += static_cast<int64_t>(fs::file_size(file));
  int64_t all_weights = 0;
  for (const CheckpointTensor& tensor : model.tensors()) all_weights += tensor.rows->rows() * tensor.rows->cols();
  if (all_weights > 0) out.bits_model = 8 * static_cast<double>(out.bytes) / static_cast<double>(all_weights);
  double bytes = 0, weights = 0;
  std::map<std::string, double> formats;  // weights in each
  for (const Site& site : linear_sites(model.graph())) {
    const RowSourcePtr matrix = model.matrix(*site.linear);
    const double count = static_cast<double>(matrix->rows()) * static_cast<double>(matrix->cols());
    bytes += static_cast<double>(matrix->stored_bytes());
    weights += count;
    formats[matrix->storage()] += count;
  }
  if (formats.empty()) return out;
  out.format = most_used(formats);
  out.bits_nominal = out.bits_true = 8 * bytes / weights;
  const Json manifest = manifest_of(model);
  if (manifest.is_object() && manifest.contains("totals"))
    out.bits_nominal = manifest["totals"].value("bits_nominal", out.bits_nominal);
  return out;
}

double decode_speed(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt, int64_t tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.sampler.temperature = 0;
  return generate(decoder, tokenizer, prompt, options, [](const std::string&) {}).tokens_per_second();
}

std::string base_name(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return normal.has_filename() ? normal.filename().string() : normal.parent_path().filename().string();
}

}  // namespace bitloom
