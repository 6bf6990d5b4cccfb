#include "kernels/row_table_dot/x86_avx2.h"
#include "kernels/row_table_dot/x86_loops.h"

namespace bitloom {

void row_table_dot_v256(const RowTableDotCall& call) { run_row_table_dot<Avx2>(call); }

}  // namespace bitloom
