#include "transform/rotation/rotated_rows.h"

#include <algorithm>
#include <cassert>

#include "transform/scaling/scaled_rows.h"

namespace bitloom {
namespace {

/// A source of the same shape and size.
class Rotated : public RowSource {
 public:
  Rotated(RowSourcePtr source, RotationPtr rotation) : source_(std::move(source)), rotation_(std::move(rotation)) {}
  int64_t rows() const override { return source_->rows(); }
  int64_t cols() const override { return source_->cols(); }
  int64_t stored_bytes() const override { return source_->stored_bytes(); }
  std::string storage() const override { return changed_storage("rotated", source_->storage()); }
  void release() const override { source_->release(); }

 protected:
  const RowSource& source() const { return *source_; }
  const RandomRotation& rotation() const { return *rotation_; }

 private:
  RowSourcePtr source_;
  RotationPtr rotation_;
};

class RotatedColumns final : public Rotated {
 public:
  RotatedColumns(RowSourcePtr source, std::vector<double> factors, RotationPtr rotation)
      : Rotated(std::move(source), std::move(rotation)), factors_(std::move(factors)) {
    assert(cols() % this->rotation().size() == 0);
    assert(factors_.empty() || static_cast<int64_t>(factors_.size()) == cols());
  }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    source().decode_rows(begin, end, out);
    const auto width = static_cast<size_t>(cols());
    std::vector<double> row(width);
    for (int64_t r = begin; r < end; ++r, out += width) {
      for (size_t c = 0; c < width; ++c) {
        row[c] = static_cast<double>(out[c]) * (factors_.empty() ? 1.0 : factors_[c]);
      }
      for (int64_t c = 0; c < cols(); c += rotation().size()) rotation().apply(row.data() + c, 1);
      for (size_t c = 0; c < width; ++c) out[c] = static_cast<float>(row[c]);
    }
  }

 private:
  std::vector<double> factors_;
};

/// values [rotation.size(), cols] <- R^T values, a panel of columns at a time.
void rotate_in_place(const RandomRotation& rotation, float* values, int64_t cols) {
  constexpr int64_t kPanel = 16;
  std::vector<double> panel(static_cast<size_t>(rotation.size() * std::min(kPanel, cols)));
  for (int64_t first = 0; first < cols; first += kPanel) {
    const int64_t width = std::min(kPanel, cols - first);
    for (int64_t r = 0; r < rotation.size(); ++r) {
      for (int64_t c = 0; c < width; ++c) {
        panel[static_cast<size_t>(r * width + c)] = static_cast<double>(values[r * cols + first + c]);
      }
    }
    rotation.apply(panel.data(), width);
    for (int64_t r = 0; r < rotation.size(); ++r) {
      for (int64_t c = 0; c < width; ++c) {
        values[r * cols + first + c] = static_cast<float>(panel[static_cast<size_t>(r * width + c)]);
      }
    }
  }
}

class RotatedRows final : public Rotated {
 public:
  RotatedRows(RowSourcePtr source, RotationPtr rotation, std::shared_ptr<MatrixCache> cache)
      : Rotated(std::move(source), std::move(rotation)), cache_(std::move(cache)) {
    assert(rows() == this->rotation().size());
  }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    const MatrixCache::Matrix values = matrix();
    std::copy(values->begin() + begin * cols(), values->begin() + end * cols(), out);
  }
  void release() const override {
    {
      const std::lock_guard guard(lock_);
      if (const MatrixCache::Matrix values = made_.lock()) cache_->forget(values);
      made_.reset();
    }
    Rotated::release();
  }

 private:
  /// Whoever comes first makes it; others wait.
  MatrixCache::Matrix matrix() const {
    const std::lock_guard guard(lock_);
    MatrixCache::Matrix values = made_.lock();
    if (values == nullptr) {
      std::vector<float> all = source().decode_all();
      rotate_in_place(rotation(), all.data(), cols());
      values = std::make_shared<const std::vector<float>>(std::move(all));
      made_ = values;
    }
    cache_->keep(values);
    return values;
  }

  std::shared_ptr<MatrixCache> cache_;
  mutable std::mutex lock_;
  mutable std::weak_ptr<const std::vector<float>> made_;
};

class RotatedRowRuns final : public Rotated {
 public:
  RotatedRowRuns(RowSourcePtr source, RotationPtr rotation, std::vector<int64_t> first_rows)
      : Rotated(std::move(source), std::move(rotation)), first_rows_(std::move(first_rows)) {
    for ([[maybe_unused]] size_t i = 1; i < first_rows_.size(); ++i) {
      assert(first_rows_[i - 1] + length() <= first_rows_[i]);
    }
    assert(first_rows_.empty() || first_rows_.back() + length() <= rows());
  }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    source().decode_rows(begin, end, out);
    std::vector<float> run(static_cast<size_t>(length() * cols()));
    for (const int64_t first : first_rows_) {
      const int64_t from = std::max(first, begin), to = std::min(first + length(), end);
      if (from >= to) continue;
      source().decode_rows(first, first + length(), run.data());
      rotate_in_place(rotation(), run.data(), cols());
      std::copy(run.begin() + (from - first) * cols(), run.begin() + (to - first) * cols(),
                out + (from - begin) * cols());
    }
  }

 private:
  int64_t length() const { return rotation().size(); }
  std::vector<int64_t> first_rows_;
};

int64_t size_in_bytes(const MatrixCache::Matrix& matrix) {
  return static_cast<int64_t>(matrix->size() * sizeof(float));
}

}  // namespace

void MatrixCache::keep(const Matrix& matrix) {
  const std::lock_guard guard(lock_);
  const auto at = std::find(kept_.begin(), kept_.end(), matrix);
  if (at != kept_.end()) return kept_.splice(kept_.begin(), kept_, at);
  kept_.push_front(matrix);
  int64_t total = 0;
  for (auto it = kept_.begin(); it != kept_.end();) {
    total += size_in_bytes(*it);
    it = total > budget_ && it != kept_.begin() ? kept_.erase(it) : std::next(it);
  }
}

void MatrixCache::forget(const Matrix& matrix) {
  const std::lock_guard guard(lock_);
  kept_.remove(matrix);
}

int64_t MatrixCache::bytes() const {
  const std::lock_guard guard(lock_);
  int64_t total = 0;
  for (const Matrix& matrix : kept_) total += size_in_bytes(matrix);
  return total;
}

RowSourcePtr rotated_columns(RowSourcePtr source, std::vector<double> col_factors, RotationPtr rotation) {
  return std::make_shared<RotatedColumns>(std::move(source), std::move(col_factors), std::move(rotation));
}

RowSourcePtr rotated_rows(RowSourcePtr source, RotationPtr rotation, std::shared_ptr<MatrixCache> cache) {
  return std::make_shared<RotatedRows>(std::move(source), std::move(rotation), std::move(cache));
}

RowSourcePtr rotated_row_runs(RowSourcePtr source, RotationPtr rotation, std::vector<int64_t> first_rows) {
  return std::make_shared<RotatedRowRuns>(std::move(source), std::move(rotation), std::move(first_rows));
}

}  // namespace bitloom
