#include "format/families/grid/grid_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "format/table/fitted_table.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

BITLOOM_VECTOR_CLONES void decode_levels(const uint8_t* __restrict codes, int64_t n, const float* __restrict table,
                                         float scale, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = scale * table[codes[i]];
}

}  // namespace

GridMatrix::GridMatrix(const std::string& name, const GridStorage& storage, int64_t rows, int64_t cols,
                       const std::vector<TensorPart>& parts)
    : storage_(storage),
      rows_(rows),
      cols_(cols),
      shape_(scale_shape(storage, rows, cols)),
      bits_(bits_of(storage.format)),
      decode_table_(grid_of(storage.format).decode) {
  const std::string text = to_string(storage);
  check_grid(storage, text);
  if (const auto* table = std::get_if<TableFormat>(&storage.format); table != nullptr && fit_request(*table)) {
    refuse("{}: {} leaves open which levels its codes mean; a stored matrix names an exponent or its levels", name,
           text);
  }
  for (const TensorPart& want : greatest_parts(storage, rows, cols)) {
    const TensorPart part = checked_part(name, text, parts, want);
    if (want.suffix == ".codes") codes_ = part;
    if (want.suffix == ".scales") scales_ = part;
    if (want.suffix == ".zeros") zeros_ = part;
    if (want.suffix == ".tensor_scale") std::memcpy(&tensor_scale_, part.bytes.data(), sizeof tensor_scale_);
  }
}

void GridMatrix::codes_of_row(int64_t r, uint8_t* out) const {
  unpack_bits(stored_codes() + r * bitstream_bytes(bits_, cols_), 0, cols_, bits_, out);
}

void GridMatrix::scales_of_row(int64_t sr, float* scales, uint8_t* zeros) const {
  load_scales(storage_.scale, stored_scales(), sr * shape_.cols, shape_.cols, scales);
  for (int64_t i = 0; i < shape_.cols; ++i) scales[i] *= tensor_scale_;
  if (storage_.asymmetric) {
    unpack_bits(zeros_.bytes.data() + sr * bitstream_bytes(bits_, shape_.cols), 0, shape_.cols, bits_, zeros);
  } else {
    std::fill(zeros, zeros + shape_.cols, uint8_t{0});
  }
}

void GridMatrix::decode_rows(int64_t begin, int64_t end, float* out) const {
  std::vector<uint8_t> codes(static_cast<size_t>(cols_)), zeros(static_cast<size_t>(shape_.cols));
  std::vector<float> scales(static_cast<size_t>(shape_.cols));
  const float* table = decode_table_.data();
  int64_t loaded = -1;
  for (int64_t r = begin; r < end; ++r, out += cols_) {
    const uint8_t* in = reinterpret_cast<const uint8_t*>(stored_codes() + r * bitstream_bytes(bits_, cols_));
    if (bits_ != 8) codes_of_row(r, codes.data()), in = codes.data();
    if (const int64_t sr = r / shape_.group_rows; sr != loaded) {
      scales_of_row(sr, scales.data(), zeros.data());
      loaded = sr;
    }
    for (int64_t g = 0; g < shape_.cols; ++g) {
      const int64_t first = g * shape_.group_cols, last = std::min(cols_, first + shape_.group_cols);
      const float scale = scales[static_cast<size_t>(g)];
      if (storage_.asymmetric) {
        const int zero = zeros[static_cast<size_t>(g)];
        for (int64_t c = first; c < last; ++c) out[c] = scale * static_cast<float>(in[c] - zero);
      } else {
        decode_levels(in + first, last - first, table, scale, out + first);
      }
    }
  }
}

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const GridStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<GridMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kGridFamily = family_row<GridStorage, parse_grid>(
    "grid", [](std::string_view) { return true; }, grid_option_names);

}  // namespace bitloom
