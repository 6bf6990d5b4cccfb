#pragma once
// The bytes of a quantized tensor while they are made, in the order of greatest_parts().

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "format/stored_matrix.h"
#include "round/scale/group_quantizer.h"

namespace bitloom {

class GridBuilder {
 public:
  GridBuilder(const GridStorage& storage, int64_t rows, int64_t cols);
  /// A changeable copy.
  explicit GridBuilder(const StoredMatrix& matrix);

  /// Rows may be stored concurrently, as long as each is stored by one thread. codes [cols].
  void store_codes(int64_t row, const uint8_t* codes);
  /// One row of scales, [scale cols].
  void store_scales(int64_t scale_row, const std::vector<GroupScale>& scales);
  void store_tensor_scale(float scale);

  /// The builder is spent.
  std::shared_ptr<const StoredMatrix> finish(const std::string& name);

 private:
  struct Bytes {
    std::vector<std::vector<std::byte>> of_part;
  };
  GridStorage storage_;
  int64_t rows_, cols_;
  ScaleShape shape_;
  int bits_;
  std::vector<TensorPart> parts_;
  std::shared_ptr<Bytes> bytes_;
};

}  // namespace bitloom
