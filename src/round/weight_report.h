#pragma once
// What of a report concerns the weights alone, whatever was rounded in their place.

#include "base/memory/row_source.h"
#include "format/stored_matrix.h"
#include "round/report.h"

namespace bitloom {

/// Sets weight_error and max_abs_error; sums in the order of rows, in fp64.
void measure_weights(const RowSource& w, const StoredMatrix& q, RoundReport& report);

}  // namespace bitloom
