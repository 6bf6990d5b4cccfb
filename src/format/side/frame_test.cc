#include "format/side/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/test_data.h"
#include "format/test_storage.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

/// Q [n, n] in fp64 by its definition; the identity for no rotation.
std::vector<double> dense(const BlockRotation* q, int64_t n) {
  std::vector<double> m(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    if (q == nullptr) {
      m[static_cast<size_t>(i * n + i)] = 1;
      continue;
    }
    std::vector<float> unit(static_cast<size_t>(n));
    unit[static_cast<size_t>(i)] = 1;
    q->rotate(unit.data(), 0, n, 1);
    const int64_t b = q->block(), first = i / b * b;
    const double sign = unit[static_cast<size_t>(first)] > 0 ? 1 : -1;  // Sylvester's first row is positive
    for (int64_t r = first; r < first + b; ++r) {
      const int shared = std::popcount(static_cast<uint64_t>((r - first) & (i - first)));
      const double entry =
          !std::has_single_bit(static_cast<uint64_t>(b))
              ? std::copysign(1.0, unit[static_cast<size_t>(r)])  // base/hadamard/walsh_hadamard_test.cc
              : (shared % 2 == 0 ? sign : -sign);
      m[static_cast<size_t>(r * n + i)] = entry / std::sqrt(static_cast<double>(b));
    }
  }
  return m;
}

/// The vector of a part in fp64; ones when it is not there.
std::vector<double> scales_of(const StoredMatrix& matrix, const std::string& suffix, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n), 1.0f);
  if (const TensorPart* part = matrix.find_part(suffix)) {
    decode_to_f32(DType::kF16, part->bytes.data(), 0, n, values.data());
  }
  return {values.begin(), values.end()};
}

/// D_O Q_O^T W~ Q_I D_I in fp64, and the same of absolute values.
struct Framed {
  std::vector<double> value, magnitude;
};
Framed framed(const StoredMatrix& matrix) {
  const FrameStorage& frame = matrix.spec().side.frame;
  const int64_t rows = matrix.rows(), cols = matrix.cols();
  const BlockRotation in = in_rotation(frame, cols), out = out_rotation(frame, rows);
  const std::vector<double> q_in = dense(frame.in_block > 0 ? &in : nullptr, cols);
  const std::vector<double> q_out = dense(frame.out_block > 0 ? &out : nullptr, rows);
  const std::vector<double> d_in = scales_of(matrix, ".in_scales", cols),
                            d_out = scales_of(matrix, ".out_scales", rows);
  const std::vector<float> w = testing::base_of(matrix)->decode_all();
  const auto at = [](int64_t r, int64_t c, int64_t n) { return static_cast<size_t>(r * n + c); };
  std::vector<double> half(w.size()), half_magnitude(w.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < cols; ++k) {
      for (int64_t c = 0; c < cols; ++c) {
        const double term = w[at(r, k, cols)] * q_in[at(k, c, cols)] * d_in[static_cast<size_t>(c)];
        half[at(r, c, cols)] += term, half_magnitude[at(r, c, cols)] += std::abs(term);
      }
    }
  }
  Framed result{std::vector<double>(w.size()), std::vector<double>(w.size())};
  for (int64_t k = 0; k < rows; ++k) {
    for (int64_t r = 0; r < rows; ++r) {
      const double factor = d_out[static_cast<size_t>(r)] * q_out[at(k, r, rows)];
      for (int64_t c = 0; c < cols; ++c) {
        result.value[at(r, c, cols)] += factor * half[at(k, c, cols)];
        result.magnitude[at(r, c, cols)] += std::abs(factor) * half_magnitude[at(k, c, cols)];
      }
    }
  }
  return result;
}

// Each side: log2(b) sums, two products and a rounded 1/sqrt(b), each wrong by 2^-24 of the terms' absolute sum; blocks
// here are no larger than 2^5, or all of 40 = 2 x 20, which take 21 sums.
TEST(Frame, EqualsTheDenseFormula) {
  for (const std::string frame : {"in16", "out16", "in32-out4-seed7", "infull", "infull-out8-seed2", "inscales",
                                  "outscales", "in8-out8-seed1-inscales-outscales"}) {
    for (const std::string base : {"int4-g8", "codebook3-row", "nf4-row"}) {
      for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{24, 40}, {32, 32}, {7, 16}, {1, 8}}) {
        const auto matrix = testing::random_stored(base + "+frame-" + frame, rows, cols, 3);
        const Framed want = framed(*matrix);
        const std::vector<float> all = matrix->decode_all();
        for (size_t i = 0; i < all.size(); ++i) {
          ASSERT_NEAR(all[i], want.value[i], 2 * (21 + 3 + 1) * 0x1p-24 * want.magnitude[i]) << frame << base << i;
        }
      }
    }
  }
}

