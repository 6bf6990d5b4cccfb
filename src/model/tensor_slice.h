#pragma once
// A tensor of the graph as part of one that the checkpoint holds for all experts together (TensorSlice in graph.h).

#include "base/memory/row_source.h"
#include "io/tensor_view.h"
#include "model/graph.h"

namespace bitloom {

/// The slice's own shape: [rows, cols], or of vectors [rows].
std::vector<int64_t> shape_of(const TensorSlice& slice);

/// The shapes that the checkpoint's tensors must have: of the values, or of MXFP4 blocks and of their scales.
std::vector<int64_t> stored_shape(const TensorSlice& slice);
std::vector<int64_t> scales_shape(const TensorSlice& slice);

/// The slice as a matrix; of vectors [1, rows]. `tensor` has the shape stored_shape(), and `scales`, null where the
/// slice names none, scales_shape(). MXFP4 as OCP Microscaling Formats 1.0 defines it: 32 values E2M1, the first of two
/// in a byte's low half, times 2^(scale - 127); its storage is called "MXFP4".
RowSourcePtr sliced_rows(const TensorSlice& slice, const TensorView& tensor, const TensorView* scales);

/// The bytes of `tensor` that hold this expert.
std::span<const std::byte> expert_bytes(const TensorSlice& slice, const TensorView& tensor);

}  // namespace bitloom
