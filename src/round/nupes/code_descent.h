#pragma once
// Coordinate descent over all codes of a scaled grid, one row of a layer: every weight in turn takes the level that
// costs the layer's outputs least, given the others.
//
//   q(D) = D H D^T - 2 p D^T,  D = Q - W;   g = D H - p
//   the best of weight j alone is D_j - g_j / H_jj, and of the grid's levels the nearest to it;
//   D_j += m changes the loss by 2 m g_j + m^2 H_jj and g by m H_j

#include <cstdint>

#include "format/grid.h"
#include "round/adaround/soft_tile.h"

namespace bitloom {

struct CodeRow {
  const float* weights = nullptr;  // [d]
  const float* scales = nullptr;   // [ceil(d / group)]
  int64_t group = 0;
  uint8_t* codes = nullptr;        // [d], in and out
  float* deviation = nullptr;      // D [d], of the codes
  float* half_gradient = nullptr;  // g [d], of the deviation
};

/// Until no code changes, or `passes` times. Returns by how much the loss fell; never below 0.
double descend_codes(const LayerStatistics& layer, const Grid& grid, int64_t passes, const CodeRow& row);

}  // namespace bitloom
