#include "io/tensor_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "io/stored_rows.h"

namespace bitloom {
namespace {

class DenseRows final : public StoredRows {
 public:
  explicit DenseRows(const TensorView& tensor) : tensor_(tensor), shape_(matrix_shape(tensor.shape)) {}

  int64_t rows() const override { return shape_.rows; }
  int64_t cols() const override { return shape_.cols; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    if (shape_.cols == 0 || begin == end) return;  // no bytes: `out` may be null
    decode_to_f32(tensor_.dtype, tensor_.bytes.data(), begin * shape_.cols, (end - begin) * shape_.cols, out);
  }
  int64_t stored_bytes() const override { return static_cast<int64_t>(tensor_.bytes.size()); }
  std::string storage() const override { return std::string(info(tensor_.dtype).name); }
  const std::byte* stored_rows() const override { return tensor_.bytes.data(); }

 private:
  TensorView tensor_;
  MatrixShape shape_;
};

}  // namespace

int64_t TensorView::elements() const {
  int64_t product = 1;
  for (const int64_t dim : shape) product *= dim;
  return product;
}

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::optional<int64_t> checked_elements(std::span<const int64_t> shape) {
  int64_t product = 1;
  bool has_zero = false;
  for (const int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    has_zero |= dim == 0;
    if (dim != 0 && __builtin_mul_overflow(product, dim, &product)) return std::nullopt;
  }
  return has_zero ? 0 : product;
}

MatrixShape matrix_shape(std::span<const int64_t> shape) {
  MatrixShape matrix;
  if (shape.empty()) return matrix;
  if (shape.size() == 1) return {1, shape[0]};
  matrix.rows = shape[0];
  for (const int64_t dim : shape.subspan(1)) matrix.cols *= dim;
  return matrix;
}

RowSourcePtr dense_rows(const TensorView& tensor) {
  if (tensor.dtype == DType::kC64) {
    refuse("{}: tensor '{}' has complex dtype {}, which has no real values", tensor.file, tensor.name,
           info(tensor.dtype).name);
  }
  return std::make_shared<DenseRows>(tensor);
}

}  // namespace bitloom
