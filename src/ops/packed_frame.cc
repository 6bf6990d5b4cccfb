#include "ops/packed_frame.h"

#include <algorithm>
#include <utility>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

std::vector<float> scales_of(const StoredMatrix& matrix, const char* suffix) {
  const TensorPart* part = matrix.find_part(suffix);
  if (part == nullptr) return {};
  std::vector<float> scales(static_cast<size_t>(part->shape[0]));
  decode_to_f32(part->dtype, part->bytes.data(), 0, part->shape[0], scales.data());
  return scales;
}

BITLOOM_VECTOR_CLONES void multiply(const float* by, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] *= by[i];
}

/// Whole blocks of a rotation, or of single channels.
int64_t piece_of(const std::optional<BlockRotation>& rotation) {
  const int64_t block = rotation ? rotation->block() : 1;
  return (kFramePiece + block - 1) / block * block;
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
  in_piece_ = piece_of(in_), out_piece_ = order_.empty() ? piece_of(out_) : std::max<int64_t>(1, rows_);
}

bool PackedFrame::has_input_of(const PackedFrame& other) const {
  return cols_ == other.cols_ && storage_.in_block == other.storage_.in_block && storage_.seed == other.storage_.seed &&
         in_scales_ == other.in_scales_;
}

void PackedFrame::enter(const float* x, int64_t first, int64_t last, float* out) const {
  std::copy(x + first, x + last, out + first);
  if (!in_scales_.empty()) multiply(in_scales_.data() + first, last - first, out + first);
  if (in_) in_->rotate(out + first, first, last, 1);
}

void PackedFrame::leave(float* y, int64_t first, int64_t last, float* scratch) const {
  if (out_) out_->rotate_back(y + first, first, last, 1);
  if (!out_scales_.empty()) multiply(out_scales_.data() + first, last - first, y + first);
  if (order_.empty()) return;
  std::copy_n(y, rows_, scratch);
  for (size_t r = 0; r < order_.size(); ++r) y[r] = scratch[order_[r]];
}

}  // namespace bitloom
