#include "export/peft/export_peft.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "export/module_names.h"
#include "export/peft/adapt.h"
#include "export/peft/adapter.h"
#include "export/rounded_inputs.h"
#include "format/stored_matrix.h"
#include "io/directory/output_directory.h"
#include "io/safetensors/safetensors.h"
#include "model/row_views.h"

namespace bitloom {
namespace {

constexpr const char* kAdapterFolder = "adapter";
constexpr int64_t kPieceValues = 1 << 22;       // that are decoded together
constexpr int64_t kShardBytes = 5'000'000'000;  // of a weight file

/// A matrix without its product, and the product.
struct Separated {
  RowSourcePtr base;
  AdapterModule product;
};

std::vector<TensorPart> parts_of(const StoredMatrix& matrix, std::string_view factor) {
  std::vector<TensorPart> parts;
  for (TensorPart part : matrix.parts()) {
    if (!part.suffix.starts_with(factor)) continue;
    part.suffix.erase(0, factor.size());
    parts.push_back(std::move(part));
  }
  return parts;
}

/// A factor [rank, width] in fp32.
std::vector<float> factor_of(const StoredMatrix& matrix, const std::string& name, const char* factor, int64_t width) {
  const LowRankStorage& storage = matrix.spec().side.low_rank;
  const int64_t rank = rank_of(storage, matrix.rows(), matrix.cols());
  std::vector<float> values(static_cast<size_t>(rank * width));
  storage.factors.open(name + factor, rank, width, parts_of(matrix, factor))->decode_rows(0, rank, values.data());
  return values;
}

std::optional<Separated> separate(const std::string& model, const std::string& name, const RowSourcePtr& rows) {
  const auto matrix = std::dynamic_pointer_cast<const StoredMatrix>(rows);
  if (matrix == nullptr || !matrix->spec().side.low_rank.present()) return std::nullopt;
  Storage storage = matrix->spec();
  if (storage.side.frame.present() || storage.side.order.present()) {
    misuse("{}: '{}' is stored as {}: its product lies in other coordinates than its inputs, so it is no adapter",
           model, name, matrix->storage());
  }
  storage.side.low_rank = {};
  std::vector<TensorPart> parts;
  for (const TensorPart& part : matrix->parts()) {
    if (!part.suffix.starts_with(".low_")) parts.push_back(part);
  }
  const int64_t out = matrix->rows(), in = matrix->cols();
  AdapterModule product;
  product.rank = rank_of(matrix->spec().side.low_rank, out, in), product.in = in, product.out = out;
  product.a = factor_of(*matrix, name, ".low_b", in);
  const std::vector<float> columns = factor_of(*matrix, name, ".low_a", out);  // [rank, out]
  product.b.resize(columns.size());
  for (int64_t k = 0; k < product.rank; ++k) {
    for (int64_t r = 0; r < out; ++r) {
      product.b[static_cast<size_t>(r * product.rank + k)] = columns[static_cast<size_t>(k * out + r)];
    }
  }
  return Separated{StoredMatrix::from_parts(name, storage, out, in, parts, matrix), std::move(product)};
}

/// A tensor of the base, as transformers stores it.
struct BaseTensor {
  TensorSpec spec;
  RowSourcePtr rows;
};

class Exporter {
 public:
  Exporter(const ExportJob& job, DType dtype, Context& context)
      : job_(job),
        model_(job.model),
        dtype_(dtype),
        context_(context),
        adapter_base_(adapter_base(job.model.graph(), job.out)) {
    const Model& model = job.model;
    const Graph& graph = model.graph();
    if (!graph.slices.empty()) {
      misuse("{}: experts lie together in '{}': their matrices are no modules that an adapter could be on",
             model.path(), graph.slices.begin()->second.tensor);
    }
    check_names_for_peft(graph, model.path());
    refuse_rounded_inputs(model.path(), graph, "peft");
    const std::map<std::string, const Linear*> linears = block_linears(graph);
    for (const CheckpointTensor& tensor : model.tensors()) {
      const auto linear = linears.find(tensor.name);
      plan(tensor, linear == linears.end() ? nullptr : linear->second);
    }
    if (modules_.empty()) {
      misuse(
          "{}: no matrix has a low-rank product, so there is no adapter; recipes with +lowrankR-STORAGE make one "
          "(apiq-lw-2)",
          model.path());
    }
  }

