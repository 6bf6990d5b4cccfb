#include "ops/packed_linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/memory/dense_matrix.h"
#include "base/test_data.h"
#include "format/families/affine/affine_matrix.h"
#include "format/test_storage.h"
#include "io/tensor_view.h"
#include "ops/choose_isa.h"
#include "ops/test_matrix.h"

namespace bitloom {
namespace {

using ::bitloom::testing::message_of;
using ::bitloom::testing::random_matrix;
using ::bitloom::testing::random_values;

std::shared_ptr<const PackedLinear> pack(const RowSourcePtr& w, const PackOptions& options) {
  return PackedLinear::pack(w, {}, options);
}

/// y_r = sum_c W[r, c] x_c of the decoded matrix, in fp64, and the sum of the terms' absolute values.
void expect_product(const RowSource& w, const std::vector<int64_t>& order, const std::vector<float>& x,
                    const std::vector<float>& y, double tolerance) {
  const std::vector<float> dense = w.decode_all();
  const int64_t cols = w.cols();
  for (int64_t r = 0; r < w.rows(); ++r) {
    const float* row = dense.data() + (order.empty() ? r : order[static_cast<size_t>(r)]) * cols;
    double want = 0, magnitude = 0;
    for (int64_t c = 0; c < cols; ++c) {
      const double term = static_cast<double>(row[c]) * x[static_cast<size_t>(c)];
      want += term, magnitude += std::abs(term);
    }
    ASSERT_NEAR(y[static_cast<size_t>(r)], want, tolerance * magnitude) << w.storage() << " row " << r;
  }
}

TEST(PackedLinear, EveryKindOfIntegerMatrixAgreesWithItsDecodedRows) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(200, 5);
  for (const std::string format : {"int2", "int3", "int4", "int4-narrow", "int5", "int6", "int7", "int8", "int8-narrow",
                                   "int8q6-narrow", "e2m1", "e3m0", "table[-3;-1;0;.5;1;1.5;2;2.5;3;4;5;6;7;8;9;10]"}) {
    for (const std::string rest : {"-row", "-tensor", "-g128", "-g32", "-g16", "-g7", "-block8x32", "-g32-f32",
                                   "-g64-bf16", "-g32-e8m0", "-g16-e4m3x", "-g32-asym", "-row-asym", "-g12-asym"}) {
      if (rest.ends_with("asym") && !format.starts_with("int")) continue;
      if (rest.ends_with("asym") && format.find_first_of("q-") != std::string::npos) continue;
      const auto quantized = random_matrix(301, 200, format + rest, 3);
      const auto packed = pack(quantized, {best_isa(), Activations::kExact});
      ASSERT_NE(packed, nullptr) << format << rest;
      std::vector<float> y(301);
      const Reader reader = {packed.get(), nullptr, y.data()};
      apply({&reader, 1}, x.data(), 1, blocks, threads);
      // 200 terms, products and the decoded weight round in fp32. 24 bits of the inputs, zero points of groups and the
      // middle of the codes may multiply that; a wrong code, scale or zero point is 1e-3 at least.
      expect_product(*quantized, {}, x, y, 1e-5);
    }
  }
}

/// Groups of 64 columns of these widths, whose mean is `bits`.
std::shared_ptr<const StoredMatrix> random_mixed(const std::string& text, const std::vector<uint8_t>& widths,
                                                 int64_t rows, int64_t cols) {
  const Storage storage = parse_storage(text);
  const auto& affine = storage.base.get<AffineStorage>();
  const auto groups = static_cast<int64_t>(widths.size());
  AffineValues values;
  values.widths = widths;
  Rng rng(9, 80);
  for (int64_t i = 0; i < rows * cols; ++i) {
    const int width = widths[static_cast<size_t>(i % cols / 64)];
    values.codes.push_back(static_cast<uint8_t>(rng.next_u32() % (1u << width)));
  }
  for (int64_t i = 0; i < rows * groups; ++i) {
    values.scales.push_back({0.5f, 1.25f, static_cast<uint8_t>(i % 13), static_cast<uint8_t>(i % 7)});
  }
  values.seconds.resize(static_cast<size_t>(affine.blocks(rows) * groups), {0.25f, 0.125f, -1, 0.5f});
  return stored_from_bytes("w", storage, rows, cols, pack_affine(affine, rows, cols, values));
}

TEST(PackedLinear, AffineMatricesAgreeWithTheirDecodedRows) {
  ThreadPool threads(2);
  InputBlocks blocks;
  constexpr int64_t kRows = 40, kCols = 288;
  const std::vector<float> x = random_values(9 * kCols, 5);
  std::vector<int64_t> order(kRows);
  for (int64_t r = 0; r < kRows; ++r) order[static_cast<size_t>(r)] = r * 7 % kRows;
  std::vector<std::shared_ptr<const StoredMatrix>> matrices = {
      random_mixed("affine2-g64-mixed", {1, 3, 2, 2, 2}, kRows, kCols),
      random_mixed("affine3-g64-mixed-s6x16", {1, 5, 2, 4, 3}, kRows, kCols)};
  for (const char* text :
       {"affine4-g64", "affine4-g64-s6x16", "affine3-g16-s3x16", "affine2-g64-s6x8", "affine1-g32", "affine8-g32",
        "affine5-g288-s8x256", "affine3-g16-s3x16+outliers0.02", "affine4-g32-s6x16+frame-in32"}) {
    matrices.push_back(testing::random_stored(text, kRows, kCols, 3));
  }
  for (const auto& matrix : matrices) {
    const bool framed = matrix->spec().side.frame.present();
    for (const Isa isa : every_isa()) {
      for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
        if (!machine_has(isa)) continue;
        const auto packed = PackedLinear::pack(matrix, order, {isa, activations});
        ASSERT_NE(packed, nullptr) << matrix->storage();
        ASSERT_NE(packed->int_kernel(), nullptr) << matrix->storage();
        for (const int64_t tokens : {1, 9}) {
          if (!packed->serves(tokens)) continue;
          std::vector<float> y(static_cast<size_t>(tokens * kRows));
          const Reader reader = {packed.get(), nullptr, y.data()};
          apply({&reader, 1}, x.data(), tokens, blocks, threads);
          for (int64_t t = 0; t < tokens; ++t) {
            const std::vector<float> own(x.begin() + t * kCols, x.begin() + (t + 1) * kCols);
            // As of grids; zero points and seconds of up to a hundred cost a few times as much, a rotation more.
            expect_product(*matrix, order, own, {y.begin() + t * kRows, y.begin() + (t + 1) * kRows},
                           activations == Activations::kExact ? (framed ? 1e-4 : 2e-5) : 2e-2);
          }
        }
      }
    }
  }
}

