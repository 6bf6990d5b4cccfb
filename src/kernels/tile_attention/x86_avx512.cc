// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include "kernels/cached_attention/x86_avx512.h"
#include "kernels/tile_attention/x86_loops.h"

namespace bitloom {

void tile_attention_avx512(const TileAttentionCall& call) { TileAttentionLoop<Avx512>(call).run(); }

}  // namespace bitloom
