#pragma once
// Views of matrices that undo a file's own layout without copying it.
//
// Goal: every checkpoint presents its tensors in Hugging Face layout, and decoding a run of rows touches only their
// bytes where the storage allows it.

#include <vector>

#include "base/memory/row_source.h"
#include "io/tensor_view.h"

namespace bitloom {

/// Row r of the view is row order[r] of the source. `order` is a permutation (asserted).
RowSourcePtr permuted_rows(RowSourcePtr source, std::vector<int64_t> order);

/// What a view made by permuted_rows() stands for, so that who reads the stored bytes can take the rows in their order.
struct RowOrder {
  RowSourcePtr source;
  std::vector<int64_t> order;  // empty where `rows` is no such view: then `source` is `rows` itself
};
RowOrder row_order_of(const RowSourcePtr& rows);

/// Column c of the view is column order[c] of the source; for vectors, which are [1, n].
RowSourcePtr permuted_columns(RowSourcePtr source, std::vector<int64_t> order);

/// scale * source + offset, elementwise in fp32.
RowSourcePtr affine_rows(RowSourcePtr source, float scale, float offset);

/// The rows of all parts, of equal width, one part after the other.
RowSourcePtr stacked_rows(std::vector<RowSourcePtr> parts);

/// The transpose [cols, rows] of a source. Each call of decode_rows decodes the whole source, so take large runs.
RowSourcePtr transposed_rows(RowSourcePtr source);

/// The transpose of a dense 2-D tensor, reading only the elements asked for.
RowSourcePtr transposed_rows(const TensorView& tensor);

}  // namespace bitloom
