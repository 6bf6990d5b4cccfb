#pragma once
// A frame (format/side/frame.h) as a product passes through it, so that kernels multiply what is stored:
//
//   y = W x = D_O Q_O^T (W~ (Q_I D_I x))

#include <cstdint>
#include <optional>
#include <vector>

#include "format/stored_matrix.h"

namespace bitloom {

/// As many channels as pay for handing them to another thread.
inline constexpr int64_t kFramePiece = 1024;

class PackedFrame {
 public:
  /// Of a matrix whose only side term is a frame. Row r of the product is row order[r] of it; empty: as stored.
  PackedFrame(const StoredMatrix& matrix, std::vector<int64_t> order);

  /// Whether x of one is x of the other, once inside, where both move it.
  bool has_input_of(const PackedFrame& other) const;
  /// Whether Q_I D_I is the rotation of a frame that has `in_block` and this seed alone.
  bool enters_by(int64_t in_block, uint64_t seed) const {
    return in_.has_value() && in_scales_.empty() && storage_.in_block == in_block && storage_.seed == seed;
  }
  bool moves_input() const { return in_.has_value() || !in_scales_.empty(); }
  /// Columns, and rows, that are moved apart from the others: kFramePiece or more, or all.
  int64_t in_piece() const { return in_piece_; }
  int64_t out_piece() const { return out_piece_; }
  /// out = Q_I D_I x of columns [first, last), whole pieces; x, out [cols].
  void enter(const float* x, int64_t first, int64_t last, float* out) const;
  /// Rows [first, last), whole pieces, of y [rows] as the kernels left it become D_O Q_O^T y, in the product's order;
  /// scratch [rows].
  void leave(float* y, int64_t first, int64_t last, float* scratch) const;

 private:
  FrameStorage storage_;
  std::optional<BlockRotation> in_, out_;
  std::vector<float> in_scales_, out_scales_;
  std::vector<int64_t> order_;
  int64_t rows_, cols_, in_piece_, out_piece_;
};

}  // namespace bitloom
