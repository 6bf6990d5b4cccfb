#include "kernels/tile_attention/tile_attention.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_TILE_ATTENTION(function, isa) TileAttentionKernel function;
#include "kernels/tile_attention/kernels.inc"
#undef BITLOOM_TILE_ATTENTION

std::span<const TileAttentionEntry> tile_attention_kernels() {
#if defined(BITLOOM_HAS_V256)
#define BITLOOM_TILE_ATTENTION(function, isa) {#function, function, Isa::isa},
  static constexpr TileAttentionEntry kEntries[] = {
#include "kernels/tile_attention/kernels.inc"
  };
#undef BITLOOM_TILE_ATTENTION
  return kEntries;
#else
  return {};
#endif
}

const TileAttentionEntry* find_tile_attention(Isa isa) {
  return find_kernel(tile_attention_kernels(), isa, [](const TileAttentionEntry&) { return true; });
}

}  // namespace bitloom
