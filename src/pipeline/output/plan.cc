#include "pipeline/output/plan.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"
#include "format/families/trellis/trellis_storage.h"
#include "format/side/block_rotation.h"
#include "io/directory/weights_directory.h"
#include "pipeline/output/dense_values.h"
#include "pipeline/output/lossless_target.h"

namespace bitloom {
namespace {

// Bounds for the free-space check; weights are counted exactly. A tensor's entry in a header, in the index, in
// config.json and in the manifest, names aside; and everything of fixed size.
constexpr int64_t kTextPerTensor = 1200;
constexpr int64_t kFixedText = 1 << 16;

using Linears = std::map<std::string, const Linear*>;  // by tensor name

Linears block_linears(const Graph& graph) {
  Linears result;
  for (const Site& site : linear_sites(graph)) result.emplace(site.linear->weight, site.linear);
  return result;
}

/// Linear layers. A tied head is no layer of its own: the embedding's rows are its rows.
Linears all_linears(const Graph& graph) {
  Linears result = block_linears(graph);
  if (!graph.tied_head) result.emplace(graph.head.weight, &graph.head);
  for (const Linear* linear : {&graph.project_in, &graph.project_out}) {
    if (linear->present()) result.emplace(linear->weight, linear);
  }
  return result;
}

/// The tensors as they lie in the source's files; empty for GGUF, whose blocks safetensors does not know.
std::map<std::string, TensorView> stored_tensors(const Checkpoint& source) {
  std::map<std::string, TensorView> result;
  if (source.kind() == CheckpointKind::kGguf) return result;
  std::map<std::string, std::string> absent;  // of what the model does not need: it was opened
  for (TensorView& view : open_weights_directory(source.path(), &absent)) {
    std::string name = view.name;
    result.emplace(std::move(name), std::move(view));
  }
  return result;
}

/// The same parts under the names that the files give them.
std::vector<TensorSpec> specs_of(const std::string& name, const std::vector<TensorPart>& parts) {
  std::vector<TensorSpec> specs;
  for (const TensorPart& part : parts) specs.push_back({name + part.suffix, part.dtype, part.shape});
  return specs;
}

struct StorageVisitor {
  std::optional<Storage> operator()(const CopyBytes&) const { return std::nullopt; }
  std::optional<Storage> operator()(const EncodeValues&) const { return std::nullopt; }
  std::optional<Storage> operator()(const TakeOver& taken) const { return taken.matrix->spec(); }
  std::optional<Storage> operator()(const HoldExactly& exact) const { return exact.target.storage; }
  std::optional<Storage> operator()(const RoundByStep& round) const { return round.step.storage(); }
  std::optional<Storage> operator()(const FinishedMatrix& finished) const { return finished.matrix->spec(); }
};

/// What the files will hold of a tensor; `shape` is the one it has when it is kept.
struct PartsVisitor {
  const PlannedTensor& tensor;
  const std::vector<int64_t>& shape;

  std::vector<TensorSpec> operator()(const CopyBytes& copy) const {
    return {{tensor.name, copy.stored.dtype, copy.stored.shape}};
  }
  std::vector<TensorSpec> operator()(const EncodeValues& encode) const { return {{tensor.name, encode.dtype, shape}}; }
  std::vector<TensorSpec> operator()(const TakeOver& taken) const {
    return specs_of(tensor.name, taken.matrix->parts());
  }
  std::vector<TensorSpec> operator()(const HoldExactly& exact) const { return at_most(exact.target.storage); }
  std::vector<TensorSpec> operator()(const RoundByStep& round) const { return at_most(round.step.storage()); }
  std::vector<TensorSpec> operator()(const FinishedMatrix& finished) const {
    return specs_of(tensor.name, finished.matrix->parts());
  }

 private:
  std::vector<TensorSpec> at_most(const Storage& storage) const {
    return specs_of(tensor.name, greatest_parts(storage, tensor.rows->rows(), tensor.rows->cols()));
  }
};

struct NominalBitsVisitor {
  const PlannedTensor& tensor;

  double operator()(const CopyBytes&) const { return as_stored(); }
  double operator()(const EncodeValues&) const { return as_stored(); }
  double operator()(const TakeOver& taken) const { return of_all(taken.matrix->nominal_bits()); }
  double operator()(const HoldExactly& exact) const { return expected(exact.target.storage); }
  double operator()(const RoundByStep& round) const { return expected(round.step.storage()); }
  double operator()(const FinishedMatrix& finished) const { return of_all(finished.matrix->nominal_bits()); }

