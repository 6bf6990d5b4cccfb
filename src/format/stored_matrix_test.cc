#include "format/stored_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "base/error.h"
#include "base/test_data.h"
#include "format/families/codebook/codebook_matrix.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;

/// Parts in memory, with codes, scales and zeros kept in the open to decode from by definition.
struct Made {
  GridStorage spec;
  int64_t rows, cols;
  ScaleShape shape;
  std::vector<std::vector<std::byte>> bytes;
  std::vector<TensorPart> parts;
  std::vector<uint8_t> codes, zeros;  // [rows, cols], [scale rows, scale cols]
  std::vector<float> scales;          // effective
  float tensor_scale = 1;

  Made(const std::string& text, int64_t r, int64_t c)
      : spec(parse_grid(text)), rows(r), cols(c), shape(scale_shape(spec, r, c)) {
    parts = greatest_parts(spec, rows, cols);
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

  std::shared_ptr<const StoredMatrix> tensor() const {
    return StoredMatrix::from_parts("w", Storage{spec, {}}, rows, cols, parts, nullptr);
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

TEST(StoredMatrix, DecodesByDefinition) {
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

TEST(StoredMatrix, EmptyShapes) {
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {0, 5}, {3, 0}}) {
    const Made made("int4-g32-asym", rows, cols);
    EXPECT_TRUE(made.tensor()->decode_all().empty());
    EXPECT_EQ(made.tensor()->true_bits(), 0);
    made.tensor()->check_values("w");
  }
}

TEST(StoredMatrix, CountsEveryStoredByte) {
  EXPECT_EQ(Made("int3-g32", 4, 64).tensor()->stored_bytes(), 4 * 24 + 4 * 2 * 2);
  EXPECT_DOUBLE_EQ(Made("int3-g32", 4, 64).tensor()->true_bits(), 3.5);
  EXPECT_DOUBLE_EQ(Made("mxfp4", 4, 64).tensor()->true_bits(), 4.25);
  EXPECT_EQ(Made("nvfp4", 2, 32).tensor()->stored_bytes(), 2 * 16 + 2 * 2 + 4);
  // A row of 7 3-bit codes takes 3 bytes; zeros of 3 groups at 3 bits take 2.
  EXPECT_EQ(Made("int3-g3-asym", 2, 7).tensor()->stored_bytes(), 2 * 3 + 2 * 3 * 2 + 2 * 2);
}

TEST(StoredMatrix, LayoutAnnouncesTheParts) {
  const auto parts = greatest_parts(parse_grid("int3-g32-asym"), 5, 70);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].suffix, ".codes");
  EXPECT_EQ(parts[0].shape, (std::vector<int64_t>{5, 27}));
  EXPECT_EQ(parts[1].suffix, ".scales");
  EXPECT_EQ(parts[1].dtype, DType::kF16);
  EXPECT_EQ(parts[1].shape, (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(parts[2].suffix, ".zeros");
  EXPECT_EQ(parts[2].shape, (std::vector<int64_t>{5, 2}));
  const auto two_level = greatest_parts(parse_grid("nvfp4"), 5, 70);
  EXPECT_EQ(two_level[1].dtype, DType::kF8E4M3);
  EXPECT_EQ(two_level[2].suffix, ".tensor_scale");
  EXPECT_EQ(greatest_parts(parse_grid("mxfp4"), 5, 70)[1].dtype, DType::kF8E8M0);
}

TEST(StoredMatrix, RefusesPartsThatDoNotFit) {
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

TEST(StoredMatrix, FindsValuesThatMeanNothing) {
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

TEST(StoredMatrix, ScalesMayBeNegativeWhereTheSignSaysSomething) {
  const auto finding = [](const char* text, int top_byte) {
    Made made(text, 4, 64);
    const int64_t size = bytes_of(stored_dtype(parse_grid(text).scale), 1);
    made.bytes[1][static_cast<size_t>(size - 1)] = static_cast<std::byte>(top_byte);
    try {
      made.tensor()->check_values("w");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const char* text : {"int4-g32", "int2-row", "int8-g32-bf16", "nf4-g32-f32", "table[-1;0;2]-tensor"}) {
    EXPECT_EQ(finding(text, 0xA9), "") << text;
  }
  for (const char* text : {"int4-narrow-g32", "e2m1-g32", "table[-1;0;1]-row", "int4-g32-asym", "fp4-bnb-g32"}) {
    EXPECT_THAT(finding(text, 0xA9), HasSubstr("must be finite and not negative")) << text;
  }
  EXPECT_THAT(finding("nf4-g32", 0xFF), HasSubstr("nan, must be finite"));
}

// ---- codebooks ------------------------------------------------------------------------------------------------------

/// Columns of widths 1, 2, 3, ... 8, 1, ... with codes that use every level.
std::vector<CodebookColumn> columns_of_all_widths(int64_t rows, int64_t cols) {
  std::vector<CodebookColumn> columns;
  std::mt19937 random(5);
  for (int64_t c = 0; c < cols; ++c) {
    CodebookColumn column{static_cast<int>(c % 8) + 1, {}, {}};
    for (int level = 0; level < 1 << column.bits; ++level) {
      column.table.push_back(static_cast<float>(c) - static_cast<float>(level) / 256);
    }
    for (int64_t r = 0; r < rows; ++r) {
      column.codes.push_back(static_cast<uint8_t>(random() % (1u << static_cast<unsigned>(column.bits))));
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

TEST(Codebook, ColumnsOfAnyWidthDecodeByDefinition) {
  for (const int64_t rows : {1, 7, 64, 65}) {
    for (const int64_t cols : {1, 8, 19}) {
      const auto columns = columns_of_all_widths(rows, cols);
      const auto matrix = stored_from_bytes("w", parse_storage("codebook4.5-col"), rows, cols, pack_columns(columns));
      matrix->check_values("w");
      const std::vector<float> all = matrix->decode_all();
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> row(static_cast<size_t>(cols));
        matrix->decode_rows(r, r + 1, row.data());
        for (int64_t c = 0; c < cols; ++c) {
          const CodebookColumn& column = columns[static_cast<size_t>(c)];
          const float value = f16_to_f32(f32_to_f16(column.table[column.codes[static_cast<size_t>(r)]]));
          ASSERT_EQ(all[static_cast<size_t>(r * cols + c)], value) << rows << " " << r << " " << c;
          ASSERT_EQ(row[static_cast<size_t>(c)], value) << rows << " " << r << " " << c;
        }
      }
    }
  }
}

/// 8 columns of 1 to 8 bits and 16 rows: codes 2 bytes a row in three nibbles and 26 bits beside them, tables
/// 510 levels, widths 8 bytes.
TEST(Codebook, CountsEveryStoredByte) {
  const auto matrix =
      stored_from_bytes("w", parse_storage("codebook4.5-col"), 16, 8, pack_columns(columns_of_all_widths(16, 8)));
  EXPECT_EQ(matrix->stored_bytes(), 16 * 2 + 2 * 26 + 2 * 510 + 8);
  EXPECT_DOUBLE_EQ(matrix->nominal_bits(), 4.5);
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 8.0 * (84 + 1020 + 8) / 128);
  // What is announced beforehand has room for it.
  const auto most = greatest_parts(parse_storage("codebook4.5-col"), 16, 8);
  for (size_t i = 0; i < most.size(); ++i) EXPECT_LE(matrix->parts()[i].shape[0], most[i].shape[0]) << most[i].suffix;
}

TEST(Codebook, RefusesPartsThatDoNotFit) {
  const auto refusal = [](const std::function<void(std::vector<std::vector<std::byte>>&)>& spoil) {
    auto bytes = pack_columns(columns_of_all_widths(16, 8));
    spoil(bytes);
    return message_of(ErrorKind::kRefused,
                      [&] { stored_from_bytes("w", parse_storage("codebook4.5-col"), 16, 8, bytes); });
  };
  EXPECT_EQ(refusal([](auto& b) { b[0][3] = std::byte{9}; }), "w.widths: [3] is 9, must be 1 to 8");
  EXPECT_EQ(refusal([](auto& b) { b[0][3] = std::byte{0}; }), "w.widths: [3] is 0, must be 1 to 8");
  EXPECT_EQ(refusal([](auto& b) { b[0].pop_back(); }), "w.widths: shape is [7], codebook4.5-col needs [8]");
  EXPECT_EQ(refusal([](auto& b) { b[1].pop_back(); }), "w.codes: shape is [83], the widths need [84]");
  EXPECT_EQ(refusal([](auto& b) { b[2].resize(1018); }), "w.tables: shape is [509], the widths need [510]");
  EXPECT_THAT(refusal([](auto& b) { b[1].resize(500); }), HasSubstr("needs one dimension of at most"));
}

TEST(Codebook, FindsValuesThatMeanNothing) {
  const auto finding = [](size_t part, size_t at, int value) {
    auto bytes = pack_columns(columns_of_all_widths(7, 3));
    bytes[part][at] = static_cast<std::byte>(value);
    const auto matrix = stored_from_bytes("w", parse_storage("codebook4.5-col"), 7, 3, std::move(bytes));
    return message_of(ErrorKind::kUnverified, [&] { matrix->check_values("w"); });
  };
  EXPECT_EQ(finding(1, 13, 0x80), "w.codes: padding is not zero");
  EXPECT_EQ(finding(2, 1, 0x7C), "w.tables: level 0 is inf, must be finite");
}

// ---- outliers -------------------------------------------------------------------------------------------------------

std::shared_ptr<const StoredMatrix> with_outliers(std::vector<std::vector<std::byte>> outliers) {
  auto bytes = pack_columns(columns_of_all_widths(16, 8));
  for (auto& part : outliers) bytes.push_back(std::move(part));
  return stored_from_bytes("w", parse_storage("codebook4.5-col+outliers0.05"), 16, 8, std::move(bytes));
}

TEST(Outliers, AddToTheBase) {
  const std::vector<Outlier> some = {{15, 7, -2.5f}, {0, 0, 1.5f}, {3, 0, 0.25f}, {9, 4, 1e-3f}};
  const auto matrix = with_outliers(pack_outliers(some, 16));
  matrix->check_values("w");
  std::vector<float> expected =
      stored_from_bytes("w", parse_storage("codebook4.5-col"), 16, 8, pack_columns(columns_of_all_widths(16, 8)))
          ->decode_all();
  for (const Outlier& o : some) expected[static_cast<size_t>(o.row * 8 + o.col)] += f16_to_f32(f32_to_f16(o.value));
  EXPECT_EQ(matrix->decode_all(), expected);
  for (int64_t begin = 0; begin < 16; ++begin) {
    for (int64_t end = begin + 1; end <= 16; ++end) {
      std::vector<float> rows(static_cast<size_t>((end - begin) * 8));
      matrix->decode_rows(begin, end, rows.data());
      EXPECT_EQ(rows, std::vector<float>(expected.begin() + begin * 8, expected.begin() + end * 8)) << begin << end;
    }
  }
  EXPECT_DOUBLE_EQ(matrix->nominal_bits(), 4.5 + 16 * 4 / 128.0);
  EXPECT_EQ(matrix->stored_bytes(), 1112 + 4 * (2 + 2) + 17 * 4);
}

TEST(Outliers, RefusesAndFindsWhatMeansNothing) {
  const auto packed = pack_outliers({{0, 1, 1}, {0, 2, 1}, {5, 3, 1}}, 16);
  const auto spoilt = [&](size_t part, size_t at, int value) {
    auto bytes = packed;
    bytes[part][at] = static_cast<std::byte>(value);
    return bytes;
  };
  const auto refusal = [](const std::vector<std::vector<std::byte>>& bytes) {
    return message_of(ErrorKind::kRefused, [&] { with_outliers(bytes); });
  };
  const auto finding = [](const std::vector<std::vector<std::byte>>& bytes) {
    const auto matrix = with_outliers(bytes);
    matrix->decode_all();  // of a file that nobody verified: no harm
    return message_of(ErrorKind::kUnverified, [&] { matrix->check_values("w"); });
  };
  EXPECT_EQ(refusal(spoilt(2, 4, 200)), "w.outlier_starts: [1] is above the next");
  EXPECT_EQ(refusal(spoilt(2, 0, 1)), "w.outlier_starts: from 1 to 3, but there are 3 values");
  EXPECT_EQ(refusal(pack_outliers(std::vector<Outlier>(8, {0, 0, 1}), 16)),
            "w.outlier_values: shape is [8], outliers0.05 needs one dimension of at most 7");
  EXPECT_THAT(finding(spoilt(1, 0, 8)), HasSubstr("w.outlier_columns: [0] is 8, columns of a row must ascend and be"));
  EXPECT_THAT(finding(spoilt(1, 2, 1)), HasSubstr("w.outlier_columns: [1] is 1, columns of a row must ascend"));
  EXPECT_THAT(finding(spoilt(0, 1, 0x7C)), HasSubstr("w.outlier_values: [0] is inf, must be finite"));
}

}  // namespace
}  // namespace bitloom
