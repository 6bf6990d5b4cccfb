#include "model/row_views.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <set>

#include "base/memory/dtype.h"

namespace bitloom {
namespace {

[[maybe_unused]] bool is_permutation_of(std::vector<int64_t> order, int64_t count) {
  std::sort(order.begin(), order.end());
  if (static_cast<int64_t>(order.size()) != count) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (order[static_cast<size_t>(i)] != i) return false;
  }
  return true;
}

/// A view that takes as many bytes, in the same storage, as its source.
class View : public RowSource {
 public:
  explicit View(RowSourcePtr source) : source_(std::move(source)) {}
  int64_t rows() const override { return source_->rows(); }
  int64_t cols() const override { return source_->cols(); }
  int64_t stored_bytes() const override { return source_->stored_bytes(); }
  std::string storage() const override { return source_->storage(); }
  void release() const override { source_->release(); }

  const RowSourcePtr& shared_source() const { return source_; }

 protected:
  const RowSource& source() const { return *source_; }

 private:
  RowSourcePtr source_;
};

class PermutedRows final : public View {
 public:
  PermutedRows(RowSourcePtr source, std::vector<int64_t> order) : View(std::move(source)), order_(std::move(order)) {
    assert(is_permutation_of(order_, rows()));
  }
  const std::vector<int64_t>& order() const { return order_; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end;) {
      // Runs of rows that follow each other in the source are decoded at once.
      const int64_t first = order_[static_cast<size_t>(r)];
      int64_t length = 1;
      while (r + length < end && order_[static_cast<size_t>(r + length)] == first + length) ++length;
      source().decode_rows(first, first + length, out);
      out += length * cols();
      r += length;
    }
  }

 private:
  std::vector<int64_t> order_;
};

class PermutedColumns final : public View {
 public:
  PermutedColumns(RowSourcePtr source, std::vector<int64_t> order) : View(std::move(source)), order_(std::move(order)) {
    assert(is_permutation_of(order_, cols()));
  }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<float> row(order_.size());
    for (int64_t r = begin; r < end; ++r) {
      source().decode_rows(r, r + 1, row.data());
      for (const int64_t from : order_) *out++ = row[static_cast<size_t>(from)];
    }
  }

 private:
  std::vector<int64_t> order_;
};

class StackedRows final : public RowSource {
 public:
  explicit StackedRows(std::vector<RowSourcePtr> parts) : parts_(std::move(parts)) {
    assert(!parts_.empty());
    for (const RowSourcePtr& part : parts_) {
      assert(part->cols() == cols());
      ends_.push_back(rows() + part->rows());
    }
  }
  int64_t rows() const override { return ends_.empty() ? 0 : ends_.back(); }
  int64_t cols() const override { return parts_.front()->cols(); }
  int64_t stored_bytes() const override {
    int64_t bytes = 0;
    for (const RowSourcePtr& part : parts_) bytes += part->stored_bytes();
    return bytes;
  }
  std::string storage() const override {
    std::set<std::string> storages;
    for (const RowSourcePtr& part : parts_) storages.insert(part->storage());
    return fmt::format("{}", fmt::join(storages, " and "));
  }
  void release() const override {
    for (const RowSourcePtr& part : parts_) part->release();
  }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    auto at = std::upper_bound(ends_.begin(), ends_.end(), begin);
    for (int64_t r = begin; r < end; ++at) {
      const auto part = static_cast<size_t>(at - ends_.begin());
      const int64_t first = *at - parts_[part]->rows(), last = std::min(end, *at);
      parts_[part]->decode_rows(r - first, last - first, out + (r - begin) * cols());
      r = last;
    }
  }

 private:
  std::vector<RowSourcePtr> parts_;
  std::vector<int64_t> ends_;  // where each part's rows end
};

class AffineRows final : public View {
 public:
  AffineRows(RowSourcePtr source, float scale, float offset)
      : View(std::move(source)), scale_(scale), offset_(offset) {}
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    source().decode_rows(begin, end, out);
    const int64_t count = (end - begin) * cols();
    for (int64_t i = 0; i < count; ++i) out[i] = scale_ * out[i] + offset_;
  }

 private:
  float scale_, offset_;
};

class TransposedRows final : public View {
 public:
  explicit TransposedRows(RowSourcePtr source) : View(std::move(source)) {}
  int64_t rows() const override { return source().cols(); }
  int64_t cols() const override { return source().rows(); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    // Source rows in tiles, so that memory stays small whatever the matrix.
    constexpr int64_t kTile = 64;
    std::vector<float> tile(static_cast<size_t>(std::min(kTile, cols()) * rows()));
    for (int64_t first = 0; first < cols(); first += kTile) {
      const int64_t last = std::min(first + kTile, cols());
      source().decode_rows(first, last, tile.data());
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t c = first; c < last; ++c) {
          out[(r - begin) * cols() + c] = tile[static_cast<size_t>((c - first) * rows() + r)];
        }
      }
    }
  }
};

class TransposedDense final : public RowSource {
 public:
  explicit TransposedDense(TensorView tensor) : tensor_(std::move(tensor)) { assert(tensor_.shape.size() == 2); }
  int64_t rows() const override { return tensor_.shape[1]; }
  int64_t cols() const override { return tensor_.shape[0]; }
  int64_t stored_bytes() const override { return static_cast<int64_t>(tensor_.bytes.size()); }
  std::string storage() const override { return std::string(info(tensor_.dtype).name); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    const int64_t count = end - begin, width = cols();
    std::vector<float> piece(static_cast<size_t>(count));
    for (int64_t c = 0; c < width; ++c) {
      decode_to_f32(tensor_.dtype, tensor_.bytes.data(), c * rows() + begin, count, piece.data());
      for (int64_t r = 0; r < count; ++r) out[r * width + c] = piece[static_cast<size_t>(r)];
    }
  }

 private:
  TensorView tensor_;
};

}  // namespace

RowSourcePtr permuted_rows(RowSourcePtr source, std::vector<int64_t> order) {
  return std::make_shared<PermutedRows>(std::move(source), std::move(order));
}

RowOrder row_order_of(const RowSourcePtr& rows) {
  const auto* view = dynamic_cast<const PermutedRows*>(rows.get());
  if (view == nullptr) return {rows, {}};
  return {view->shared_source(), view->order()};
}

RowSourcePtr permuted_columns(RowSourcePtr source, std::vector<int64_t> order) {
  return std::make_shared<PermutedColumns>(std::move(source), std::move(order));
}

RowSourcePtr affine_rows(RowSourcePtr source, float scale, float offset) {
  return std::make_shared<AffineRows>(std::move(source), scale, offset);
}

RowSourcePtr stacked_rows(std::vector<RowSourcePtr> parts) { return std::make_shared<StackedRows>(std::move(parts)); }

RowSourcePtr transposed_rows(RowSourcePtr source) { return std::make_shared<TransposedRows>(std::move(source)); }

RowSourcePtr transposed_rows(const TensorView& tensor) { return std::make_shared<TransposedDense>(tensor); }

}  // namespace bitloom
