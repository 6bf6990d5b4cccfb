#pragma once
// A code whose unit is a tile of weights, as the loop between tiles (tile_loop.h) sees it: a search for each thread,
// and the stored matrix that comes of the tiles' words.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "format/storage.h"

namespace bitloom {

/// How a matrix is cut.
struct TileShape {
  int64_t side = 0;              // rows, and columns, of a tile
  int64_t words = 0;             // of 16 bits, of a tile
  int64_t down = 0, across = 0;  // tiles, those without a weight included
};

class TileCode {
 public:
  virtual ~TileCode() = default;
  /// The scale is rms(W) / units where W is all that there is to be rounded, and normal.
  virtual double units() const = 0;
  /// words [shape.words] of the tile nearest w [side, side], and what they decode to, in the units of w. A scale of 0
  /// decodes to zeros.
  virtual void encode(int thread, const float* w, float scale, uint16_t* words, float* decoded) = 0;
  /// The bytes of the parts: words [down, across, shape.words].
  virtual std::vector<std::vector<std::byte>> pack(std::span<const uint16_t> words, float scale) const = 0;
};

/// Whether the storage's codes are such tiles, without side terms.
bool is_tile_storage(const Storage& storage);
/// The same, of trellis codes alone.
bool is_trellis_storage(const Storage& storage);
std::unique_ptr<TileCode> make_tile_code(const Storage& storage, int64_t rows, int64_t cols, int threads);
TileShape tile_shape(const Storage& storage, int64_t rows, int64_t cols);

/// The work of all searches in weights rounded to nearest, and the scratch of one thread's.
double tile_search_work(const Storage& storage, int64_t rows, int64_t cols);
int64_t tile_search_bytes(const Storage& storage);

}  // namespace bitloom
