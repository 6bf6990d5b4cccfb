#include "model/tensor_slice.h"

#include <array>
#include <cassert>
#include <cmath>

#include "base/memory/dtype.h"

namespace bitloom {
namespace {

constexpr int64_t kBlock = 32, kBlockBytes = 16;  // of MXFP4

/// Where the elements lie: (r, c) at offset + r * row_stride + c * col_stride.
struct Strides {
  int64_t rows, cols, offset, row_stride, col_stride;
};

bool is_vector(const TensorSlice& slice) { return slice.shape.size() == 2; }

/// Rows of one expert in the graph's orientation.
int64_t rows_of_expert(const TensorSlice& slice) { return slice.shape[slice.transposed ? 2 : 1]; }
int64_t cols_of_expert(const TensorSlice& slice) {
  return is_vector(slice) ? 1 : slice.shape[slice.transposed ? 1 : 2];
}

Strides strides_of(const TensorSlice& slice) {
  const int64_t rows = rows_of_expert(slice), cols = cols_of_expert(slice), taken = slice.count;
  const int64_t expert = slice.expert * rows * cols;
  if (is_vector(slice)) return {1, taken, expert + slice.first, 0, slice.step};
  if (slice.transposed) return {taken, cols, expert + slice.first, slice.step, rows};
  return {taken, cols, expert + slice.first * cols, slice.step * cols, 1};
}

class SlicedDense final : public RowSource {
 public:
  SlicedDense(const Strides& at, TensorView tensor) : at_(at), tensor_(std::move(tensor)) {}
  int64_t rows() const override { return at_.rows; }
  int64_t cols() const override { return at_.cols; }
  int64_t stored_bytes() const override { return bytes_of(tensor_.dtype, at_.rows * at_.cols); }
  std::string storage() const override { return std::string(info(tensor_.dtype).name); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    if (at_.col_stride == 1) {
      for (int64_t r = begin; r < end; ++r, out += at_.cols) decode(at_.offset + r * at_.row_stride, at_.cols, out);
      return;
    }
    if (begin == end) return;
    // What lies together are the rows of one column.
    std::vector<float> run(static_cast<size_t>((end - begin - 1) * at_.row_stride + 1));
    for (int64_t c = 0; c < at_.cols; ++c) {
      decode(at_.offset + begin * at_.row_stride + c * at_.col_stride, static_cast<int64_t>(run.size()), run.data());
      for (int64_t r = begin; r < end; ++r) {
        out[(r - begin) * at_.cols + c] = run[static_cast<size_t>((r - begin) * at_.row_stride)];
      }
    }
  }

 private:
  void decode(int64_t first, int64_t count, float* out) const {
    decode_to_f32(tensor_.dtype, tensor_.bytes.data(), first, count, out);
  }

  Strides at_;
  TensorView tensor_;
};

class SlicedMxfp4 final : public RowSource {
 public:
  SlicedMxfp4(const Strides& at, TensorView blocks, TensorView scales)
      : at_(at), blocks_(std::move(blocks)), scales_(std::move(scales)) {}
  int64_t rows() const override { return at_.rows; }
  int64_t cols() const override { return at_.cols; }
  int64_t stored_bytes() const override { return at_.rows * at_.cols / kBlock * (kBlockBytes + 1); }
  std::string storage() const override { return "MXFP4"; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t first = (at_.offset + r * at_.row_stride) / kBlock;
      for (int64_t block = first; block < first + at_.cols / kBlock; ++block, out += kBlock) decode_block(block, out);
    }
  }

 private:
  void decode_block(int64_t block, float* out) const {
    constexpr std::array<float, 16> kValues = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                               -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    constexpr int kNan = 255;
    const int exponent = std::to_integer<int>(scales_.bytes[static_cast<size_t>(block)]);
    const float scale = exponent == kNan ? std::nanf("") : std::ldexp(1.0f, exponent - 127);
    for (int64_t i = 0; i < kBlockBytes; ++i) {
      const auto pair = std::to_integer<size_t>(blocks_.bytes[static_cast<size_t>(block * kBlockBytes + i)]);
      out[2 * i] = kValues[pair % 16] * scale;
      out[2 * i + 1] = kValues[pair / 16] * scale;
    }
  }

  Strides at_;
  TensorView blocks_, scales_;
};

}  // namespace

std::vector<int64_t> shape_of(const TensorSlice& slice) {
  if (is_vector(slice)) return {slice.count};
  return {slice.count, cols_of_expert(slice)};
}

std::vector<int64_t> stored_shape(const TensorSlice& slice) {
  if (slice.scales.empty()) return slice.shape;
  std::vector<int64_t> shape = scales_shape(slice);
  shape.push_back(kBlockBytes);
  return shape;
}

std::vector<int64_t> scales_shape(const TensorSlice& slice) {
  std::vector<int64_t> shape = slice.shape;
  shape.back() /= kBlock;
  return shape;
}

RowSourcePtr sliced_rows(const TensorSlice& slice, const TensorView& tensor, const TensorView* scales) {
  assert(tensor.shape == stored_shape(slice) && (scales == nullptr) == slice.scales.empty());
  assert(slice.first + (slice.count - 1) * slice.step < rows_of_expert(slice));
  const Strides at = strides_of(slice);
  if (scales == nullptr) return std::make_shared<SlicedDense>(at, tensor);
  assert(!slice.transposed && slice.shape.back() % kBlock == 0);
  return std::make_shared<SlicedMxfp4>(at, tensor, *scales);
}

std::span<const std::byte> expert_bytes(const TensorSlice& slice, const TensorView& tensor) {
  const size_t size = tensor.bytes.size() / static_cast<size_t>(slice.shape.front());
  return tensor.bytes.subspan(static_cast<size_t>(slice.expert) * size, size);
}

}  // namespace bitloom
