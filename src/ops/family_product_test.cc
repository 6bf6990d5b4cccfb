// Base families with kernels of their own against their decoded rows.

#include "ops/family_product.h"

#include <gtest/gtest.h>

#include <cmath>

#include "format/families/codebook/codebook_matrix.h"
#include "format/families/partial/partial_storage.h"
#include "format/families/planes/planes_matrix.h"
#include "format/test_storage.h"
#include "ops/packed_linear.h"
#include "ops/test_matrix.h"

namespace bitloom {
namespace {

using testing::random_values;

/// Column codebooks of 1 to 8 bits, rows scaled.
std::shared_ptr<const StoredMatrix> random_columns(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, 3);
  std::vector<CodebookColumn> columns;
  for (int64_t c = 0; c < cols; ++c) {
    CodebookColumn column{
        static_cast<int>(c * 5 % 8) + 1, {}, random_values(1 << (c * 5 % 8 + 1), seed + static_cast<uint64_t>(c))};
    for (int64_t r = 0; r < rows; ++r)
      column.codes.push_back(static_cast<uint8_t>(rng.next_u32() % (1u << column.bits)));
    columns.push_back(std::move(column));
  }
  std::vector<std::vector<std::byte>> bytes = pack_columns(columns);
  std::vector<float> scales = random_values(rows, seed + 1);
  bytes.emplace_back(static_cast<size_t>(2 * rows));
  encode_from_f32(DType::kF16, scales.data(), rows, bytes.back().data());
  return stored_from_bytes("w", parse_storage("codebook4.5-col+frame-outscales"), rows, cols, std::move(bytes));
}

/// Binary planes with a tenth of their columns salient.
std::shared_ptr<const StoredMatrix> random_planes(const char* text, int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, 4);
  const Storage storage = parse_storage(text);
  const auto& planes = storage.base.get<PlanesStorage>();
  std::vector<uint8_t> codes, salient;
  for (int64_t i = 0; i < rows * cols; ++i) codes.push_back(static_cast<uint8_t>(rng.next_u32() % 4));
  for (int64_t c = 0; c < cols; ++c) salient.push_back(rng.next_u32() % 10 == 0 ? 1 : 0);
  const std::vector<float> scales(static_cast<size_t>(rows), level_scale(planes, 4));
  std::vector<PlaneLevels> levels;
  for (int64_t i = 0; i < rows * planes.blocks(cols); ++i) {
    const std::vector<float> v = random_values(7, seed + static_cast<uint64_t>(i));
    levels.push_back({v[0], v[1], v[2], v[3], v[4], v[5], v[6]});
    round_levels(planes, scales[0], levels.back());
  }
  return stored_from_bytes("w", storage, rows, cols, pack_planes(planes, rows, cols, codes, salient, levels, scales));
}

/// Signs with a tenth of the weights in 8 bits.
std::shared_ptr<const StoredMatrix> random_partial(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, 5);
  std::vector<uint8_t> mask, codes;
  for (int64_t i = 0; i < rows * cols; ++i) {
    mask.push_back(rng.next_u32() % 11 == 0 ? 1 : 0);
    codes.push_back(static_cast<uint8_t>(rng.next_u32() % (mask.back() != 0 ? 256 : 2)));
  }
  const std::vector<PartialScales> scales(static_cast<size_t>(rows), PartialScales{0.25f, 1, -2, 0.0625f});
  return stored_from_bytes("w", parse_storage("partial0.2"), rows, cols, pack_partial(rows, cols, mask, codes, scales));
}

std::vector<std::shared_ptr<const StoredMatrix>> every_matrix() {
  // Of more rows than one piece has (ops/packed_linear.cc), so that several threads share them.
  return {random_columns(400, 96, 1),
          random_planes("planes-g64-fp8", 120, 300, 2),
          random_planes("planes-g128-residual-zeromean", 400, 96, 3),
          random_partial(400, 99, 7),
          testing::random_stored("codebook3-row", 400, 96, 4),
          testing::random_stored("codebook2-g32+outliers0.05", 400, 96, 5),
          testing::random_stored("sign_rank1", 400, 320, 9),
          testing::random_stored("sign_rank1+outliers0.05", 400, 96, 10),
          testing::random_stored("codebook4-tensor", 400, 96, 6),
          testing::random_stored("aq2x8-g8", 800, 96, 7),
          testing::random_stored("aq3x8-g16+outliers0.05", 400, 104, 8),
          testing::random_stored("aq4x4-g8", 800, 96, 17),
          testing::random_stored("vq8-g4", 800, 600, 11),
          testing::random_stored("vq4-g2+outliers0.05", 400, 96, 12),
          testing::random_stored("vq2-g1", 300, 99, 13),
          testing::random_stored("vq5-g8-r16", 300, 90, 14),
          testing::random_stored("e8p", 400, 700, 15),
          testing::random_stored("e8p+frame-in32-out16", 400, 96, 16)};
}

TEST(FamilyProduct, AgreesWithDecodedRowsInAnyOrderOnAnyNumberOfThreads) {
  constexpr int64_t kTokens = 3;
  for (const auto& matrix : every_matrix()) {
    const int64_t rows = matrix->rows(), cols = matrix->cols();
    const std::vector<float> x = random_values(kTokens * cols, 5), dense = matrix->decode_all();
    std::vector<int64_t> order(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) order[static_cast<size_t>(r)] = r * 7 % rows;
    for (const Isa isa : every_isa()) {
      if (!machine_has(isa)) continue;
      for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
        const auto packed = PackedLinear::pack(matrix, order, {isa, activations});
        ASSERT_NE(packed, nullptr) << matrix->storage();
        ASSERT_NE(packed->family_product(), nullptr) << matrix->storage();
        std::vector<std::vector<float>> results;
        for (const int count : {1, 2, 5}) {
          ThreadPool threads(count);
          InputBlocks blocks;
          std::vector<float>& y = results.emplace_back(static_cast<size_t>(kTokens * rows));
          const Reader reader = {packed.get(), nullptr, y.data()};
          apply({&reader, 1}, x.data(), kTokens, blocks, threads);
        }
        EXPECT_EQ(results[0], results[1]);
        EXPECT_EQ(results[0], results[2]);
        for (int64_t t = 0; t < kTokens; ++t) {
          for (int64_t r = 0; r < rows; ++r) {
            double want = 0, size = 0;
            for (int64_t c = 0; c < cols; ++c) {
              const double product =
                  static_cast<double>(dense[static_cast<size_t>(order[static_cast<size_t>(r)] * cols + c)]) *
                  static_cast<double>(x[static_cast<size_t>(t * cols + c)]);
              want += product, size += std::abs(product);
            }
            // As in packed_linear_test.cc: 24 bits and fp32 sums; 16 bits of tables whose greatest
            // sums are some tens of a product; 8 bits of the input.
            const bool in_8_bits = matrix->storage().starts_with("sign_rank1");
            EXPECT_NEAR(results[0][static_cast<size_t>(t * rows + r)], want,
                        (activations == Activations::kExact ? 1e-5
                         : in_8_bits                        ? 2e-2
                                                            : 1e-3) *
                            size)
                << matrix->storage() << " " << name_of(isa) << " row " << r;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
