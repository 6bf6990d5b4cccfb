#include "kernels/column_dot/column_dot.h"

#include "kernels/kernel_list.h"
#include "kernels/nibble_table.h"

namespace bitloom {

#define BITLOOM_COLUMN_DOT(function, isa) ColumnDotKernel function;
#include "kernels/column_dot/kernels.inc"
#undef BITLOOM_COLUMN_DOT

std::span<const ColumnDotEntry> column_dot_kernels() {
#define BITLOOM_COLUMN_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr ColumnDotEntry kEntries[] = {
#include "kernels/column_dot/kernels.inc"
  };
#undef BITLOOM_COLUMN_DOT
  return kEntries;
}

const ColumnDotEntry& find_column_dot(Isa isa) { return first_kernel(column_dot_kernels(), isa); }

int64_t column_dot_scratch(const ColumnTables& w) {
  const int64_t words = (w.layout->row_bytes + 3) / 4;
  return words * static_cast<int64_t>(sizeof(WordSums));  // no fewer than of digits
}

}  // namespace bitloom
