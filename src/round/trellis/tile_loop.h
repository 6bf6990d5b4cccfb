#pragma once
// Feedback between tiles: the sibling of the column loop, for codes whose unit is a tile (YAQA, Tseng et al. 2025;
// papers' beyond page, 2.4). With H_I = L_I D_I L_I^T of the inputs, H_O = L_O D_O L_O^T of the outputs' gradients and
// E = W - Q,
//
//   tr(H_O E H_I E^T) = sum_(o, i) tr(D_O,o F_oi D_I,i F_oi^T),   F = L_O^T E L_I
//
// Tiles are chosen from the last corner, each nearest
//
//   T_oi = W_oi + R_oi + sum_(o' > o) L_O[o', o]^T R_o'i,   R = E L_I as far as E is known
//
// so that F_oi is what a tile's own rounding leaves. Without H_O (the identity) rows of tiles are independent: QuIP's
// LDLQ.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"

namespace bitloom {

/// Sides are multiples of `tile`. L_I [cols, cols] and L_O [rows, rows] unit block lower triangular; null: identity.
struct TileFeedback {
  int64_t tile = 16;
  const float* in = nullptr;
  const float* out = nullptr;
};

/// Tiles of a row or a column whose errors go to what lies beyond them in one product.
inline constexpr int64_t kSpanTiles = 16;

/// decoded [tile, tile] := what the codes nearest target [tile, tile] decode to. Called from many threads, once for
/// each tile; `thread` is the caller's.
using RoundTile =
    std::function<void(int64_t tile_row, int64_t tile_col, const float* target, float* decoded, int thread)>;

/// w [rows, cols] becomes Q. The same bytes for any number of threads. Memory: 4 rows cols bytes for R, and 4 rows
/// kSpanTiles tile of either side. Multiply-adds: rows cols^2 / 2, with H_O also rows^2 cols / 2.
void tile_loop(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round,
               ThreadPool& threads);

/// The definition, in fp64 and one tile after the other.
void tile_loop_reference(const TileFeedback& feedback, float* w, int64_t rows, int64_t cols, const RoundTile& round);

}  // namespace bitloom
