#include "transform/scaling/scaled_rows.h"

#include <algorithm>
#include <cassert>

namespace bitloom {
namespace {

class ScaledRows final : public RowSource {
 public:
  ScaledRows(RowSourcePtr source, std::vector<double> row_factors, std::vector<double> col_factors)
      : source_(std::move(source)), row_factors_(std::move(row_factors)), col_factors_(std::move(col_factors)) {
    assert(row_factors_.empty() || static_cast<int64_t>(row_factors_.size()) == rows());
    assert(col_factors_.empty() || static_cast<int64_t>(col_factors_.size()) == cols());
  }
  int64_t rows() const override { return source_->rows(); }
  int64_t cols() const override { return source_->cols(); }
  int64_t stored_bytes() const override { return source_->stored_bytes(); }
  std::string storage() const override { return changed_storage("scaled", source_->storage()); }
  void release() const override { source_->release(); }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    source_->decode_rows(begin, end, out);
    const int64_t width = cols();
    for (int64_t r = begin; r < end; ++r, out += width) {
      const double factor = row_factors_.empty() ? 1.0 : row_factors_[static_cast<size_t>(r)];
      if (col_factors_.empty()) {
        for (int64_t c = 0; c < width; ++c) out[c] = static_cast<float>(factor * static_cast<double>(out[c]));
      } else {
        const double* col = col_factors_.data();
        for (int64_t c = 0; c < width; ++c) out[c] = static_cast<float>(factor * static_cast<double>(out[c]) * col[c]);
      }
    }
  }

 private:
  RowSourcePtr source_;
  std::vector<double> row_factors_, col_factors_;
};

}  // namespace

RowSourcePtr scaled_rows(RowSourcePtr source, std::vector<double> row_factors, std::vector<double> col_factors) {
  return std::make_shared<ScaledRows>(std::move(source), std::move(row_factors), std::move(col_factors));
}

std::string changed_storage(const std::string& word, const std::string& storage) {
  return storage.starts_with(word + " ") ? storage : word + " " + storage;
}

}  // namespace bitloom
