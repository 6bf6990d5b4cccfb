#include "kernels/row_table_dot/x86_avx512.h"
#include "kernels/row_table_dot/x86_loops.h"

namespace bitloom {

void row_table_dot_avx512vnni(const RowTableDotCall& call) { run_row_table_dot<Avx512>(call); }

}  // namespace bitloom
