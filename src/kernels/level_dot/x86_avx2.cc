#include "kernels/row_table_dot/x86_avx2.h"
#include "kernels/level_dot/x86_loops.h"

namespace bitloom {

void level_dot_v256(const LevelDotCall& call) { run_level_dot<Avx2>(call); }

}  // namespace bitloom
