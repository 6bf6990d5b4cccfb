#include "transform/reassembly/moved_columns.h"

#include <utility>

#include "transform/scaling/scaled_rows.h"

namespace bitloom {
namespace {

class MovedColumns final : public RowSource {
 public:
  MovedColumns(RowSourcePtr source, Reassembly reassembly)
      : source_(std::move(source)), reassembly_(std::move(reassembly)) {}
  int64_t rows() const override { return source_->rows(); }
  int64_t cols() const override { return source_->cols(); }
  int64_t stored_bytes() const override { return source_->stored_bytes(); }
  std::string storage() const override { return changed_storage("reassembled", source_->storage()); }
  void release() const override { source_->release(); }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    source_->decode_rows(begin, end, out);
    for (int64_t row = begin; row < end; ++row, out += cols()) reassembly_.move_weights(out);
  }

 private:
  RowSourcePtr source_;
  Reassembly reassembly_;
};

}  // namespace

RowSourcePtr moved_columns(RowSourcePtr source, Reassembly reassembly) {
  return std::make_shared<const MovedColumns>(std::move(source), std::move(reassembly));
}

}  // namespace bitloom