TEST(PackedLinear, AffineGroupsThatNoKernelServesAreDecoded) {
  const PackOptions options = {best_isa(), Activations::kExact};
  EXPECT_EQ(pack(testing::random_stored("affine3-g12", 16, 96, 3), options), nullptr);
  EXPECT_EQ(pack(random_mixed("affine4-g64-mixed", {1, 7}, 16, 128), options), nullptr);
}

// Tokens that are multiples of a scale already, by integers up to 127: 8-bit kernels keep them, of few tokens and of
// many. By scales of their own blocks they would be rounded again.
TEST(PackedLinear, MultiplesOfAScaleAreKept) {
  ThreadPool threads(2);
  InputBlocks blocks;
  constexpr int64_t kRows = 48, kCols = 200, kTokens = 20;
  std::vector<float> x(kTokens * kCols), scales(kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    scales[static_cast<size_t>(t)] = 0.013f * static_cast<float>(t + 1);
    for (int64_t c = 0; c < kCols; ++c) {
      const int64_t q = c % 50 == 7 ? 127 : (c * 7 + t) % 11 - 5;
      x[static_cast<size_t>(t * kCols + c)] = scales[static_cast<size_t>(t)] * static_cast<float>(q);
    }
  }
  for (const char* spec : {"int4-g32", "int8-row", "int3-g64-asym", "e2m1-g16-e4m3x", "int6-g128"}) {
    const auto quantized = random_matrix(kRows, kCols, spec, 3);
    const auto packed = pack(quantized, {best_isa(), Activations::kInt8});
    ASSERT_NE(packed, nullptr);
    ASSERT_TRUE(packed->keeps_multiples()) << spec;
    for (const int64_t tokens : {1, 3, 20}) {
      if (!packed->serves(tokens)) continue;
      std::vector<float> y(static_cast<size_t>(tokens * kRows)), again(y.size());
      const Reader reader = {packed.get(), nullptr, y.data()}, without = {packed.get(), nullptr, again.data()};
      apply({&reader, 1}, x.data(), tokens, blocks, threads, scales.data());
      apply({&without, 1}, x.data(), tokens, blocks, threads);
      for (int64_t t = 0; t < tokens; ++t) {
        const std::vector<float> of_token(x.begin() + t * kCols, x.begin() + (t + 1) * kCols);
        // The sums' roundings alone, as with 24 bits.
        expect_product(*quantized, {}, of_token, {y.begin() + t * kRows, y.begin() + (t + 1) * kRows}, 1e-5);
      }
      if (packed->int_kernel()->input == DotInput::kInt8) {
        EXPECT_NE(y, again) << spec;
      }
    }
  }
  EXPECT_FALSE(pack(testing::random_stored("int4-g32+frame-in32", 16, 64, 3), {best_isa(), Activations::kInt8})
                   ->keeps_multiples());
}

TEST(PackedLinear, LevelsOfAnyKindAgreeWithTheirDecodedRows) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(200, 5);
  std::vector<int64_t> order(61);
  for (int64_t r = 0; r < 61; ++r) order[static_cast<size_t>(r)] = r * 7 % 61;
  for (const std::string format : {"nf4", "e4m3fn", "e4m3", "e5m2-ieee", "e5m2", "e5m2fnuz", "e1m6", "e3m4",
                                   "e4m3b11fnuz", "e6m1", "e3m2", "e4m2"}) {
    for (const std::string rest : {"-row", "-tensor", "-g32", "-g7", "-block8x32", "-g32-f32", "-g64-e8m0"}) {
      const auto quantized = random_matrix(61, 200, format + rest, 3);
      for (const Isa isa : every_isa()) {
        if (!machine_has(isa)) continue;
        const auto packed = PackedLinear::pack(quantized, order, {isa, Activations::kExact});
        ASSERT_NE(packed, nullptr) << format << rest;
        ASSERT_NE(packed->level_kernel(), nullptr) << format << rest;
        std::vector<float> y(61);
        const Reader reader = {packed.get(), nullptr, y.data()};
        apply({&reader, 1}, x.data(), 1, blocks, threads);
        // 200 terms in fp32, and decoded weights' own rounding.
        expect_product(*quantized, order, x, y, 210 * 0x1p-24);
      }
    }
  }
}

