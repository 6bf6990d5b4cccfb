#include "format/quantized_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "base/error.h"
#include "base/test_data.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;

/// Parts in memory, with codes, scales and zeros kept in the open to decode from by definition.
struct Made {
  QuantSpec spec;
  int64_t rows, cols;
  ScaleShape shape;
  std::vector<std::vector<std::byte>> bytes;
  std::vector<TensorPart> parts;
  std::vector<uint8_t> codes, zeros;  // [rows, cols], [scale rows, scale cols]
  std::vector<float> scales;          // effective
  float tensor_scale = 1;

  Made(const std::string& text, int64_t r, int64_t c)
      : spec(parse_spec(text)), rows(r), cols(c), shape(scale_shape(spec, r, c)) {
    parts = QuantizedTensor::layout(spec, rows, cols);
    for (TensorPart& part : parts) {
      int64_t count = 1;
      for (const int64_t n : part.shape) count *= n;
      bytes.emplace_back(static_cast<size_t>(bytes_of(part.dtype, count)));
      part.bytes = bytes.back();
    }
    fill();
  }

  void fill() {
    std::mt19937 random(3);
    const Grid grid = grid_of(spec.format);
    if (spec.scale == ScaleType::kE4M3TwoLevel) {
      tensor_scale = 0.0123f;
      std::memcpy(bytes[2].data(), &tensor_scale, 4);
    }
    for (int64_t i = 0; i < shape.rows * shape.cols; ++i) {
      const float wanted =
          std::exp2(static_cast<float>(random() % 12) - 6) * (1 + static_cast<float>(random() % 256) / 256);
      const float scale = round_scale(spec.scale, wanted, grid.max_abs);
      store_scale(spec.scale, scale, bytes[1].data(), i);
      scales.push_back(scale * tensor_scale);
      zeros.push_back(static_cast<uint8_t>(spec.asymmetric ? random() % (1u << grid.bits) : 0));
    }
    for (int64_t i = 0; i < rows * cols; ++i) {
      codes.push_back(spec.asymmetric ? static_cast<uint8_t>(random() % (1u << grid.bits))
                                      : grid.codes[random() % grid.codes.size()]);
    }
    for (int64_t r = 0; r < rows; ++r) {
      pack_bits(codes.data() + r * cols, cols, grid.bits, bytes[0].data() + r * bitstream_bytes(grid.bits, cols));
    }
    for (int64_t r = 0; spec.asymmetric && r < shape.rows; ++r) {
      pack_bits(zeros.data() + r * shape.cols, shape.cols, grid.bits,
                bytes[2].data() + r * bitstream_bytes(grid.bits, shape.cols));
    }
  }

  std::shared_ptr<const QuantizedTensor> tensor() const {
    return QuantizedTensor::from_parts("w", spec, rows, cols, parts, nullptr);
  }

  float value(int64_t r, int64_t c) const {
    const size_t at = static_cast<size_t>(r / shape.group_rows * shape.cols + c / shape.group_cols);
    const uint8_t code = codes[static_cast<size_t>(r * cols + c)];
    const float level =
        spec.asymmetric ? static_cast<float>(code) - static_cast<float>(zeros[at]) : grid_of(spec.format).decode[code];
    return scales[at] * level;
  }
};

const char* const kSpecs[] = {"int2-g5",
                              "int3-row",
                              "int4-g32-asym",
                              "int5-tensor",
                              "int6-block3x7",
                              "int7-g8-f32",
                              "int8-row-bf16",
                              "int3-g4-asym",
                              "mxfp4",
                              "nvfp4",
                              "mxfp8e5m2",
                              "mxint8",
                              "mxfp6e2m3",
                              "nf4-g64",
                              "e3m0-g16",
                              "table[-1;0.5;2]-g3",
                              "e4m3fn-row",
                              "int4-tensor-asym",
                              "int2-block4x4-asym"};

TEST(QuantizedTensor, DecodesByDefinition) {
  int tried = 0;
  for (const char* text : kSpecs) {
    for (const auto& [rows, cols] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 7}, {4, 64}, {7, 33}, {3, 100}}) {
      const Made made(text, rows, cols);
      const auto tensor = made.tensor();
      const std::vector<float> all = tensor->decode_all();
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> row(static_cast<size_t>(cols));
        tensor->decode_rows(r, r + 1, row.data());
        for (int64_t c = 0; c < cols; ++c) {
          ASSERT_EQ(row[static_cast<size_t>(c)], made.value(r, c)) << text << " " << r << " " << c;
          ASSERT_EQ(all[static_cast<size_t>(r * cols + c)], made.value(r, c)) << text << " " << r << " " << c;
        }
      }
      tensor->check_values("w");
      ++tried;
    }
  }
  EXPECT_EQ(tried, 95);
}

TEST(QuantizedTensor, EmptyShapes) {
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {0, 5}, {3, 0}}) {
    const Made made("int4-g32-asym", rows, cols);
    EXPECT_TRUE(made.tensor()->decode_all().empty());
    EXPECT_EQ(made.tensor()->true_bits(), 0);
    made.tensor()->check_values("w");
  }
}

