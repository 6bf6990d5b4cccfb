#include "format/stored_matrix.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace bitloom {

std::shared_ptr<const StoredMatrix> StoredMatrix::from_parts(const std::string& name, const Storage& storage,
                                                             int64_t rows, int64_t cols,
                                                             const std::vector<TensorPart>& parts,
                                                             std::shared_ptr<const void> owner) {
  if (rows < 0 || cols < 0) refuse("{}: shape is [{}, {}]", name, rows, cols);
  const std::vector<TensorPart> known = greatest_parts(storage, rows, cols);
  std::shared_ptr<StoredMatrix> matrix(new StoredMatrix);
  matrix->spec_ = storage;
  matrix->rows_ = rows;
  matrix->cols_ = cols;
  matrix->owner_ = std::move(owner);
  matrix->base_ = storage.base.open(name, rows, cols, parts);
  matrix->side_ = open_side_terms(name, storage.side, rows, cols, parts);
  for (const auto& term : matrix->side_) matrix->row_block_ = std::max(matrix->row_block_, term->row_block());
  for (const TensorPart& want : known) {
    for (const TensorPart& part : parts) {
      if (part.suffix == want.suffix) matrix->parts_.push_back(part);
    }
  }
  if (parts.size() != known.size()) {
    refuse("{}: has {} parts, {} needs {}", name, parts.size(), to_string(storage), known.size());
  }
  return matrix;
}

const TensorPart* StoredMatrix::find_part(const std::string& suffix) const {
  for (const TensorPart& part : parts_) {
    if (part.suffix == suffix) return &part;
  }
  return nullptr;
}

/// [begin, end): whole blocks of rows.
void StoredMatrix::decode_blocks(int64_t begin, int64_t end, float* out) const {
  base_->decode_rows(begin, end, out);
  for (const auto& term : side_) term->apply(begin, end, out);
}

void StoredMatrix::decode_rows(int64_t begin, int64_t end, float* out) const {
  std::vector<float> block;
  for (int64_t r = begin; r < end;) {
    const int64_t first = r / row_block_ * row_block_, whole = end / row_block_ * row_block_;
    float* rows = out + (r - begin) * cols_;
    if (first == r && r < whole) {
      decode_blocks(r, whole, rows);
      r = whole;
      continue;
    }
    const int64_t last = std::min(end, first + row_block_);
    block.resize(static_cast<size_t>(row_block_ * cols_));
    decode_blocks(first, first + row_block_, block.data());
    std::copy(block.begin() + (r - first) * cols_, block.begin() + (last - first) * cols_, rows);
    r = last;
  }
}

int64_t StoredMatrix::stored_bytes() const {
  int64_t bytes = 0;
  for (const TensorPart& part : parts_) bytes += static_cast<int64_t>(part.bytes.size());
  return bytes;
}

double StoredMatrix::nominal_bits() const {
  double bits = base_->nominal_bits();
  for (const auto& term : side_) bits += term->nominal_bits();
  return bits;
}

double StoredMatrix::true_bits() const {
  const int64_t weights = rows_ * cols_;
  return weights == 0 ? 0 : 8.0 * static_cast<double>(stored_bytes()) / static_cast<double>(weights);
}

void StoredMatrix::check_values(const std::string& name) const {
  base_->check_values(name);
  for (const auto& term : side_) term->check_values(name);
}

std::shared_ptr<const StoredMatrix> stored_from_bytes(const std::string& name, const Storage& storage, int64_t rows,
                                                      int64_t cols, std::vector<std::vector<std::byte>> bytes) {
  std::vector<TensorPart> parts = greatest_parts(storage, rows, cols);
  if (bytes.size() != parts.size()) {
    fail(ErrorKind::kFailed, "{}: {} parts were made, {} has {}", name, bytes.size(), to_string(storage), parts.size());
  }
  const auto owner = std::make_shared<const std::vector<std::vector<std::byte>>>(std::move(bytes));
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].bytes = (*owner)[i];
    if (parts[i].shape.size() != 1) continue;
    parts[i].shape[0] = 8 * static_cast<int64_t>(parts[i].bytes.size()) / info(parts[i].dtype).bits;
  }
  return StoredMatrix::from_parts(name, storage, rows, cols, parts, owner);
}

}  // namespace bitloom