/// Row r is all code r, of eight bits.
std::shared_ptr<const StoredMatrix> every_code(const std::string& spec, int64_t cols) {
  const auto random = random_matrix(256, cols, spec, 3);
  std::vector<std::vector<std::byte>> bytes;
  for (const TensorPart& part : greatest_parts(random->spec(), 256, cols)) {
    const auto stored = random->find_part(part.suffix)->bytes;
    std::vector<std::byte>& own = bytes.emplace_back(stored.begin(), stored.end());
    for (size_t i = 0; part.suffix == ".codes" && i < own.size(); ++i) {
      own[i] = static_cast<std::byte>(i / static_cast<size_t>(cols));
    }
  }
  return stored_from_bytes("w", random->spec(), 256, cols, std::move(bytes));
}

// Of a file that nobody verified.
TEST(PackedLinear, CodesThatAreNoNumbersAreWhatTheDecoderMakesOfThem) {
  ThreadPool threads(2);
  InputBlocks blocks;
  constexpr int64_t kCols = 21;
  std::vector<float> x = random_values(kCols, 5);
  for (float& value : x) value = std::abs(value) + 0.1f;  // infinities add up
  for (const char* spec : {"e4m3fn-row", "e4m3-ieee-row", "e4m3fnuz-row", "e4m3b11fnuz-row", "e3m4fn-row",
                           "e5m2-ieee-row", "e5m2fnuz-row"}) {
    const auto matrix = every_code(spec, kCols);
    const std::vector<float> dense = matrix->decode_all();
    for (const Isa isa : every_isa()) {
      if (!machine_has(isa)) continue;
      const auto packed = pack(matrix, {isa, Activations::kExact});
      ASSERT_NE(packed, nullptr) << spec;
      std::vector<float> y(256);
      const Reader reader = {packed.get(), nullptr, y.data()};
      apply({&reader, 1}, x.data(), 1, blocks, threads);
      for (size_t r = 0; r < y.size(); ++r) {
        const float weight = dense[r * kCols];
        if (std::isnan(weight)) {
          EXPECT_TRUE(std::isnan(y[r])) << spec << " code " << r << " " << name_of(isa);
        } else if (std::isinf(weight)) {
          EXPECT_EQ(y[r], weight) << spec << " code " << r << " " << name_of(isa);
        } else {
          float sum = 0;
          for (const float value : x) sum += value;
          EXPECT_NEAR(y[r], weight * sum, 50 * 0x1p-24 * std::abs(weight * sum)) << spec << " code " << r;
        }
      }
    }
  }
}

TEST(PackedLinear, MatricesInMemoryHaveNoKernel) {
  EXPECT_EQ(pack(std::make_shared<DenseMatrix>(8, 64, random_values(8 * 64, 3)), {best_isa(), Activations::kExact}),
            nullptr);
}

TEST(PackedLinear, DenseMatricesAreReadInTheirFile) {
  ThreadPool threads(2);
  InputBlocks blocks;
  constexpr int64_t kRows = 50, kCols = 100;
  const std::vector<float> x = random_values(kCols, 5), weights = random_values(kRows * kCols, 6);
  std::vector<int64_t> order(kRows);
  for (int64_t r = 0; r < kRows; ++r) order[static_cast<size_t>(r)] = r * 7 % kRows;
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes_of(dtype, kRows * kCols)));
    encode_from_f32(dtype, weights.data(), kRows * kCols, bytes->data());
    const RowSourcePtr matrix = dense_rows({"w", dtype, {kRows, kCols}, *bytes, bytes, "a file"});
    const auto packed = PackedLinear::pack(matrix, order, {best_isa(), Activations::kExact});
    ASSERT_NE(packed, nullptr);
    ASSERT_NE(packed->dense_kernel(), nullptr);
    std::vector<float> y(kRows);
    const Reader reader = {packed.get(), nullptr, y.data()};
    apply({&reader, 1}, x.data(), 1, blocks, threads);
    expect_product(*matrix, order, x, y, (kCols + 1) * 0x1p-24);
  }
}

RowSourcePtr random_bf16(int64_t rows, int64_t cols) {
  const std::vector<float> weights = random_values(rows * cols, 6);
  const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(2 * rows * cols));
  encode_from_f32(DType::kBF16, weights.data(), rows * cols, bytes->data());
  return dense_rows({"w", DType::kBF16, {rows, cols}, *bytes, bytes, "a file"});
}

