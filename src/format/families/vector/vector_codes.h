#pragma once
// Codes of the family "vector" where they lie (VectorLayout): read and checked the same way for every storage that has
// them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/families/vector/vector_storage.h"

namespace bitloom {

class VectorCodes {
 public:
  VectorCodes(const VectorLayout& layout, const std::byte* bytes) : layout_(layout), bytes_(bytes) {}
  const VectorLayout& layout() const { return layout_; }

  /// codes [count] of rows [first, first + count) of a tile.
  void read(int64_t tile, int64_t group, int64_t codebook, int64_t first, int64_t count, uint16_t* codes) const;
  /// Error(kUnverified), starting with `name`, the part's, where padding bits are not zero.
  void check_padding(const std::string& name) const;

 private:
  void check_padding(const std::string& name, int64_t tile, int64_t group, int64_t codebook) const;
  const std::byte* stream(int64_t tile, int64_t group, int64_t codebook) const {
    return bytes_ + layout_.place(tile, group, codebook);
  }

  VectorLayout layout_;
  const std::byte* bytes_;
};

/// Numbers of fp16, and back.
std::vector<float> from_f16(const TensorPart& part);
std::vector<std::byte> to_f16(std::span<const float> values);

/// The part ".codes" of codes [rows, groups, M].
std::vector<std::byte> pack_codes(const VectorStorage& storage, int64_t rows, int64_t cols,
                                  std::span<const uint16_t> codes);
/// The codes that pack_codes packed.
std::vector<uint16_t> unpack_codes(const VectorStorage& storage, int64_t rows, int64_t cols,
                                   std::span<const std::byte> bytes);

}  // namespace bitloom