 private:
  double as_stored() const { return 8 * static_cast<double>(tensor.bytes()); }
  double of_all(double bits) const { return bits * static_cast<double>(tensor.weights()); }
  double expected(const Storage& storage) const {
    return of_all(nominal_bits(storage, tensor.rows->rows(), tensor.rows->cols()));
  }
};

class Planner {
 public:
  Planner(const Checkpoint& model, const std::map<std::string, RecipeStep>& steps, const FinishedMatrices& finished)
      : model_(model),
        steps_(steps),
        finished_(finished),
        linears_(all_linears(model.graph())),
        of_blocks_(block_linears(model.graph())),
        stored_(stored_tensors(model)) {}

  /// Nothing where the values decide.
  std::optional<Treatment> decide(const CheckpointTensor& tensor) const {
    if (const auto done = finished_.find(tensor.name); done != finished_.end()) return done->second;
    const RowSourcePtr matrix = matrix_of(tensor);
    if (const auto step = steps_.find(tensor.name); step != steps_.end()) {
      check_storable(tensor.name, step->second.storage(), matrix->cols());
      const std::optional<ActivationFormat>& inputs = step->second.activations;
      if (inputs && inputs->rotation == kWholeWidth) {
        check_whole_width(fmt::format("{}: inputs in {}", tensor.name, to_string(*inputs)), matrix->cols());
      }
      return RoundByStep{step->second};
    }
    if (auto quantized = std::dynamic_pointer_cast<const StoredMatrix>(matrix)) return TakeOver{std::move(quantized)};
    if (const TensorView* view = view_of(tensor.name)) return CopyBytes{*view};
    return std::nullopt;
  }

  /// For values that stay, but not in their storage: the smallest that holds every one.
  Treatment decide_by_values(const CheckpointTensor& tensor, ThreadPool& threads) const {
    if (const auto exact = lossless_target(*matrix_of(tensor), threads)) return HoldExactly{*exact};
    return EncodeValues{narrowest_exact_dtype(*tensor.rows, threads)};
  }

  PlannedTensor plan(const CheckpointTensor& tensor, Treatment treatment) const {
    PlannedTensor planned;
    planned.name = tensor.name;
    const TensorView* view = view_of(tensor.name);
    planned.file = view == nullptr ? model_.path() : view->file;
    planned.treatment = std::move(treatment);
    planned.rows = planned.is_quantized() ? matrix_of(tensor) : tensor.rows;
    planned.parts = std::visit(PartsVisitor{planned, tensor.shape}, planned.treatment);
    planned.source_bytes = tensor.rows->stored_bytes();
    planned.of_blocks = of_blocks_.contains(tensor.name);
    return planned;
  }

 private:
  /// As it would be quantized: W [out, in], whatever the file's layout.
  RowSourcePtr matrix_of(const CheckpointTensor& tensor) const {
    const auto linear = linears_.find(tensor.name);
    return linear == linears_.end() ? tensor.rows : model_.matrix(*linear->second);
  }

  /// Where the files hold the values as they are.
  const TensorView* view_of(const std::string& name) const {
    const auto view = stored_.find(name);
    return view == stored_.end() || model_.is_edited(name) ? nullptr : &view->second;
  }