TEST(Frame, WithOnesForScalesIsNone) {
  const Storage storage = parse_storage("int4-g8+frame-inscales-outscales");
  auto bytes = testing::random_parts(storage, 8, 16, 3);
  for (size_t part : {2, 3}) {
    for (size_t i = 0; i < bytes[part].size(); i += 2)
      bytes[part][i] = std::byte{0}, bytes[part][i + 1] = std::byte{0x3C};
  }
  const auto matrix = stored_from_bytes("w", storage, 8, 16, bytes);
  EXPECT_EQ(matrix->decode_all(), testing::base_of(*matrix)->decode_all());
}

TEST(Frame, AnyRunOfRowsHasTheSameBits) {
  const auto matrix = testing::random_stored("int4-g8+frame-in8-out8-outscales", 24, 16, 3);
  const std::vector<float> all = matrix->decode_all();
  for (int64_t begin = 0; begin <= 24; ++begin) {
    for (int64_t end = begin; end <= 24; ++end) {
      std::vector<float> rows(static_cast<size_t>((end - begin) * 16));
      matrix->decode_rows(begin, end, rows.data());
      ASSERT_EQ(rows, std::vector<float>(all.begin() + begin * 16, all.begin() + end * 16)) << begin << " " << end;
    }
  }
}

TEST(Frame, Bits) {
  const auto matrix = testing::random_stored("int4-row+frame-in8-out8-inscales-outscales", 16, 32, 3);
  const auto base = testing::base_of(*matrix);
  EXPECT_DOUBLE_EQ(matrix->nominal_bits(), base->nominal_bits() + 16.0 / 16 + 16.0 / 32);
  EXPECT_DOUBLE_EQ(nominal_bits(matrix->spec(), 16, 32), matrix->nominal_bits());
  EXPECT_EQ(matrix->stored_bytes(), base->stored_bytes() + 2 * (16 + 32));
  EXPECT_TRUE(has_fixed_sizes(matrix->spec()));
}

TEST(Frame, RefusesAndFindsWhatMeansNothing) {
  const Storage storage = parse_storage("int4-row+frame-in8-inscales");
  auto bytes = testing::random_parts(storage, 8, 16, 3);
  bytes[2][5] = std::byte{0x7C}, bytes[2][4] = std::byte{0};
  const auto matrix = stored_from_bytes("w", storage, 8, 16, bytes);
  EXPECT_EQ(message_of(ErrorKind::kUnverified, [&] { matrix->check_values("w"); }),
            "w.in_scales: [2] is inf, must be finite");
  bytes[2].resize(30);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 8, 16, bytes); }),
            "w.in_scales: shape is [15], frame-in8-inscales needs [16]");
}

TEST(Frame, SpellingsComeBack) {
  for (const char* text :
       {"frame-in8", "frame-infull", "frame-infull-out16-seed3-outscales", "frame-in4096-inscales"}) {
    EXPECT_EQ(to_string(parse_frame(text, text)), text);
  }
}

TEST(Frame, MessagesSayWhatIsAllowed) {
  const std::pair<const char*, const char*> cases[] = {
      {"frame", "needs one of -inN -outN -inscales -outscales"},
      {"frames-in8", "should be +frame"},
      {"frame-in", "\"-in\" in \"int4+frame-in\" should be -inN (a power of two from 2 to 4096, or full)"},
      {"frame-in3", "should be -inN (a power"},
      {"frame-out1", "should be -outN (a power"},
      {"frame-outfull", "should be -outN (a power of two from 2 to 4096)"},
      {"frame-in8192", "should be -inN (a power"},
      {"frame-in8-in8", "\"-in8\" in \"int4+frame-in8-in8\" repeats or contradicts"},
      {"frame-seed3", "needs one of"},
      {"frame-seed3-inscales", "\"-seed3\" in \"int4+frame-seed3-inscales\" is for rotations"},
      {"frame-in8-seed-1", "should be -seedS (an integer from 0)"},
      {"frame-inscales-inscales", "repeats or contradicts"},
      {"frame-up8", "unknown option \"-up8\" in \"int4+frame-up8\"; options are -inN -outN -seedS"},
  };
  for (const auto& [frame, expected] : cases) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_storage(std::string("int4+") + frame); }),
                HasSubstr(expected));
  }
}

}  // namespace
}  // namespace bitloom
