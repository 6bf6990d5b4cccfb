#include "pipeline/plan.h"

#include <map>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/dense_values.h"
#include "pipeline/exact_spec.h"

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
  for (TensorView& view : open_safetensors_directory(source.path())) {
    std::string name = view.name;
    result.emplace(std::move(name), std::move(view));
  }
  return result;
}

void add_quantized_parts(PlannedTensor& tensor) {
  const auto parts =
      tensor.taken ? tensor.taken->parts() : greatest_parts(tensor.storage(), tensor.rows->rows(), tensor.rows->cols());
  for (const TensorPart& part : parts) {
    tensor.parts.push_back({tensor.name + part.suffix, part.dtype, part.shape});
  }
}

/// As it would be quantized: W [out, in], whatever the file's layout.
RowSourcePtr matrix_of(const Checkpoint& source, const Linears& linears, const CheckpointTensor& tensor) {
  const auto linear = linears.find(tensor.name);
  return linear == linears.end() ? tensor.rows : source.matrix(*linear->second);
}

/// For values that stay, but not in their storage: the smallest that holds every one.
void decide_by_values(PlannedTensor& tensor, const RowSourcePtr& matrix, const std::vector<int64_t>& shape,
                      ThreadPool& threads) {
  tensor.exact = exact_spec(*matrix, threads);
  if (tensor.exact) {
    tensor.rows = matrix;
    add_quantized_parts(tensor);
  } else {
    tensor.kept_dtype = narrowest_exact_dtype(*tensor.rows, threads);
    tensor.parts = {{tensor.name, *tensor.kept_dtype, shape}};
  }
}

}  // namespace

int64_t PlannedTensor::bytes() const {
  int64_t total = 0;
  for (const TensorSpec& part : parts) total += part.bytes();
  return total;
}

std::vector<PlannedTensor> plan_tensors(const Checkpoint& source, const std::map<std::string, RecipeStep>& steps,
                                        Context& context) {
  const Linears linears = all_linears(source.graph()), of_blocks = block_linears(source.graph());
  const auto stored = stored_tensors(source);
  const std::vector<CheckpointTensor>& tensors = source.tensors();
  std::vector<PlannedTensor> plan;
  std::vector<size_t> undecided;
  int64_t undecided_bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const CheckpointTensor& tensor = tensors[i];
    PlannedTensor& planned = plan.emplace_back();
    planned.name = tensor.name;
    const auto view = source.is_edited(tensor.name) ? stored.end() : stored.find(tensor.name);
    planned.file = view == stored.end() ? source.path() : view->second.file;
    planned.rows = tensor.rows;
    planned.source_bytes = tensor.rows->stored_bytes();
    planned.of_blocks = of_blocks.contains(tensor.name);
    const RowSourcePtr matrix = matrix_of(source, linears, tensor);
    if (const auto step = steps.find(tensor.name); step != steps.end()) {
      planned.step = step->second;
      check_storable(tensor.name, planned.storage(), matrix->rows());
    } else {
      planned.taken = std::dynamic_pointer_cast<const StoredMatrix>(matrix);
    }
    if (planned.is_quantized()) {
      planned.rows = matrix;
      add_quantized_parts(planned);
    } else if (view != stored.end()) {
      planned.stored = view->second;
      planned.parts = {{tensor.name, view->second.dtype, view->second.shape}};
    } else {
      undecided.push_back(i);
      undecided_bytes += planned.source_bytes;
    }
    source.release(tensor.name);
  }
  const ProgressTask task(context.progress, "planning", undecided_bytes);
  for (const size_t i : undecided) {
    decide_by_values(plan[i], matrix_of(source, linears, tensors[i]), tensors[i].shape, context.threads);
    source.release(plan[i].name);
    context.progress.advance(plan[i].source_bytes, plan[i].name);
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
        fmt::format("matrices that come quantized as {}: {}; they are decoded and rounded again, and errors are "
                    "measured against the decoded values",
                    storage, count));
  }
  if (const auto& unused = source.unused_tensors(); !unused.empty()) {
    remarks.push_back(fmt::format("tensors that the model does not use are left out: {}, such as '{}'", unused.size(),
                                  unused.front()));
  }
  return remarks;
}

}  // namespace bitloom
