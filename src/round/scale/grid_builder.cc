#include "round/scale/grid_builder.h"

#include <algorithm>
#include <cstring>

#include "packing/bitstream.h"

namespace bitloom {

GridBuilder::GridBuilder(const GridStorage& storage, int64_t rows, int64_t cols)
    : storage_(storage),
      rows_(rows),
      cols_(cols),
      shape_(scale_shape(storage, rows, cols)),
      bits_(bits_of(storage.format)),
      parts_(greatest_parts(storage, rows, cols)),
      bytes_(std::make_shared<Bytes>()) {
  for (TensorPart& part : parts_) {
    int64_t count = 1;
    for (const int64_t n : part.shape) count *= n;
    bytes_->of_part.emplace_back(static_cast<size_t>(bytes_of(part.dtype, count)));
    part.bytes = bytes_->of_part.back();
  }
}

GridBuilder::GridBuilder(const StoredMatrix& matrix)
    : GridBuilder(matrix.grid()->storage(), matrix.rows(), matrix.cols()) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    std::copy(matrix.parts()[i].bytes.begin(), matrix.parts()[i].bytes.end(), bytes_->of_part[i].begin());
  }
}

void GridBuilder::store_codes(int64_t row, const uint8_t* codes) {
  pack_bits(codes, cols_, bits_, bytes_->of_part[0].data() + row * bitstream_bytes(bits_, cols_));
}

void GridBuilder::store_scales(int64_t scale_row, const std::vector<GroupScale>& scales) {
  std::vector<uint8_t> zeros;
  for (size_t i = 0; i < scales.size(); ++i) {
    const int64_t index = scale_row * shape_.cols + static_cast<int64_t>(i);
    store_scale(storage_.scale, scales[i].stored, bytes_->of_part[1].data(), index);
    zeros.push_back(scales[i].zero);
  }
  if (!storage_.asymmetric) return;
  pack_bits(zeros.data(), shape_.cols, bits_,
            bytes_->of_part[2].data() + scale_row * bitstream_bytes(bits_, shape_.cols));
}

void GridBuilder::store_tensor_scale(float scale) { std::memcpy(bytes_->of_part[2].data(), &scale, sizeof scale); }

std::shared_ptr<const StoredMatrix> GridBuilder::finish(const std::string& name) {
  return StoredMatrix::from_parts(name, Storage{storage_, {}}, rows_, cols_, parts_, bytes_);
}

}  // namespace bitloom
