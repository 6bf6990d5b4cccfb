#include "judge/size_estimate.h"

#include <algorithm>
#include <map>
#include <set>

#include "format/stored_matrix.h"
#include "pipeline/output/plan.h"

namespace bitloom {
namespace {

// Beside the named schemes: what people ask for most.
constexpr const char* kCommon[] = {"int8-row", "int6-g64", "int5-g64", "int4-row", "int4-g128",
                                   "int4-g32", "nf4-g64",  "int3-g64", "int2-g64", "int2-g32"};

// Weight matrices of the blocks, each once, with their true shape.
std::map<std::string, const Linear*> block_matrices(const Graph& graph) {
  std::map<std::string, const Linear*> matrices;
  for (const Site& site : linear_sites(graph)) matrices[site.linear->weight] = site.linear;
  return matrices;
}

SizeEstimate estimate(const std::string& scheme, const std::map<std::string, const Linear*>& matrices,
                      int64_t rest_bytes, double all_weights) {
  const Storage storage = parse_storage(scheme);
  int64_t bytes = 0;
  double weights = 0, nominal = 0;
  for (const auto& [name, linear] : matrices) {
    for (const TensorPart& part : greatest_parts(storage, linear->out, linear->in)) bytes += bytes_of(part);
    const double count = static_cast<double>(linear->out) * static_cast<double>(linear->in);
    weights += count;
    nominal += count * nominal_bits(storage, linear->out, linear->in);
  }
  const double of_model = 8.0 * static_cast<double>(rest_bytes + bytes) / std::max(all_weights, 1.0);
  if (weights == 0) return {scheme, 0, 0, rest_bytes, of_model};
  return {scheme, nominal / weights, 8.0 * static_cast<double>(bytes) / weights, rest_bytes + bytes, of_model};
}

// Bytes of the tensors that a recipe for the blocks' matrices leaves alone; the same for every such recipe.
int64_t bytes_that_stay(const Checkpoint& model, Context& context) {
  const auto steps = resolve(load_recipe("int8-row"), model.graph());
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : plan_tensors(model, steps, {}, context))
    if (!tensor.is_rounded()) bytes += tensor.bytes();
  return bytes;
}

}  // namespace

std::vector<SizeEstimate> estimate_sizes(const Checkpoint& model, Context& context) {
  const auto matrices = block_matrices(model.graph());
  const int64_t rest = bytes_that_stay(model, context);
  double all_weights = 0;
  for (const CheckpointTensor& tensor : model.tensors())
    all_weights += static_cast<double>(tensor.rows->rows()) * static_cast<double>(tensor.rows->cols());
  std::set<std::string> schemes(std::begin(kCommon), std::end(kCommon));
  for (const std::string& name : named_schemes()) schemes.insert(name);
  std::vector<SizeEstimate> estimates;
  estimates.reserve(schemes.size());
  for (const std::string& scheme : schemes) estimates.push_back(estimate(scheme, matrices, rest, all_weights));
  std::stable_sort(estimates.begin(), estimates.end(),
                   [](const SizeEstimate& a, const SizeEstimate& b) { return a.model_bytes > b.model_bytes; });
  return estimates;
}

}  // namespace bitloom
