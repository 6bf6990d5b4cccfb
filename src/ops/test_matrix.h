#pragma once
// For tests only: quantized matrices with random codes and scales, of any spec.

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "format/stored_matrix.h"
#include "packing/bitstream.h"

namespace bitloom::testing {

inline std::vector<float> random_values(int64_t count, uint64_t seed) {
  Rng rng(seed, 77);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = static_cast<float>(rng.normal());
  return out;
}

inline std::shared_ptr<const StoredMatrix> random_matrix(int64_t rows, int64_t cols, const std::string& spec_text,
                                                         uint64_t seed) {
  const GridStorage spec = parse_grid(spec_text);
  const Grid grid = grid_of(spec.format);
  Rng rng(seed, 78);
  std::vector<TensorPart> parts = greatest_parts(spec, rows, cols);
  const auto bytes = std::make_shared<std::vector<std::vector<std::byte>>>();
  for (TensorPart& part : parts) {
    int64_t count = 1;
    for (const int64_t n : part.shape) count *= n;
    std::vector<std::byte>& stored = bytes->emplace_back(static_cast<size_t>(bytes_of(part.dtype, count)));
    if (part.suffix == ".codes" || part.suffix == ".zeros") {
      const ScaleShape scales = scale_shape(spec, rows, cols);
      const int64_t count_of_row = part.suffix == ".codes" ? cols : scales.cols;
      std::vector<uint8_t> codes(static_cast<size_t>(count_of_row));
      for (int64_t r = 0; r < part.shape[0]; ++r) {
        for (uint8_t& code : codes) code = grid.codes[rng.next_u32() % grid.codes.size()];
        pack_bits(codes.data(), count_of_row, grid.bits, stored.data() + r * part.shape[1]);
      }
    } else if (part.dtype == DType::kF32 || part.dtype == DType::kF16 || part.dtype == DType::kBF16) {
      std::vector<float> scales(static_cast<size_t>(count));
      for (float& scale : scales) scale = 0.01f + rng.uniform();
      encode_from_f32(part.dtype, scales.data(), count, stored.data());
    } else {  // E8M0 and E4M3: 2^-7 to 2^8, or positive numbers
      for (std::byte& byte : stored)
        byte =
            static_cast<std::byte>(spec.scale == ScaleType::kE8M0 ? 120 + rng.next_u32() % 16 : rng.next_u32() % 127);
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) parts[i].bytes = (*bytes)[i];
  return StoredMatrix::from_parts("w", Storage{spec, {}}, rows, cols, parts, bytes);
}

}  // namespace bitloom::testing
