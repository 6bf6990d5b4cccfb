#pragma once
// A tile of a prompt's queries over keys and values in pages, by kernels/tile_attention, one call for each run of them:
// the last bits depend on which pages adjoin, as in few_queries.h.

#include <cstdint>

#include "kernels/tile_attention/tile_attention.h"

namespace bitloom {

struct AttentionCall;
struct AttentionTile;

/// fp32 values of scratch.
int64_t kept_tile_scratch(const AttentionCall& call, const AttentionTile& tile);

/// Writes the tile's outputs. All its sequence's keys and values are in pages.
void attend_kept_tile(const AttentionCall& call, const AttentionTile& tile, TileAttentionKernel* kernel,
                      float* scratch);

}  // namespace bitloom