// Rounding to BF16 errs by 2^-9 of each input at most, sums of fp32 as above.
TEST(PackedLinear, ManyTokensOfBf16WeightsAreRoundedWhereTheProcessorMultipliesSuch) {
  constexpr int64_t kRows = 300, kOthers = 33, kCols = 100, kTokens = 37;
  const std::vector<float> x = random_values(kTokens * kCols, 5), bias = random_values(kRows, 6);
  std::vector<int64_t> order(kRows);
  for (int64_t r = 0; r < kRows; ++r) order[static_cast<size_t>(r)] = r * 7 % kRows;
  const RowSourcePtr w = random_bf16(kRows, kCols), other = random_bf16(kOthers, kCols);
  for (const Isa isa : every_isa()) {
    if (!machine_has(isa)) continue;
    SCOPED_TRACE(name_of(isa));
    const bool serves = find_bf16_gemm(isa) != nullptr;
    EXPECT_FALSE(PackedLinear::pack(w, order, {isa, Activations::kExact})->serves(kTokens));
    const auto a = PackedLinear::pack(w, order, {isa, Activations::kInt8});
    const auto b = PackedLinear::pack(other, {}, {isa, Activations::kInt8});
    ASSERT_EQ(a->serves(kTokens), serves);
    EXPECT_FALSE(a->reads_integers());
    EXPECT_EQ(a->keeps_multiples(), !serves);
    if (!serves) continue;
    std::vector<std::vector<float>> results;
    for (const int count : {1, 2, 5}) {
      ThreadPool threads(count);
      InputBlocks blocks;
      std::vector<float> y(static_cast<size_t>(kTokens * (kRows + kOthers)));
      const Reader readers[] = {{a.get(), bias.data(), y.data()}, {b.get(), nullptr, y.data() + kTokens * kRows}};
      apply(readers, x.data(), kTokens, blocks, threads);
      results.push_back(y);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    for (int64_t t = 0; t < kTokens; ++t) {
      const float* y = results[0].data();
      const std::vector<float> of_token(x.begin() + t * kCols, x.begin() + (t + 1) * kCols);
      std::vector<float> first(y + t * kRows, y + (t + 1) * kRows);
      for (size_t r = 0; r < first.size(); ++r) first[r] -= bias[r];
      // (The bias adds its own rounding, of a sum below 64, to those.)
      expect_product(*w, order, of_token, first, 0x1p-9 + (kCols + 2) * 0x1p-24);
      const float* second = y + kTokens * kRows + t * kOthers;
      expect_product(*other, {}, of_token, {second, second + kOthers}, 0x1p-9 + (kCols + 1) * 0x1p-24);
    }
  }
}

// Few tokens are as exact as a single one, bit for bit.
TEST(PackedLinear, FewTokensOfBf16WeightsAreNotRounded) {
  constexpr int64_t kRows = 40, kCols = 100;
  const std::vector<float> x = random_values(kFewTokens * kCols, 5);
  const RowSourcePtr w = random_bf16(kRows, kCols);
  ThreadPool threads(2);
  InputBlocks blocks;
  std::vector<std::vector<float>> results;
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    const auto packed = pack(w, {best_isa(), activations});
    std::vector<float> y(static_cast<size_t>(kFewTokens * kRows));
    const Reader reader = {packed.get(), nullptr, y.data()};
    apply({&reader, 1}, x.data(), kFewTokens, blocks, threads);
    results.push_back(y);
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(PackedLinear, MatricesWithSideTermsAreDecoded) {
  const PackOptions options = {best_isa(), Activations::kExact};
  ASSERT_NE(pack(testing::random_stored("int4-g32", 16, 64, 3), options), nullptr);
  for (const std::string term : {"order", "order+lowrank4-int8-row", "lowrank4-int4-row", "lowrank4-int8-g16"}) {
    EXPECT_EQ(pack(testing::random_stored("int4-g32+" + term, 16, 64, 3), options), nullptr) << term;
  }
  EXPECT_EQ(pack(testing::random_stored("trellis2-l12", 16, 64, 3), options), nullptr);
}

double norm(const float* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return std::sqrt(sum);
}

/// y [rows] = W x [cols] of the decoded matrix in this order of rows.
void expect_framed(const StoredMatrix& matrix, const std::vector<int64_t>& order, const float* x,
                   const std::vector<float>& y, Activations activations) {
  const std::vector<float> dense = matrix.decode_all();
  const int64_t cols = matrix.cols();
  double size = 0;  // of the product, of which a rotated term may be any part
  for (const float value : y) size = std::max(size, std::abs(static_cast<double>(value)));
  for (size_t r = 0; r < y.size(); ++r) {
    const float* row = dense.data() + order[r] * cols;
    double want = 0;
    for (int64_t c = 0; c < cols; ++c) want += static_cast<double>(row[c]) * static_cast<double>(x[c]);
    // Twelve roundings of rotations on both sides and inputs of 24 bits, against products of about this size.
    double tolerance = 1e-5 * size;
    // Of 8 bits: inside the frame 32 columns err by at most 1 / 254 of their greatest each, so all by sqrt(32) / 254 of
    // x's norm, which rotations keep; scales of columns, of 0.5 to 1.5, stretch that by 3 at most. A wrong row errs by
    // sqrt(2 / 96) of the product of the norms.
    const double stretch = matrix.spec().side.frame.in_scales ? 3 : 1;
    if (activations == Activations::kInt8) {
      tolerance += stretch * std::sqrt(32.0) / 254 * norm(row, cols) * norm(x, cols);
    }
    ASSERT_NEAR(y[r], want, tolerance) << matrix.storage() << " row " << r;
  }
}

// Inside a frame x is rotated, the stored codes multiply it, and y is rotated back: what the decoded matrix gives.
TEST(PackedLinear, FramesAreAppliedToInputsAndOutputs) {
  ThreadPool threads(2);
  InputBlocks blocks;
  constexpr int64_t kRows = 80, kCols = 96;
  const std::vector<float> x = random_values(11 * kCols, 5), bias = random_values(kRows, 6);
  std::vector<int64_t> order(kRows);
  for (int64_t r = 0; r < kRows; ++r) order[static_cast<size_t>(r)] = r * 7 % kRows;
  for (const std::string base :
       {"int4-g32", "int3-row", "e4m3-g32", "e4m2-row", "trellis2", "trellis1.5", "trellis2.5", "trellis4"}) {
    for (const std::string frame : {"", "+frame-in32", "+frame-out16", "+frame-in8-out16-seed5", "+frame-outscales",
                                    "+frame-in32-out16-inscales-outscales", "+frame-infull-out16", "+outliers0.02",
                                    "+outliers0.02+frame-in32-outscales", "+lowrank5-int8-row",
                                    "+lowrank70-int8-row+outliers0.02+frame-in32-out16"}) {
      const auto matrix = testing::random_stored(base + frame, kRows, kCols, 3);
      for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
        const auto packed = PackedLinear::pack(matrix, order, {best_isa(), activations});
        ASSERT_NE(packed, nullptr) << base << frame;
        EXPECT_EQ(packed->trellis_kernel() != nullptr, base.starts_with("trellis"));
        for (const int64_t tokens : {1, 3, 11}) {
          EXPECT_TRUE(packed->serves(tokens) || activations == Activations::kExact || !base.starts_with("trellis"));
          if (!packed->serves(tokens)) continue;  // many tokens need a kernel for them
          std::vector<float> y(static_cast<size_t>(tokens * kRows));
          const Reader reader = {packed.get(), bias.data(), y.data()};
          apply({&reader, 1}, x.data(), tokens, blocks, threads);
          for (int64_t t = 0; t < tokens; ++t) {
            std::vector<float> own(y.begin() + t * kRows, y.begin() + (t + 1) * kRows);
            for (size_t r = 0; r < own.size(); ++r) own[r] -= bias[r];
            expect_framed(*matrix, order, x.data() + t * kCols, own, activations);
          }
        }
      }
    }
  }
}

TEST(PackedLinear, ReadersInDifferentFramesShareACall) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(96, 5);
  std::vector<std::shared_ptr<const StoredMatrix>> matrices;
  std::vector<std::shared_ptr<const PackedLinear>> packed;
  std::vector<std::vector<float>> y;
  std::vector<Reader> readers;
  for (const char* text : {"int4-g32+frame-in32", "trellis2+frame-in32-out16", "int4-g32+lowrank8-int8-row",
                           "trellis2+lowrank3-int8-row+frame-in8"}) {
    matrices.push_back(testing::random_stored(text, 48, 96, 4));
    packed.push_back(pack(matrices.back(), {best_isa(), Activations::kExact}));
    y.emplace_back(48);
  }
  for (size_t i = 0; i < packed.size(); ++i) readers.push_back({packed[i].get(), nullptr, y[i].data()});
  apply(readers, x.data(), 1, blocks, threads);
  for (size_t i = 0; i < packed.size(); ++i) expect_product(*matrices[i], {}, x, y[i], 2e-5);
}

