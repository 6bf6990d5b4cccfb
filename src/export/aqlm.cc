#include "export/aqlm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "export/module_names.h"
#include "export/rounded_inputs.h"
#include "format/families/vector/vector_matrix.h"
#include "format/stored_matrix.h"
#include "io/directory/output_directory.h"
#include "io/safetensors/safetensors.h"

namespace bitloom {
namespace {

constexpr int64_t kShardBytes = int64_t{5} << 30;
constexpr int64_t kTextBytes = int64_t{1} << 20;  // of headers and config.json
constexpr int64_t kPieceValues = int64_t{1} << 20;
constexpr float kGreatestF16 = 65504.0f;

/// A tensor of the output: a matrix in the layout, or values.
struct Exported {
  CheckpointTensor tensor;
  const StoredMatrix* codes = nullptr;  // additive codebooks; null: dense
  DType dtype = DType::kF16;            // of values
};

struct Plan {
  std::optional<VectorStorage> storage;  // of all matrices
  std::vector<Exported> tensors;
  std::vector<std::string> widened;  // quantized outside the blocks: what is written for them
};

const StoredMatrix* stored(const CheckpointTensor& tensor) {
  return dynamic_cast<const StoredMatrix*>(tensor.rows.get());
}

[[noreturn]] void refuse_tensor(const Checkpoint& model, const std::string& tensor, const std::string& why) {
  misuse("{}: tensor '{}' {}, which the aqlm layout cannot hold", model.path(), tensor, why);
}

/// Of a quantized matrix of the blocks.
void check_matrix(const Checkpoint& model, const Linear& linear, const StoredMatrix& matrix, Plan& plan) {
  const std::string& name = linear.weight;
  const std::string storage = matrix.storage();
  const auto* vectors = matrix.spec().base.get_if<VectorStorage>();
  if (vectors == nullptr) {
    refuse_tensor(model, name, fmt::format("is stored as {}: additive codebooks (aq2x8-g8) are expected", storage));
  }
  if (matrix.spec().side != SideTerms{}) {
    refuse_tensor(model, name, fmt::format("is stored as {}, with side terms", storage));
  }
  if (matrix.cols() % vectors->group != 0) {
    refuse_tensor(model, name,
                  fmt::format("has {} inputs, no multiple of its groups of {}", matrix.cols(), vectors->group));
  }
  if (!plan.storage) plan.storage = *vectors;
  if (*plan.storage != *vectors) {
    refuse_tensor(model, name,
                  fmt::format("is stored as {}, others as {}: one storage for all is expected", to_string(*vectors),
                              to_string(*plan.storage)));
  }
}

/// What a layer does besides W x.
void check_layer(const Checkpoint& model, const Site& site) {
  const std::string& name = site.linear->weight;
  if (site.linear->stored_in_out) refuse_tensor(model, name, "is a Conv1D's, [in, out]");
  if (model.graph().slices.contains(name)) {
    refuse_tensor(model, name, fmt::format("lies in '{}' with other matrices", model.graph().slices.at(name).tensor));
  }
  if (!name.ends_with(".weight")) refuse_tensor(model, name, "has no name that ends in '.weight'");
}

/// f(values) of some rows at a time.
void for_pieces(const RowSource& rows, const std::function<void(const std::vector<float>&)>& f) {
  const int64_t piece = std::max<int64_t>(1, kPieceValues / std::max<int64_t>(rows.cols(), 1));
  for (int64_t first = 0; first < rows.rows(); first += piece) {
    const int64_t last = std::min(rows.rows(), first + piece);
    std::vector<float> values(static_cast<size_t>((last - first) * rows.cols()));
    rows.decode_rows(first, last, values.data());
    f(values);
  }
}

bool within_f16(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::abs(x) <= kGreatestF16; });
}

