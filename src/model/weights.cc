#include "model/weights.h"

#include "base/error.h"
#include "io/tensor_view.h"
#include "model/row_views.h"

namespace bitloom {
namespace {

/// The shape of the rows that an edit must bring: W [out, in] of a matrix, [1, n] of a vector.
std::vector<int64_t> edit_shape(const CheckpointTensor& tensor, bool stored_in_out) {
  const MatrixShape stored = matrix_shape(tensor.shape);
  if (stored_in_out) return {stored.cols, stored.rows};
  return {stored.rows, stored.cols};
}

}  // namespace

Weights::Weights(std::string origin, std::vector<std::string> order, std::map<std::string, StoredTensor> tensors) {
  auto layer = std::make_shared<Layer>(Layer{std::move(origin), nullptr, std::move(order), {}});
  for (auto& [name, stored] : tensors) {
    layer->entries[name] = {
        {name, std::move(stored.shape), std::move(stored.rows)}, std::move(stored.out_in), std::move(stored.pieces)};
  }
  top_ = std::move(layer);
}

const Weights::Entry* Weights::find(const std::string& name) const {
  for (const Layer* layer = top_.get(); layer != nullptr; layer = layer->below.get()) {
    if (const auto at = layer->entries.find(name); at != layer->entries.end()) return &at->second;
  }
  return nullptr;
}

const CheckpointTensor& Weights::tensor(const std::string& name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) refuse("{}: no tensor '{}'", origin(), name);
  return entry->tensor;
}

std::vector<CheckpointTensor> Weights::tensors() const {
  std::vector<const Layer*> layers;
  for (const Layer* layer = top_.get(); layer != nullptr; layer = layer->below.get()) layers.push_back(layer);
  std::vector<CheckpointTensor> all;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    for (const std::string& name : (*layer)->added) all.push_back(tensor(name));
  }
  return all;
}

RowSourcePtr Weights::matrix(const Linear& linear) const {
  const Entry* entry = find(linear.weight);
  return entry != nullptr && entry->out_in ? entry->out_in : tensor(linear.weight).rows;
}

void Weights::release(const std::string& name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) return;
  if (entry->edited) entry->tensor.rows->release();
  for (const MappedPiece& piece : entry->pieces) piece.file->release(piece.bytes);
}

Weights Weights::edited(const std::map<std::string, RowSourcePtr>& tensors) const {
  if (tensors.empty()) return *this;
  auto layer = std::make_shared<Layer>(above());
  for (const auto& [name, rows] : tensors) layer->entries[name] = replaced(name, rows);
  return Weights(std::move(layer));
}

Weights::Entry Weights::replaced(const std::string& name, RowSourcePtr rows) const {
  const Entry* old = find(name);
  if (old == nullptr) fail(ErrorKind::kFailed, "{}: edited tensor '{}' is not one of the graph's", origin(), name);
  const bool stored_in_out = old->out_in != nullptr;
  const std::vector<int64_t> expected = edit_shape(old->tensor, stored_in_out), found = {rows->rows(), rows->cols()};
  if (found != expected) {
    fail(ErrorKind::kFailed, "{}: edited tensor '{}' has shape {}, expected {}", origin(), name, shape_text(found),
         shape_text(expected));
  }
  Entry entry{{name, old->tensor.shape, rows}, nullptr, old->pieces, true};
  if (!stored_in_out) return entry;
  entry.tensor.rows = transposed_rows(rows);
  entry.out_in = std::move(rows);
  return entry;
}

bool Weights::is_edited(const std::string& name) const {
  const Entry* entry = find(name);
  return entry != nullptr && entry->edited;
}

Weights Weights::with_twin(const std::string& name, const std::string& of) const {
  auto layer = std::make_shared<Layer>(above());
  Entry twin = *find(of);
  twin.tensor.name = name, twin.edited = false;
  layer->entries[name] = std::move(twin);
  layer->added.push_back(name);
  return Weights(std::move(layer));
}

}  // namespace bitloom