// Side terms that leave the input as it is do not part it: it is rounded once, and products keep their bits.
TEST(PackedLinear, ReadersOfTheInputAsItIsShareIt) {
  struct {
    const char* storage;
    int input;  // readers of an equal one share it
  } const kReaders[] = {{"int4-g32", 0},
                        {"int4-g32+lowrank8-int8-row", 0},
                        {"trellis2+frame-out16", 0},
                        {"trellis2+lowrank3-int8-row+frame-out8", 0},
                        {"trellis2+frame-in32", 1},
                        {"int4-g32+lowrank8-int8-row+frame-in32-out16", 1},
                        {"trellis2+frame-in8", 2}};
  std::vector<std::shared_ptr<const PackedLinear>> packed;
  for (const auto& reader : kReaders) {
    packed.push_back(pack(testing::random_stored(reader.storage, 48, 96, 4), {best_isa(), Activations::kInt8}));
    ASSERT_NE(packed.back(), nullptr) << reader.storage;
  }
  InputBlocks blocks;
  ThreadPool threads(2);
  for (size_t a = 0; a < packed.size(); ++a) {
    for (size_t b = 0; b < packed.size(); ++b) {
      const std::string names = kReaders[a].storage + std::string(" ") + kReaders[b].storage;
      EXPECT_EQ(packed[a]->reads_as(*packed[b]), kReaders[a].input == kReaders[b].input) << names;
      for (const int64_t tokens : {1, 6, 37}) {
        if (!packed[a]->serves(tokens) || !packed[b]->serves(tokens)) continue;
        const std::vector<float> x = random_values(tokens * 96, 5);
        std::vector<float> together(static_cast<size_t>(tokens * 96)), alone(together);
        const auto reader = [&](const PackedLinear& w, std::vector<float>& y, int64_t place) {
          return Reader{&w, nullptr, y.data() + place * tokens * 48};
        };
        const Reader both[] = {reader(*packed[a], together, 0), reader(*packed[b], together, 1)};
        const Reader first = reader(*packed[a], alone, 0), second = reader(*packed[b], alone, 1);
        apply(both, x.data(), tokens, blocks, threads);
        apply({&first, 1}, x.data(), tokens, blocks, threads);
        apply({&second, 1}, x.data(), tokens, blocks, threads);
        EXPECT_EQ(together, alone) << names << ", " << tokens << " tokens";
      }
    }
  }
}

