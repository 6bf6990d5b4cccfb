#include "ops/packed_frame.h"

#include <algorithm>
#include <utility>

namespace bitloom {
namespace {

std::vector<float> scales_of(const StoredMatrix& matrix, const char* suffix) {
  const TensorPart* part = matrix.find_part(suffix);
  if (part == nullptr) return {};
  std::vector<float> scales(static_cast<size_t>(part->shape[0]));
  decode_to_f32(part->dtype, part->bytes.data(), 0, part->shape[0], scales.data());
  return scales;
}

}  // namespace

PackedFrame::PackedFrame(const StoredMatrix& matrix, std::vector<int64_t> order)
    : storage_(matrix.spec().side.frame),
      in_scales_(scales_of(matrix, ".in_scales")),
      out_scales_(scales_of(matrix, ".out_scales")),
      order_(std::move(order)),
      rows_(matrix.rows()),
      cols_(matrix.cols()) {
  if (storage_.in_block > 0) in_ = in_rotation(storage_, cols_);
  if (storage_.out_block > 0) out_ = out_rotation(storage_, rows_);
}

bool PackedFrame::has_input_of(const PackedFrame& other) const {
  return cols_ == other.cols_ && storage_.in_block == other.storage_.in_block && storage_.seed == other.storage_.seed &&
         in_scales_ == other.in_scales_;
}

void PackedFrame::enter(const float* x, float* out) const {
  std::copy_n(x, cols_, out);
  for (size_t c = 0; c < in_scales_.size(); ++c) out[c] *= in_scales_[c];
  if (in_) in_->rotate(out, 0, cols_, 1);
}

void PackedFrame::leave(float* y, float* scratch) const {
  if (out_) out_->rotate_back(y, 0, rows_, 1);
  for (size_t r = 0; r < out_scales_.size(); ++r) y[r] *= out_scales_[r];
  if (order_.empty()) return;
  std::copy_n(y, rows_, scratch);
  for (size_t r = 0; r < order_.size(); ++r) y[r] = scratch[order_[r]];
}

}  // namespace bitloom