  ExportReport write() {
    ExportReport report;
    std::vector<TensorSpec> specs;
    for (const BaseTensor& tensor : base_) specs.push_back(tensor.spec), report.bytes += tensor.spec.bytes();
    report.bytes += bytes_of(modules_);
    report.matrices = static_cast<int64_t>(modules_.size());
    report.layout = ranks();
    constexpr int64_t kTexts = 64 << 20;  // tokenizer, configuration, headers
    OutputDirectory directory(job_.out, job_.force, report.bytes + kTexts);
    write_base(directory, std::move(specs));
    const std::string adapter = directory.staging() + "/" + kAdapterFolder;
    std::filesystem::create_directory(adapter);
    write_peft_adapter(adapter, modules_, adapter_base_);
    directory.commit();
    return report;
  }

 private:
  void plan(const CheckpointTensor& tensor, const Linear* linear) {
    BaseTensor base{{tensor.name, dtype_, tensor.shape}, tensor.rows};
    if (linear != nullptr) {
      RowSourcePtr rows = model_.matrix(*linear);
      if (std::optional<Separated> separated = separate(model_.path(), tensor.name, rows)) {
        rows = std::move(separated->base);
        modules_.emplace(module_of(tensor.name), std::move(separated->product));
      }
      base.spec.shape = {linear->out, linear->in};
      if (linear->stored_in_out) std::swap(base.spec.shape[0], base.spec.shape[1]), rows = transposed_rows(rows);
      base.rows = std::move(rows);
    }
    base_.push_back(std::move(base));
  }

  /// "of rank 16", "of ranks 4 to 16".
  std::string ranks() const {
    const auto [least, greatest] = std::minmax_element(
        modules_.begin(), modules_.end(), [](const auto& a, const auto& b) { return a.second.rank < b.second.rank; });
    const int64_t low = least->second.rank, high = greatest->second.rank;
    return low == high ? fmt::format("of rank {}", low) : fmt::format("of ranks {} to {}", low, high);
  }

  void write_base(OutputDirectory& directory, std::vector<TensorSpec> specs) {
    SafetensorsWriter writer(directory.staging(), std::move(specs), kShardBytes);
    int64_t total = 0;
    for (const BaseTensor& tensor : base_) total += tensor.spec.bytes();
    const ProgressTask task(context_.progress, "exporting", total);
    for (const BaseTensor& tensor : base_) {
      write_tensor(tensor, writer);
      model_.release(tensor.spec.name);
      context_.progress.advance(tensor.spec.bytes(), tensor.spec.name);
    }
    writer.finish();
    for (const auto& [name, contents] : model_.companion_files()) directory.write_text(name, contents);
    Json config = model_.config();
    config.erase("quantization_config");
    config.erase("dtype");
    config["torch_dtype"] = dtype_ == DType::kF16 ? "float16" : "float32";
    directory.write_text("config.json", dump_json(config));
  }

  void write_tensor(const BaseTensor& tensor, SafetensorsWriter& writer) const {
    const int64_t rows = tensor.rows->rows(), cols = tensor.rows->cols();
    // A transposing view decodes all of its source at once.
    const bool whole = tensor.spec.shape.size() == 2 && adapter_base_.conv1d;
    const int64_t piece = whole ? rows : std::max<int64_t>(1, kPieceValues / std::max<int64_t>(cols, 1));
    for (int64_t first = 0; first < rows; first += piece) {
      const int64_t count = std::min(piece, rows - first);
      std::vector<float> values(static_cast<size_t>(count * cols));
      tensor.rows->decode_rows(first, first + count, values.data());
      std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(dtype_, count * cols)));
      encode_from_f32(dtype_, values.data(), count * cols, bytes.data());
      check(tensor, values, bytes);
      writer.write(tensor.spec.name, bytes);
    }
  }

  void check(const BaseTensor& tensor, const std::vector<float>& values, const std::vector<std::byte>& bytes) const {
    std::vector<float> stored(values.size());
    decode_to_f32(dtype_, bytes.data(), 0, static_cast<int64_t>(stored.size()), stored.data());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(stored[i])) continue;
      misuse("{}: tensor '{}' has the value {}, which {} cannot hold", model_.path(), tensor.spec.name, values[i],
             dtype_ == DType::kF16 && std::isfinite(values[i]) ? "fp16 (--to peft-f32 can)" : "no model");
    }
  }

  const ExportJob& job_;
  const Checkpoint& model_;
  const DType dtype_;  // of the base
  Context& context_;
  const AdapterBase adapter_base_;
  std::vector<BaseTensor> base_;
  std::map<std::string, AdapterModule> modules_;
};

}  // namespace

ExportReport export_peft(const ExportJob& job, Context& context) { return Exporter(job, DType::kF16, context).write(); }

ExportReport export_peft_f32(const ExportJob& job, Context& context) {
  return Exporter(job, DType::kF32, context).write();
}

}  // namespace bitloom
