#pragma once
// A matrix in trellis codes over its stored parts, and the making of those.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/families/trellis/trellis_storage.h"

namespace bitloom {

/// Error(kRefused), starting with `name`: parts that are missing or do not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const TrellisStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// The bytes of both parts. tiles [tile_rows, tile_cols, words]: each tile's words together.
std::vector<std::vector<std::byte>> pack_trellis(const TrellisStorage& storage, int64_t rows, int64_t cols,
                                                 std::span<const uint16_t> tiles, float scale);

}  // namespace bitloom