TEST(QuantizedTensor, CountsEveryStoredByte) {
  EXPECT_EQ(Made("int3-g32", 4, 64).tensor()->stored_bytes(), 4 * 24 + 4 * 2 * 2);
  EXPECT_DOUBLE_EQ(Made("int3-g32", 4, 64).tensor()->true_bits(), 3.5);
  EXPECT_DOUBLE_EQ(Made("mxfp4", 4, 64).tensor()->true_bits(), 4.25);
  EXPECT_EQ(Made("nvfp4", 2, 32).tensor()->stored_bytes(), 2 * 16 + 2 * 2 + 4);
  // A row of 7 3-bit codes takes 3 bytes; zeros of 3 groups at 3 bits take 2.
  EXPECT_EQ(Made("int3-g3-asym", 2, 7).tensor()->stored_bytes(), 2 * 3 + 2 * 3 * 2 + 2 * 2);
}

TEST(QuantizedTensor, LayoutAnnouncesTheParts) {
  const auto parts = QuantizedTensor::layout(parse_spec("int3-g32-asym"), 5, 70);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].suffix, ".codes");
  EXPECT_EQ(parts[0].shape, (std::vector<int64_t>{5, 27}));
  EXPECT_EQ(parts[1].suffix, ".scales");
  EXPECT_EQ(parts[1].dtype, DType::kF16);
  EXPECT_EQ(parts[1].shape, (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(parts[2].suffix, ".zeros");
  EXPECT_EQ(parts[2].shape, (std::vector<int64_t>{5, 2}));
  const auto two_level = QuantizedTensor::layout(parse_spec("nvfp4"), 5, 70);
  EXPECT_EQ(two_level[1].dtype, DType::kF8E4M3);
  EXPECT_EQ(two_level[2].suffix, ".tensor_scale");
  EXPECT_EQ(QuantizedTensor::layout(parse_spec("mxfp4"), 5, 70)[1].dtype, DType::kF8E8M0);
}

TEST(QuantizedTensor, RefusesPartsThatDoNotFit) {
  const auto refusal = [](const char* text, const std::function<void(Made&)>& spoil) {
    Made made(text, 4, 40);
    spoil(made);
    return message_of(ErrorKind::kRefused, [&] { made.tensor(); });
  };
  EXPECT_EQ(refusal("int4-g32", [](Made& m) { m.parts.erase(m.parts.begin() + 1); }), "w: its part .scales is missing");
  EXPECT_EQ(refusal("int4-g32", [](Made& m) { m.parts[1].dtype = DType::kF32; }),
            "w.scales: dtype is F32, int4-g32 needs F16");
  EXPECT_EQ(refusal("int4-g32",
                    [](Made& m) {
                      m.parts[0].shape = {4, 21};
                    }),
            "w.codes: shape is [4, 21], int4-g32 needs [4, 20]");
  EXPECT_EQ(refusal("int4-g32", [](Made& m) { m.parts[0].bytes = m.parts[0].bytes.first(79); }),
            "w.codes: holds 79 bytes, its shape needs 80");
  EXPECT_EQ(refusal("nvfp4", [](Made& m) { m.parts.pop_back(); }), "w: its part .tensor_scale is missing");
  EXPECT_EQ(refusal("int4-g32",
                    [](Made& m) {
                      m.parts.push_back({".bias", DType::kF32, {0}, {}});
                    }),
            "w: has 3 parts, int4-g32 needs 2");
  EXPECT_EQ(refusal("int4-g32", [](Made& m) { m.rows = -1; }), "w: shape is [-1, 40]");
}

TEST(QuantizedTensor, FindsValuesThatMeanNothing) {
  const auto finding = [](const char* text, int64_t cols, const std::function<void(Made&)>& spoil) {
    Made made(text, 4, cols);
    spoil(made);
    return message_of(ErrorKind::kUnverified, [&] { made.tensor()->check_values("w"); });
  };
  const auto set = [](size_t part, size_t at, int value) {
    return [=](Made& m) { m.bytes[part][at] = static_cast<std::byte>(value); };
  };
  EXPECT_EQ(finding("e4m3fn-g32", 40, set(0, 41, 0xFF)), "w.codes: [1, 1] is 0xFF, no number of e4m3fn");
  EXPECT_EQ(finding("int8-narrow-row", 40, set(0, 0, 0x80)), "w.codes: [0, 0] is 0x80, no number of int8-narrow");
  EXPECT_EQ(finding("fp4-bnb-row", 40, set(0, 20, 0xF0)), "w.codes: [1, 1] is 0x0F, no number of fp4-bnb");
  EXPECT_EQ(finding("int3-row", 7, set(0, 2, 0x80)), "w.codes: padding bits of row 0 are not zero");
  EXPECT_EQ(finding("int3-g3-asym", 7, set(2, 3, 0x80)), "w.zeros: padding bits of row 1 are not zero");
  EXPECT_EQ(finding("mxfp4", 64, set(1, 3, 0xFF)), "w.scales: [1, 1] is nan, must be finite and not negative");
  EXPECT_THAT(finding("int4-g32", 64, set(1, 1, 0xFC)), StartsWith("w.scales: [0, 0] is -"));
  EXPECT_THAT(finding("mxfp4", 64, set(1, 0, 254)), HasSubstr("overflows"));
  EXPECT_THAT(finding("nvfp4", 64, [](Made& m) { std::memset(m.bytes[2].data(), 0xFF, 4); }),
              HasSubstr("nan, must be finite and positive"));
}

}  // namespace
}  // namespace bitloom
