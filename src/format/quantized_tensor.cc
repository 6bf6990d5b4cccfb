#include "format/quantized_tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr size_t kCodes = 0, kScales = 1, kExtra = 2;  // order of layout(); kExtra is zeros or the tensor scale

int64_t part_bytes(const TensorPart& part) {
  int64_t count = 1;
  for (const int64_t n : part.shape) count *= n;
  return bytes_of(part.dtype, count);
}

const TensorPart& find_part(const std::string& name, const std::vector<TensorPart>& parts, const std::string& suffix) {
  for (const TensorPart& part : parts) {
    if (part.suffix == suffix) return part;
  }
  refuse("{}: its part {} is missing", name, suffix);
}

void check_part(const std::string& name, const QuantSpec& spec, const TensorPart& want, const TensorPart& have) {
  if (have.dtype != want.dtype) {
    refuse("{}{}: dtype is {}, {} needs {}", name, want.suffix, info(have.dtype).name, to_string(spec),
           info(want.dtype).name);
  }
  if (have.shape != want.shape) {
    refuse("{}{}: shape is [{}], {} needs [{}]", name, want.suffix, fmt::join(have.shape, ", "), to_string(spec),
           fmt::join(want.shape, ", "));
  }
  if (static_cast<int64_t>(have.bytes.size()) != part_bytes(want)) {
    refuse("{}{}: holds {} bytes, its shape needs {}", name, want.suffix, have.bytes.size(), part_bytes(want));
  }
}

}  // namespace

std::vector<TensorPart> QuantizedTensor::layout(const QuantSpec& spec, int64_t rows, int64_t cols) {
  const int bits = bits_of(spec.format);
  const ScaleShape shape = scale_shape(spec, rows, cols);
  std::vector<TensorPart> parts;
  parts.push_back({".codes", DType::kU8, {rows, bitstream_bytes(bits, cols)}, {}});
  parts.push_back({".scales", stored_dtype(spec.scale), {shape.rows, shape.cols}, {}});
  if (spec.asymmetric) parts.push_back({".zeros", DType::kU8, {shape.rows, bitstream_bytes(bits, shape.cols)}, {}});
  if (spec.scale == ScaleType::kE4M3TwoLevel) parts.push_back({".tensor_scale", DType::kF32, {1}, {}});
  return parts;
}

std::shared_ptr<const QuantizedTensor> QuantizedTensor::from_parts(const std::string& name, const QuantSpec& spec,
                                                                   int64_t rows, int64_t cols,
                                                                   const std::vector<TensorPart>& parts,
                                                                   std::shared_ptr<const void> owner) {
  check_spec(spec, to_string(spec));
  if (rows < 0 || cols < 0) refuse("{}: shape is [{}, {}]", name, rows, cols);
  std::shared_ptr<QuantizedTensor> tensor(new QuantizedTensor);
  tensor->parts_ = layout(spec, rows, cols);
  for (TensorPart& want : tensor->parts_) {
    const TensorPart& have = find_part(name, parts, want.suffix);
    check_part(name, spec, want, have);
    want.bytes = have.bytes;
  }
  if (parts.size() != tensor->parts_.size()) {
    refuse("{}: has {} parts, {} needs {}", name, parts.size(), to_string(spec), tensor->parts_.size());
  }
  tensor->spec_ = spec;
  tensor->rows_ = rows;
  tensor->cols_ = cols;
  tensor->shape_ = scale_shape(spec, rows, cols);
  tensor->bits_ = bits_of(spec.format);
  tensor->owner_ = std::move(owner);
  tensor->decode_table_ = grid_of(spec.format).decode;
  if (spec.scale == ScaleType::kE4M3TwoLevel) std::memcpy(&tensor->tensor_scale_, tensor->bytes_of_part(kExtra), 4);
  return tensor;
}

void QuantizedTensor::codes_of_row(int64_t r, uint8_t* out) const {
  unpack_bits(bytes_of_part(kCodes) + r * bitstream_bytes(bits_, cols_), 0, cols_, bits_, out);
}

void QuantizedTensor::scales_of_row(int64_t sr, float* scales, uint8_t* zeros) const {
  load_scales(spec_.scale, bytes_of_part(kScales), sr * shape_.cols, shape_.cols, scales);
  for (int64_t i = 0; i < shape_.cols; ++i) scales[i] *= tensor_scale_;
  if (spec_.asymmetric) {
    unpack_bits(bytes_of_part(kExtra) + sr * bitstream_bytes(bits_, shape_.cols), 0, shape_.cols, bits_, zeros);
  } else {
    std::fill(zeros, zeros + shape_.cols, uint8_t{0});
  }
}

void QuantizedTensor::decode_rows(int64_t begin, int64_t end, float* out) const {
  std::vector<uint8_t> codes(static_cast<size_t>(cols_)), zeros(static_cast<size_t>(shape_.cols));
  std::vector<float> scales(static_cast<size_t>(shape_.cols));
  const float* table = decode_table_.data();
  int64_t loaded = -1;
  for (int64_t r = begin; r < end; ++r, out += cols_) {
    codes_of_row(r, codes.data());
    if (const int64_t sr = r / shape_.group_rows; sr != loaded) {
      scales_of_row(sr, scales.data(), zeros.data());
      loaded = sr;
    }
    for (int64_t g = 0; g < shape_.cols; ++g) {
      const int64_t first = g * shape_.group_cols, last = std::min(cols_, first + shape_.group_cols);
      const float scale = scales[static_cast<size_t>(g)];
      const uint8_t* in = codes.data();
      if (spec_.asymmetric) {
        const int zero = zeros[static_cast<size_t>(g)];
        for (int64_t c = first; c < last; ++c) out[c] = scale * static_cast<float>(in[c] - zero);
      } else {
        for (int64_t c = first; c < last; ++c) out[c] = scale * table[in[c]];
      }
    }
  }
}

int64_t QuantizedTensor::stored_bytes() const {
  int64_t bytes = 0;
  for (const TensorPart& part : parts_) bytes += static_cast<int64_t>(part.bytes.size());
  return bytes;
}

double QuantizedTensor::true_bits() const {
  const int64_t weights = rows_ * cols_;
  return weights == 0 ? 0 : 8.0 * static_cast<double>(stored_bytes()) / static_cast<double>(weights);
}

}  // namespace bitloom