/// fp16, or fp32 where a value is beyond its range.
DType dtype_of_values(const RowSource& rows) {
  bool fits = true;
  for_pieces(rows, [&](const std::vector<float>& values) { fits = fits && within_f16(values); });
  return fits ? DType::kF16 : DType::kF32;
}

Plan plan_of(const Checkpoint& model) {
  refuse_rounded_inputs(model.path(), model.graph(), "aqlm");
  Plan plan;
  std::map<std::string, Site> layers;
  for (const Site& site : linear_sites(model.graph())) layers.emplace(site.linear->weight, site);
  for (const CheckpointTensor& tensor : model.tensors()) {
    Exported exported{tensor};
    const StoredMatrix* matrix = stored(tensor);
    const auto layer = layers.find(tensor.name);
    if (matrix != nullptr && layer != layers.end()) {
      check_matrix(model, *layer->second.linear, *matrix, plan);
      check_layer(model, layer->second);
      exported.codes = matrix;
    } else if (matrix != nullptr) {
      exported.dtype = dtype_of_values(*matrix);
      plan.widened.push_back(fmt::format("{} ({}) is written as {} values", tensor.name, matrix->storage(),
                                         exported.dtype == DType::kF16 ? "fp16" : "fp32"));
    } else if (model.graph().slices.contains(tensor.name) && layer != layers.end()) {
      refuse_tensor(model, tensor.name,
                    fmt::format("lies in '{}' with other matrices", model.graph().slices.at(tensor.name).tensor));
    } else {
      exported.dtype = dtype_from_name(tensor.rows->storage()).value_or(DType::kF32);
    }
    plan.tensors.push_back(std::move(exported));
  }
  if (!plan.storage) {
    misuse(
        "{}: no matrix of its blocks is stored as additive codebooks, which the aqlm layout is for; quantize it with a "
        "recipe such as aqlm-2x8",
        model.path());
  }
  return plan;
}

std::vector<TensorSpec> specs_of(const Plan& plan) {
  const VectorStorage& storage = *plan.storage;
  const DType codes = storage.bits <= 8 ? DType::kI8 : DType::kI16;
  std::vector<TensorSpec> specs;
  for (const Exported& exported : plan.tensors) {
    const CheckpointTensor& tensor = exported.tensor;
    if (exported.codes == nullptr) {
      specs.push_back({tensor.name, exported.dtype, tensor.shape});
      continue;
    }
    const std::string module = module_of(tensor.name);
    const int64_t rows = exported.codes->rows(), groups = exported.codes->cols() / storage.group;
    specs.push_back({module + ".codes", codes, {rows, groups, storage.codebooks}});
    specs.push_back({module + ".codebooks", DType::kF16, {storage.codebooks, storage.entries(), 1, storage.group}});
    specs.push_back({module + ".scales", DType::kF16, {rows, 1, 1, 1}});
  }
  return specs;
}

/// Codes k in two's complement of B bits: k - 2^B where k >= 2^(B-1).
template <class Code>
std::vector<Code> wrapped(const std::vector<uint16_t>& codes, int64_t bits) {
  const int half = 1 << (bits - 1);
  std::vector<Code> result(codes.size());
  std::transform(codes.begin(), codes.end(), result.begin(),
                 [half](uint16_t code) { return static_cast<Code>((code ^ half) - half); });
  return result;
}

void write_matrix(const Exported& exported, const VectorStorage& storage, SafetensorsWriter& writer) {
  const StoredMatrix& matrix = *exported.codes;
  const std::string module = module_of(exported.tensor.name);
  const std::vector<uint16_t> codes =
      unpack_codes(storage, matrix.rows(), matrix.cols(), matrix.find_part(".codes")->bytes);
  if (storage.bits <= 8) {
    const std::vector<int8_t> bytes = wrapped<int8_t>(codes, storage.bits);
    writer.write(module + ".codes", std::as_bytes(std::span(bytes)));
  } else {
    const std::vector<int16_t> words = wrapped<int16_t>(codes, storage.bits);
    writer.write(module + ".codes", std::as_bytes(std::span(words)));
  }
  writer.write(module + ".codebooks", matrix.find_part(".codebooks")->bytes);
  writer.write(module + ".scales", matrix.find_part(".scales")->bytes);
}

