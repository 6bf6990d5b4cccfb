#include "judge/tensor_list.h"

#include <algorithm>
#include <map>

#include "io/tensor_view.h"

namespace bitloom {
namespace {

/// "model.layers.3.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj.weight"
std::string without_numbers(const std::string& name) {
  std::string out;
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, end - start);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    out += (start == 0 ? "" : ".") + (number ? "*" : part);
    start = end + 1;
  }
  return out;
}

void add(const CheckpointTensor& tensor, TensorGroup& group) {
  int64_t weights = 1;
  for (const int64_t size : tensor.shape) weights *= size;
  group.count += 1;
  group.weights += weights;
  group.bytes += tensor.rows->stored_bytes();
}

}  // namespace

double TensorGroup::bits() const {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

std::vector<TensorGroup> tensor_groups(const Checkpoint& model, bool summarise) {
  std::vector<TensorGroup> groups;
  std::map<std::string, size_t> places;
  for (const CheckpointTensor& tensor : model.tensors()) {
    const std::string name = summarise ? without_numbers(tensor.name) : tensor.name;
    const std::string shape = shape_text(tensor.shape), storage = tensor.rows->storage();
    const auto [place, is_new] = places.emplace(name + "\n" + shape + "\n" + storage, groups.size());
    if (is_new) groups.push_back({name, shape, storage});
    add(tensor, groups[place->second]);
  }
  return groups;
}

TensorGroup all_tensors(const Checkpoint& model) {
  TensorGroup all;
  for (const CheckpointTensor& tensor : model.tensors()) add(tensor, all);
  return all;
}

}  // namespace bitloom
