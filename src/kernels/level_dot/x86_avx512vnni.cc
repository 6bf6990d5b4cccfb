#include "kernels/level_dot/x86_loops.h"
#include "kernels/row_table_dot/x86_avx512.h"

namespace bitloom {

void level_dot_avx512vnni(const LevelDotCall& call) { run_level_dot<Avx512>(call); }

}  // namespace bitloom
