#include "kernels/row_table_dot/row_table_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_ROW_TABLE_DOT(function, isa, multiple) RowTableDotKernel function;
#include "kernels/row_table_dot/kernels.inc"
#undef BITLOOM_ROW_TABLE_DOT

std::span<const RowTableDotEntry> row_table_dot_kernels() {
#define BITLOOM_ROW_TABLE_DOT(function, isa, multiple) {#function, function, Isa::isa, multiple},
  static constexpr RowTableDotEntry kEntries[] = {
#include "kernels/row_table_dot/kernels.inc"
  };
#undef BITLOOM_ROW_TABLE_DOT
  return kEntries;
}

const RowTableDotEntry& find_row_table_dot(Isa isa, int64_t group, int64_t cols) {
  const RowTableDotEntry* found = find_kernel(row_table_dot_kernels(), isa, [&](const RowTableDotEntry& entry) {
    return group % entry.group_multiple == 0 || group >= cols;
  });
  return found != nullptr ? *found : row_table_dot_kernels().back();
}

}  // namespace bitloom
