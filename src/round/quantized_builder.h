#pragma once
// The bytes of a quantized tensor while they are made, in the order of QuantizedTensor::layout().

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "format/quantized_tensor.h"
#include "round/group_quantizer.h"

namespace bitloom {

class QuantizedBuilder {
 public:
  QuantizedBuilder(const QuantSpec& spec, int64_t rows, int64_t cols);
  /// A changeable copy.
  explicit QuantizedBuilder(const QuantizedTensor& tensor);

  /// Rows may be stored concurrently, as long as each is stored by one thread. codes [cols].
  void store_codes(int64_t row, const uint8_t* codes);
  /// One row of scales, [scale cols].
  void store_scales(int64_t scale_row, const std::vector<GroupScale>& scales);
  void store_tensor_scale(float scale);

  /// The builder is spent.
  std::shared_ptr<const QuantizedTensor> finish(const std::string& name);

 private:
  struct Bytes {
    std::vector<std::vector<std::byte>> of_part;
  };
  QuantSpec spec_;
  int64_t rows_, cols_;
  ScaleShape shape_;
  int bits_;
  std::vector<TensorPart> parts_;
  std::shared_ptr<Bytes> bytes_;
};

}  // namespace bitloom