TEST(PackedLinear, RowsInAnotherOrder) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(96, 5);
  const auto quantized = random_matrix(50, 96, "int4-g32", 3);
  std::vector<int64_t> order(50);
  for (int64_t r = 0; r < 50; ++r) order[static_cast<size_t>(r)] = r * 7 % 50;
  const auto packed = PackedLinear::pack(quantized, order, {best_isa(), Activations::kExact});
  std::vector<float> y(50);
  const Reader reader = {packed.get(), nullptr, y.data()};
  apply({&reader, 1}, x.data(), 1, blocks, threads);
  expect_product(*quantized, order, x, y, 1e-5);
}

TEST(PackedLinear, ReadersOfOneInputAndAnyNumberOfThreadsGiveTheSameBits) {
  InputBlocks blocks;
  const int64_t cols = 300, tokens = 3;
  const std::vector<float> x = random_values(tokens * cols, 5);
  const std::vector<float> bias = random_values(700, 5);
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    const auto a = pack(random_matrix(700, cols, "int4-row", 1), {best_isa(), activations});
    const auto b = pack(random_matrix(111, cols, "int8-g32", 2), {best_isa(), activations});
    EXPECT_EQ(a->int_kernel()->input == DotInput::kInt8, activations == Activations::kInt8);
    std::vector<std::vector<float>> results;
    for (const int count : {1, 2, 5}) {
      ThreadPool threads(count);
      std::vector<float> y(static_cast<size_t>(tokens * 811)), alone(y);
      float* second = y.data() + tokens * 700;
      const Reader readers[] = {{a.get(), bias.data(), y.data()}, {b.get(), nullptr, second}};
      apply(readers, x.data(), tokens, blocks, threads);
      apply({readers, 1}, x.data(), tokens, blocks, threads);
      const Reader only = {b.get(), nullptr, alone.data() + tokens * 700};
      apply({&only, 1}, x.data(), tokens, blocks, threads);
      std::copy_n(y.data(), tokens * 700, alone.data());
      EXPECT_EQ(y, alone);
      results.push_back(y);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

// Pieces of trellis codes are super-tiles' rows, of which each thread has some; of the last one 16 rows are there.
TEST(PackedLinear, TrellisCodesOnAnyNumberOfThreadsGiveTheSameBits) {
  InputBlocks blocks;
  constexpr int64_t kCols = 96, kRows[] = {1296, 256, 48};
  const std::vector<float> x = random_values(kCols, 5);
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    std::vector<std::shared_ptr<const StoredMatrix>> matrices;
    std::vector<std::shared_ptr<const PackedLinear>> packed;
    for (const int64_t rows : kRows) {
      matrices.push_back(testing::random_stored("trellis2+frame-in32-out16", rows, kCols, 3));
      packed.push_back(pack(matrices.back(), {best_isa(), activations}));
    }
    std::vector<std::vector<float>> results;
    for (const int count : {1, 2, 5}) {
      ThreadPool threads(count);
      std::vector<float> y(1600);
      const Reader readers[] = {{packed[0].get(), nullptr, y.data()},
                                {packed[1].get(), nullptr, y.data() + 1296},
                                {packed[2].get(), nullptr, y.data() + 1552}};
      apply(readers, x.data(), 1, blocks, threads);
      results.push_back(y);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    const float* y = results[0].data();
    for (size_t i = 0; i < matrices.size(); y += kRows[i++]) {
      std::vector<int64_t> as_stored(static_cast<size_t>(kRows[i]));
      std::iota(as_stored.begin(), as_stored.end(), 0);
      expect_framed(*matrices[i], as_stored, x.data(), {y, y + kRows[i]}, activations);
    }
  }
}

// So many columns, and rows of both, that frames move them in pieces, one of which is short; the first matrix has an
// order, which is no piece's own, the second a bias.
TEST(PackedLinear, WideFramesOnAnyNumberOfThreadsGiveTheSameBits) {
  InputBlocks blocks;
  constexpr int64_t kCols = 4160, kRows = 2576, kOthers = 1552;
  const std::vector<float> x = random_values(kCols, 5), bias = random_values(kOthers, 6);
  const auto matrix = testing::random_stored("int4-g32+frame-in32-out16-inscales", kRows, kCols, 3);
  const auto other = testing::random_stored("int4-g32+frame-in32-out16-inscales", kOthers, kCols, 3);
  std::vector<int64_t> order(kRows), as_stored(kOthers);
  for (int64_t r = 0; r < kRows; ++r) order[static_cast<size_t>(r)] = r * 5 % kRows;
  std::iota(as_stored.begin(), as_stored.end(), 0);
  const auto a = PackedLinear::pack(matrix, order, {best_isa(), Activations::kExact});
  const auto b = pack(other, {best_isa(), Activations::kExact});
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 5}) {
    ThreadPool threads(count);
    std::vector<float> y(kRows + kOthers);
    const Reader readers[] = {{a.get(), nullptr, y.data()}, {b.get(), bias.data(), y.data() + kRows}};
    apply(readers, x.data(), 1, blocks, threads);
    results.push_back(y);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  std::vector<float> first(results[0].begin(), results[0].begin() + kRows);
  std::vector<float> second(results[0].begin() + kRows, results[0].end());
  for (size_t r = 0; r < second.size(); ++r) second[r] -= bias[r];
  expect_framed(*matrix, order, x.data(), first, Activations::kExact);
  expect_framed(*other, as_stored, x.data(), second, Activations::kExact);
}

// In fp64 of the input as it is, so within half a step of its blocks' greatest: some 1 / 254 of 4 deviations, of random
// signs, 2e-2 of the products' absolute values at most; a wrong row or token is off by all of them.
TEST(PackedLinear, ManyTokensByKernelsOfEightBitsOnAnyNumberOfThreads) {
  constexpr int64_t kTokens = 37, kCols = 192;
  const std::vector<float> x = random_values(kTokens * kCols, 5), bias = random_values(100, 6);
  std::vector<int64_t> order(100);
  for (int64_t r = 0; r < 100; ++r) order[static_cast<size_t>(r)] = r * 7 % 100;
  const auto w = random_matrix(100, kCols, "int4-g32", 1), other = random_matrix(33, kCols, "e2m1-g16", 2);
  EXPECT_FALSE(pack(w, {best_isa(), Activations::kExact})->serves(kTokens));
  for (const Isa isa : every_isa()) {
    if (!machine_has(isa)) continue;
    SCOPED_TRACE(name_of(isa));
    const PackOptions fast = {isa, Activations::kInt8};
    const auto a = PackedLinear::pack(w, order, fast), b = pack(other, fast);
    ASSERT_TRUE(a->serves(kTokens));
    ASSERT_TRUE(b->serves(kTokens));
    std::vector<std::vector<float>> results;
    for (const int count : {1, 2, 5}) {
      ThreadPool threads(count);
      InputBlocks blocks;
      std::vector<float> y(static_cast<size_t>(kTokens * 133));
      const Reader readers[] = {{a.get(), bias.data(), y.data()}, {b.get(), nullptr, y.data() + kTokens * 100}};
      apply(readers, x.data(), kTokens, blocks, threads);
      results.push_back(y);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
    for (int64_t t = 0; t < kTokens; ++t) {
      const float* y = results[0].data();
      const std::vector<float> of_token(x.begin() + t * kCols, x.begin() + (t + 1) * kCols);
      std::vector<float> first(y + t * 100, y + (t + 1) * 100);
      for (size_t r = 0; r < 100; ++r) first[r] -= bias[r];
      expect_product(*w, order, of_token, first, 2e-2);
      const float* second = y + kTokens * 100 + t * 33;
      expect_product(*other, {}, of_token, {second, second + 33}, 2e-2);
    }
  }
}

/// Readers of one call, within 2e-2 of their products and with the same bits on any number of threads.
void expect_shared_call(const std::vector<std::string>& storages, int64_t tokens) {
  constexpr int64_t kRows = 303, kCols = 512;
  const std::vector<float> x = random_values(tokens * kCols, 5);
  std::vector<std::shared_ptr<const StoredMatrix>> matrices;
  std::vector<std::shared_ptr<const PackedLinear>> packed;
  for (const std::string& text : storages) {
    const auto matrix = testing::random_stored(text, kRows, kCols, 7);
    const auto own = PackedLinear::pack(matrix, {}, {best_isa(), Activations::kInt8});
    ASSERT_NE(own, nullptr) << text;
    // Only so do they share a call.
    EXPECT_EQ(own->frame() == nullptr, packed.empty() ? own->frame() == nullptr : packed[0]->frame() == nullptr);
    EXPECT_TRUE(tokens > kFewTokens || own->serves(tokens)) << text;
    if (own->serves(tokens)) matrices.push_back(matrix), packed.push_back(own);
  }
  std::vector<std::vector<float>> first;
  for (const int count : {1, 2, 5}) {
    ThreadPool threads(count);
    InputBlocks blocks;
    std::vector<std::vector<float>> y(packed.size(), std::vector<float>(static_cast<size_t>(tokens * kRows)));
    std::vector<Reader> readers;
    for (size_t i = 0; i < packed.size(); ++i) readers.push_back({packed[i].get(), nullptr, y[i].data()});
    if (!readers.empty()) apply(readers, x.data(), tokens, blocks, threads);
    if (first.empty()) first = y;
    EXPECT_EQ(y, first) << tokens << " tokens on " << count << " threads";
  }
  for (size_t i = 0; i < packed.size(); ++i) {
    for (int64_t t = 0; t < tokens; ++t) {
      const std::vector<float> own(x.begin() + t * kCols, x.begin() + (t + 1) * kCols);
      expect_product(*matrices[i], {}, own, {first[i].begin() + t * kRows, first[i].begin() + (t + 1) * kRows}, 2e-2);
    }
  }
}

// Around the numbers of tokens at which kernels change, with readers of different kinds that share a call's memory, and
// more rows than a piece has: those that a frame may surround, and those without one.
TEST(PackedLinear, SomeTokensByKernelsOfSeveralKindsOnAnyNumberOfThreads) {
  for (const int64_t tokens : {4, 5, 8, 9, 14, 15}) {
    expect_shared_call({"trellis2", "int4-g32+outliers0.02", "codebook3-row", "sign_rank1"}, tokens);
    expect_shared_call({"int8-g32", "affine4-g64", "e4m3-g32", "int3-g64-asym"}, tokens);
  }
}

// Levels are rounded to a 127th of the greatest as inputs are to theirs: half a step of either, within 2e-2 together.
TEST(PackedLinear, TablesThatAreNoIntegersAreRoundedWithTheirInputsAlone) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(192, 5);
  const auto w = random_matrix(64, 192, "nf4-g64", 1);
  EXPECT_EQ(pack(w, {best_isa(), Activations::kExact})->int_kernel(), nullptr);
  const auto packed = pack(w, {best_isa(), Activations::kInt8});
  ASSERT_NE(packed->int_kernel(), nullptr);
  std::vector<float> y(64);
  const Reader reader = {packed.get(), nullptr, y.data()};
  apply({&reader, 1}, x.data(), 1, blocks, threads);
  expect_product(*w, {}, x, y, 2e-2);
}

// Codes that are no finite number have no part in the step, nor in whether levels are integers.
TEST(PackedLinear, LevelsThatAreNoNumbersDoNotRoundTheOthers) {
  ThreadPool threads(2);
  InputBlocks blocks;
  const std::vector<float> x = random_values(192, 5);
  for (const auto& [format, integers] : {std::pair<std::string, bool>{"e2m1-ieee", true},
                                         {"table[-4;-3;-2;-1;0;1;2;3;4]", true},
                                         {"table[-1;-.71;-.43;-.2;0;.11;.3;.57;.81;1]", false}}) {
    const auto w = random_matrix(64, 192, format + "-g64", 1);
    const auto packed = pack(w, {best_isa(), Activations::kInt8});
    ASSERT_NE(packed, nullptr) << format;
    ASSERT_NE(packed->int_kernel(), nullptr) << format;
    EXPECT_EQ(packed->keeps_multiples(), integers) << format;
    std::vector<float> y(64);
    const Reader reader = {packed.get(), nullptr, y.data()};
    apply({&reader, 1}, x.data(), 1, blocks, threads);
    expect_product(*w, {}, x, y, 2e-2);
  }
}

TEST(PackedLinear, GroupsThatIntegersDoNotServeTakeTheInputAsItIs) {
  const auto packed = pack(random_matrix(8, 64, "int4-g6", 3), {best_isa(), Activations::kInt8});
  EXPECT_EQ(packed->int_kernel()->input, DotInput::kF32);
}

TEST(ChooseIsa, TheForcedOneRuns) {
  for (const Isa isa : every_isa()) {
    if (!machine_has(isa)) continue;
    const std::string name(name_of(isa));
    if (isa == Isa::kAvx512Bf16) {
      const auto packed = pack(random_bf16(8, 64), {choose_isa(name.c_str()), Activations::kInt8});
      ASSERT_NE(packed->bf16_kernel(), nullptr);
      EXPECT_EQ(packed->bf16_kernel()->isa, isa);
      EXPECT_THAT(packed->bf16_kernel()->name, ::testing::EndsWith(name));
      continue;
    }
    const auto packed = pack(random_matrix(8, 64, isa == Isa::kAvx512Vbmi ? "int3-g32" : "int4-g32", 3),
                             {choose_isa(name.c_str()), Activations::kExact});
    EXPECT_EQ(packed->int_kernel()->isa, isa);
    EXPECT_THAT(packed->int_kernel()->name, ::testing::EndsWith(isa == Isa::kV256 ? "v256" : name));
  }
}

TEST(ChooseIsa, WithoutANameTheBest) {
  EXPECT_EQ(choose_isa(nullptr), best_isa());
  EXPECT_EQ(choose_isa(""), best_isa());
}

TEST(ChooseIsa, AnUnknownNameIsRefusedAndTheAllowedAreNamed) {
  const std::string message = message_of(ErrorKind::kUsage, [] { choose_isa("sse9"); });
  EXPECT_THAT(message, ::testing::HasSubstr("BITLOOM_ISA=sse9"));
  EXPECT_THAT(message, ::testing::HasSubstr("portable"));
}

}  // namespace
}  // namespace bitloom