  const Checkpoint& model_;
  const std::map<std::string, RecipeStep>& steps_;
  const FinishedMatrices& finished_;
  const Linears linears_, of_blocks_;
  const std::map<std::string, TensorView> stored_;
};

}  // namespace

std::optional<Storage> PlannedTensor::storage() const { return std::visit(StorageVisitor{}, treatment); }

bool PlannedTensor::is_rounded() const {
  return std::holds_alternative<RoundByStep>(treatment) || std::holds_alternative<FinishedMatrix>(treatment);
}

bool PlannedTensor::sizes_known() const {
  const auto* round = std::get_if<RoundByStep>(&treatment);
  return round == nullptr || has_fixed_sizes(round->step.storage());
}

int64_t PlannedTensor::bytes() const {
  int64_t total = 0;
  for (const TensorSpec& part : parts) total += part.bytes();
  return total;
}

double PlannedTensor::total_nominal_bits() const { return std::visit(NominalBitsVisitor{*this}, treatment); }

void PlannedTensor::finish(FinishedMatrix finished) {
  parts = specs_of(name, finished.matrix->parts());
  treatment = std::move(finished);
}

std::vector<PlannedTensor> plan_tensors(const Checkpoint& model, const std::map<std::string, RecipeStep>& steps,
                                        const FinishedMatrices& finished, Context& context) {
  const Planner planner(model, steps, finished);
  std::vector<std::optional<Treatment>> treatments;
  int64_t undecided_bytes = 0;
  const std::vector<CheckpointTensor> tensors = model.tensors();
  for (const CheckpointTensor& tensor : tensors) {
    treatments.push_back(planner.decide(tensor));
    if (!treatments.back()) undecided_bytes += tensor.rows->stored_bytes();
    model.release(tensor.name);
  }
  const ProgressTask task(context.progress, "planning", undecided_bytes);
  std::vector<PlannedTensor> plan;
  for (size_t i = 0; i < treatments.size(); ++i) {
    const CheckpointTensor& tensor = tensors[i];
    const bool decided = treatments[i].has_value();
    plan.push_back(planner.plan(tensor, decided ? *treatments[i] : planner.decide_by_values(tensor, context.threads)));
    model.release(tensor.name);
    if (!decided) context.progress.advance(plan.back().source_bytes, tensor.name);
  }
  return plan;
}

int64_t disk_needed(const std::vector<PlannedTensor>& plan, const std::map<std::string, std::string>& companions) {
  int64_t total = kFixedText;
  for (const PlannedTensor& tensor : plan) {
    total += tensor.bytes() + kTextPerTensor;
    for (const TensorSpec& part : tensor.parts) total += 4 * static_cast<int64_t>(part.name.size());
  }
  for (const auto& [name, contents] : companions) total += static_cast<int64_t>(contents.size());
  return total;
}

namespace {

/// Matrices of a trellis code whose sides are no whole number of tiles, all together; "" when there are none.
std::string padding_remark(const std::vector<PlannedTensor>& plan) {
  int64_t count = 0;
  std::string first;
  for (const PlannedTensor& tensor : plan) {
    const std::optional<Storage> storage = tensor.is_rounded() ? tensor.storage() : std::nullopt;
    const auto* trellis = storage ? storage->base.get_if<TrellisStorage>() : nullptr;
    if (trellis == nullptr) continue;
    const TrellisLayout layout(trellis->code, tensor.rows->rows(), tensor.rows->cols());
    const int64_t rows = layout.tile_rows() * kTrellisTileSide, cols = layout.tile_cols() * kTrellisTileSide;
    if (rows == tensor.rows->rows() && cols == tensor.rows->cols()) continue;
    if (count++ > 0) continue;
    first = fmt::format("'{}' [{}, {}] to [{}, {}]", tensor.name, tensor.rows->rows(), tensor.rows->cols(), rows, cols);
  }
  if (count == 0) return "";
  return fmt::format("matrices padded to whole tiles of a trellis code, which counts in their bits: {}, such as {}",
                     count, first);
}

}  // namespace

std::vector<std::string> remarks_on(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  std::map<std::string, int> quantized_before;
  std::vector<std::string> remarks;
  for (const PlannedTensor& tensor : plan) {
    if (tensor.is_rounded() && source.has(tensor.name)) {
      const std::string before = source.tensor(tensor.name).rows->storage();
      if (!dtype_from_name(before)) ++quantized_before[before];
    }
    const auto* encode = std::get_if<EncodeValues>(&tensor.treatment);
    if (encode != nullptr && tensor.bytes() > tensor.source_bytes) {
      remarks.push_back(
          fmt::format("'{}' is kept: its {} values take {} as {} (from {}); a recipe step can quantize it", tensor.name,
                      tensor.rows->storage(), human_bytes(tensor.bytes()), info(encode->dtype).name,
                      human_bytes(tensor.source_bytes)));
    }
  }
  for (const auto& [storage, count] : quantized_before) {
    remarks.push_back(
        fmt::format("matrices that come quantized as {}: {}; they are decoded and rounded again, and errors are "
                    "measured against the decoded values",
                    storage, count));
  }
  if (std::string padding = padding_remark(plan); !padding.empty()) remarks.push_back(std::move(padding));
  remarks.insert(remarks.end(), source.remarks().begin(), source.remarks().end());
  return remarks;
}

}  // namespace bitloom
