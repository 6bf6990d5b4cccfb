// Compiled with -mavx2 -mfma -mf16c.

#include "kernels/cached_attention/x86_avx2.h"
#include "kernels/tile_attention/x86_loops.h"

namespace bitloom {

void tile_attention_v256(const TileAttentionCall& call) { TileAttentionLoop<Avx2>(call).run(); }

}  // namespace bitloom
