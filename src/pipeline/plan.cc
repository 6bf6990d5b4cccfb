#include "pipeline/plan.h"

#include <map>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/dense_values.h"
#include "pipeline/exact_spec.h"

namespace bitloom {
namespace {

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
  for (TensorView& view : open_safetensors_directory(source.path())) {
    std::string name = view.name;
    result.emplace(std::move(name), std::move(view));
  }
  return result;
}

void add_quantized_parts(PlannedTensor& tensor) {
  for (const TensorPart& part : QuantizedTensor::layout(tensor.spec(), tensor.rows->rows(), tensor.rows->cols())) {
    tensor.parts.push_back({tensor.name + part.suffix, part.dtype, part.shape});
  }
}

}  // namespace

int64_t PlannedTensor::bytes() const {
  int64_t total = 0;
  for (const TensorSpec& part : parts) total += part.bytes();
  return total;
}

std::vector<PlannedTensor> plan_tensors(const Checkpoint& source, const std::map<std::string, RecipeStep>& steps,
                                        ThreadPool& threads) {
  const Linears linears = all_linears(source.graph()), of_blocks = block_linears(source.graph());
  const auto stored = stored_tensors(source);
  std::vector<PlannedTensor> plan;
  for (const CheckpointTensor& tensor : source.tensors()) {
    PlannedTensor& planned = plan.emplace_back();
    planned.name = tensor.name;
    const auto view = source.is_edited(tensor.name) ? stored.end() : stored.find(tensor.name);
    planned.file = view == stored.end() ? source.path() : view->second.file;
    planned.rows = tensor.rows;
    planned.source_bytes = tensor.rows->stored_bytes();
    planned.of_blocks = of_blocks.contains(tensor.name);
    // A quantized matrix is W [out, in], whatever the file's layout.
    const auto linear = linears.find(tensor.name);
    const RowSourcePtr matrix = linear == linears.end() ? tensor.rows : source.matrix(*linear->second);
    if (const auto step = steps.find(tensor.name); step != steps.end()) {
      planned.step = step->second;
    } else if (planned.taken = std::dynamic_pointer_cast<const QuantizedTensor>(matrix); planned.taken == nullptr) {
      planned.exact = exact_spec(*matrix, threads);
    }
    if (planned.is_quantized()) {
      planned.rows = matrix;
      add_quantized_parts(planned);
    } else if (view != stored.end()) {
      planned.stored = view->second;
      planned.parts = {{tensor.name, view->second.dtype, view->second.shape}};
    } else {
      planned.kept_dtype = narrowest_exact_dtype(*tensor.rows, threads);
      planned.parts = {{tensor.name, *planned.kept_dtype, tensor.shape}};
    }
    source.release(tensor.name);
  }
  return plan;
}

std::vector<std::string> remarks_on(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  std::map<std::string, int> quantized_before;
  std::vector<std::string> remarks;
  for (const PlannedTensor& tensor : plan) {
    const std::string storage = tensor.rows->storage();
    // Rounded here, or before with the help of data.
    const RowSourcePtr before = source.has(tensor.name) ? source.tensor(tensor.name).rows : nullptr;
    const bool rounded = tensor.step || (tensor.taken && tensor.taken != before);
    if (rounded && before && !dtype_from_name(before->storage())) ++quantized_before[before->storage()];
    if (tensor.kept_dtype && tensor.bytes() > tensor.source_bytes) {
      remarks.push_back(fmt::format(
          "'{}' is kept: its {} values take {} as {} (from {}); a recipe step can quantize it", tensor.name, storage,
          human_bytes(tensor.bytes()), info(*tensor.kept_dtype).name, human_bytes(tensor.source_bytes)));
    }
  }
  for (const auto& [storage, count] : quantized_before) {
    remarks.push_back(
        fmt::format("{} matrices come quantized as {}: they are decoded and rounded again, and errors are "
                    "measured against the decoded values",
                    count, storage));
  }
  if (const auto& unused = source.unused_tensors(); !unused.empty()) {
    remarks.push_back(fmt::format("{} tensors that the model does not use are left out, such as '{}'", unused.size(),
                                  unused.front()));
  }
  return remarks;
}

}  // namespace bitloom
