#include "ops/family_product.h"

#include "format/families/codebook/codebook_storage.h"
#include "kernels/column_dot/column_dot.h"
#include "packing/row_words.h"

namespace bitloom {
namespace {

const std::byte* bytes_of_part(const StoredMatrix& matrix, const char* suffix) {
  return matrix.find_part(suffix)->bytes.data();
}

class ColumnProduct final : public FamilyProduct {
 public:
  ColumnProduct(const StoredMatrix& matrix, Isa isa, bool exact)
      : kernel_(find_column_dot(isa).kernel), exact_(exact), layout_(matrix.find_part(".widths")->bytes) {
    w_ = {bytes_of_part(matrix, ".codes"), bytes_of_part(matrix, ".tables"), &layout_, matrix.rows(), matrix.cols()};
  }
  int64_t row_multiple() const override { return kTileRows; }
  int64_t scratch_bytes() const override { return column_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    kernel_({w_, first / kTileRows, tiles_of(last), tokens, exact_, x, y, y_stride, scratch});
  }

 private:
  ColumnDotKernel* kernel_;
  bool exact_;
  ColumnLayout layout_;
  ColumnTables w_;
};

}  // namespace

std::unique_ptr<const FamilyProduct> make_family_product(const StoredMatrix& matrix, Isa isa, bool exact) {
  if (const auto* codebook = matrix.spec().base.get_if<CodebookStorage>(); codebook != nullptr) {
    if (codebook->share == CodebookStorage::Share::kColumn) return std::make_unique<ColumnProduct>(matrix, isa, exact);
  }
  return nullptr;
}

}  // namespace bitloom