/// Whether every value is one of fp16's range.
bool write_values(const Exported& exported, SafetensorsWriter& writer) {
  bool fits = true;
  for_pieces(*exported.tensor.rows, [&](const std::vector<float>& values) {
    const int64_t count = std::ssize(values);
    fits = fits && within_f16(values);
    std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(exported.dtype, count)));
    encode_from_f32(exported.dtype, values.data(), count, bytes.data());
    writer.write(exported.tensor.name, bytes);
  });
  return fits;
}

/// What transformers is not to replace: tensors "....weight" that are dense, as its version 4 asks, and of linear
/// layers their modules too, as its version 5 does.
std::set<std::string> not_quantized(const Checkpoint& model, const Plan& plan) {
  std::set<std::string> names, modules = {"lm_head"};  // also of a tied head: a module whose tensor is the embedding
  for (const Site& site : linear_sites(model.graph())) modules.insert(module_of(site.linear->weight));
  if (!model.graph().tied_head) modules.insert(module_of(model.graph().head.weight));
  for (const Exported& exported : plan.tensors) {
    if (exported.codes != nullptr) {
      modules.erase(module_of(exported.tensor.name));
    } else if (exported.tensor.name.ends_with(".weight")) {
      names.insert(exported.tensor.name);
    }
  }
  for (const std::string& module : modules) names.insert(module), names.insert(module + ".weight");
  return names;
}

/// `dtype`: what transformers is to load all floating-point tensors as.
Json config_of(const Checkpoint& model, const Plan& plan, const std::string& dtype) {
  Json config = model.config();
  config.erase("dtype");
  config["torch_dtype"] = dtype;
  config["quantization_config"] = {{"quant_method", "aqlm"},
                                   {"num_codebooks", plan.storage->codebooks},
                                   {"nbits_per_codebook", plan.storage->bits},
                                   {"in_group_size", plan.storage->group},
                                   {"out_group_size", 1},
                                   {"linear_weights_not_to_quantize", not_quantized(model, plan)}};
  return config;
}

}  // namespace

ExportReport export_aqlm(const ExportJob& job, Context& context) {
  const Checkpoint& model = job.model;
  const Plan plan = plan_of(model);
  const std::vector<TensorSpec> specs = specs_of(plan);
  ExportReport report;
  report.layout = fmt::format("{}x{} g{}", plan.storage->codebooks, plan.storage->bits, plan.storage->group);
  for (const TensorSpec& spec : specs) report.bytes += spec.bytes();
  OutputDirectory directory(job.out, job.force, report.bytes + kTextBytes);
  bool fits = true;
  {
    const ProgressTask task(context.progress, "exporting", static_cast<int64_t>(plan.tensors.size()));
    SafetensorsWriter writer(directory.staging(), specs, kShardBytes);
    for (const Exported& exported : plan.tensors) {
      if (exported.codes != nullptr) {
        write_matrix(exported, *plan.storage, writer);
        ++report.matrices;
      } else {
        fits = write_values(exported, writer) && fits;
      }
      model.release(exported.tensor.name);
      context.progress.advance(1, exported.tensor.name);
    }
    writer.finish();
  }
  for (const auto& [name, contents] : model.companion_files()) directory.write_text(name, contents);
  directory.write_text("config.json", dump_json(config_of(model, plan, fits ? "float16" : "float32")));
  directory.commit();
  for (const std::string& tensor : plan.widened) {
    report.remarks.push_back(tensor + ": the layout quantizes blocks alone");
  }
  if (!fits) report.remarks.emplace_back("values beyond fp16's range are there: config.json asks for float32");
  return report;
}

}  // namespace bitloom
