#include "tune/learned/parametrisation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>
#include <utility>

#include "base/memory/dense_matrix.h"
#include "tune/learned/test_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 80, kCols = 45;  // more than a panel's rows; no multiple of a group's columns

using testing::normal_numbers;
using testing::pointers_to;

std::shared_ptr<const StoredMatrix> rounded(const std::string& text, int64_t cols, ThreadPool& threads) {
  return testing::rounded_matrix(text, kRows, normal_numbers(kRows * cols, 1), threads);
}

/// sum G W of the matrix as it is stored with these values.
double product(const std::shared_ptr<const StoredMatrix>& matrix, const Parametrisation& parts,
               const std::vector<std::vector<float>>& values, const std::vector<float>& g) {
  std::vector<float> w;
  if (!parts.parts().back().to_stored) {
    w = parts.store("w", matrix, pointers_to(values))->decode_all();
  } else {  // which would be rounded once more
    ThreadPool threads(1);
    w = parts.unscaled(pointers_to(values), threads);
    for (int64_t r = 0; r < kRows; ++r) parts.scale_row(pointers_to(values), r, w.data() + r * matrix->cols());
  }
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(g[i]) * static_cast<double>(w[i]);
  return sum;
}

class ParametrisationOf : public ::testing::TestWithParam<const char*> {};

// W is linear in each part, so <G, W> changes by the gradient times what the part has moved, but for fp32 rounding of
// W: sqrt(80 * 45) numbers of some 2^-24 each.
TEST_P(ParametrisationOf, GradientsAreWhatTheStoredMatrixChangesBy) {
  ThreadPool threads(2);
  const std::string text = GetParam();
  const int64_t cols = text.find("frame") == text.npos ? kCols : 48;
  const auto matrix = rounded(text, cols, threads);
  const auto parts = parametrise("w", matrix, Learned::kAll);
  ASSERT_NE(parts, nullptr);
  std::vector<std::vector<float>> start;
  for (const LearnedPart& part : parts->parts()) start.push_back(part.start);
  const std::vector<float> g = normal_numbers(kRows * cols, 2);

  std::vector<float> w = parts->unscaled(pointers_to(start), threads);
  const std::vector<float> v = w;
  for (int64_t r = 0; r < kRows; ++r) parts->scale_row(pointers_to(start), r, w.data() + r * cols);
  EXPECT_EQ(w, matrix->decode_all());

  std::vector<std::vector<double>> gradients;
  Parametrisation::Sums sums;
  for (const std::vector<float>& of : start) gradients.emplace_back(of.size());
  for (std::vector<double>& of : gradients) sums.push_back(of.data());
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{64, 16}, {0, 64}}) {
    parts->add_gradient(pointers_to(start), {begin, count, g.data() + begin * cols}, v.data() + begin * cols, sums);
  }
  const double before = product(matrix, *parts, start, g);
  for (size_t p = 0; p < start.size(); ++p) {
    std::vector<std::vector<float>> moved = start;
    double expected = 0, size = 0;
    for (size_t i = 0; i < start[p].size(); ++i) {
      // Twice as much or as it is: fp16 numbers both, and of a factor, all of a component, what its storage has.
      const size_t unit = i / (parts->parts()[p].to_stored ? start[p].size() / 3 : 1);
      const bool moves = (unit * 2654435761u >> 16 & 1) != 0;
      moved[p][i] = moves ? 2 * start[p][i] : start[p][i];
      expected += gradients[p][i] * (static_cast<double>(moved[p][i]) - static_cast<double>(start[p][i]));
      size += std::abs(gradients[p][i] * static_cast<double>(start[p][i]));
    }
    EXPECT_GT(size, 1);
    EXPECT_NEAR(product(matrix, *parts, moved, g) - before, expected, 1e-5 * size) << parts->parts()[p].suffix;
  }
}

INSTANTIATE_TEST_SUITE_P(Storages, ParametrisationOf,
                         ::testing::Values("aq2x4-g8", "aq1x3-g5", "int3-g16", "int4-g16-asym", "nf4-row",
                                           "int4-tensor", "int4-block16x8", "affine3-g16", "int3-g16+lowrank3-int8-row",
                                           "int4-g16+frame-in16-out16-inscales-outscales",
                                           "int4-g16+frame-out8-outscales"),
                         [](const auto& storage) {
                           std::string name = storage.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

// W comes of what is stored for the factors, to the bit.
TEST(Parametrisation, FactorsAreThoseThatAreStored) {
  ThreadPool threads(2);
  const auto matrix = rounded("int2-g16-asym+lowrank3-int8-row", 48, threads);
  const auto parts = parametrise("w", matrix, Learned::kAll);
  ASSERT_EQ(parts->parts().size(), 3u);
  std::vector<std::vector<float>> values, used;
  for (const LearnedPart& part : parts->parts()) {
    values.push_back(part.start);
    const std::vector<float> noise = normal_numbers(static_cast<int64_t>(part.start.size()), 4);
    for (size_t i = 0; part.to_stored && i < noise.size(); ++i) values.back()[i] += 0.1f * noise[i];
    used.push_back(values.back());
    if (!part.to_stored) continue;
    part.to_stored(used.back());
    EXPECT_NE(used.back(), values.back()) << part.suffix;
  }
  std::vector<float> w = parts->unscaled(pointers_to(used), threads);
  for (int64_t r = 0; r < kRows; ++r) parts->scale_row(pointers_to(used), r, w.data() + r * 48);
  const auto stored = parts->store("w", matrix, pointers_to(values));
  stored->check_values("w");
  EXPECT_EQ(stored->decode_all(), w);
}

TEST(Parametrisation, BasesAreLearnedOnlyWhereAsked) {
  ThreadPool threads(1);
  const auto matrix = rounded("aq2x4-g8", kCols, threads);
  EXPECT_EQ(parametrise("w", matrix, Learned::kFrames), nullptr);
  EXPECT_EQ(learned_size(matrix->spec(), kRows, kCols, Learned::kFrames).values, 0);
  EXPECT_EQ(parametrise("w", rounded("mxfp4", 64, threads), Learned::kAll), nullptr) << "powers of two";
}

TEST(Parametrisation, SizesAreAnnounced) {
  ThreadPool threads(1);
  for (const char* text : {"aq2x4-g8", "int3-g16", "int4-tensor", "affine3-g16", "int3-g16+lowrank3-int8-row",
                           "int4-g16+frame-in16-inscales-outscales"}) {
    const auto matrix = rounded(text, 48, threads);
    int64_t values = 0;
    const auto learned = parametrise("w", matrix, Learned::kAll);
    for (const LearnedPart& part : learned->parts()) {
      values += static_cast<int64_t>(part.start.size());
    }
    EXPECT_EQ(learned_size(matrix->spec(), kRows, 48, Learned::kAll).values, values) << text;
  }
}

/// Rows of one number, which remembers what was decoded together.
class WatchedRows final : public RowSource {
 public:
  explicit WatchedRows(int64_t rows) : rows_(rows) {}
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return 1; }
  int64_t stored_bytes() const override { return 0; }
  std::string storage() const override { return "watched"; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    together.emplace(begin, end);
    for (int64_t r = begin; r < end; ++r) *out++ = static_cast<float>(r);
  }
  mutable std::set<std::pair<int64_t, int64_t>> together;

 private:
  int64_t rows_;
  mutable std::mutex mutex_;
};

TEST(DecodePieces, DecodesWholePiecesOnce) {
  ThreadPool threads(2);
  const WatchedRows rows(1000);
  std::vector<float> out(488);
  decode_pieces(rows, 512, 1000, 256, out.data(), threads);
  EXPECT_EQ(rows.together, (std::set<std::pair<int64_t, int64_t>>{{512, 768}, {768, 1000}}));
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], static_cast<float>(512 + i));
}

TEST(DecodePieces, WavesAreOfWholePieces) {
  for (const int64_t piece : {64, 96, 512, 2048}) {
    const int64_t wave = rows_of_wave(piece);
    EXPECT_EQ(wave % piece, 0) << piece;
    EXPECT_LE(wave, std::max(piece, kGradientWave * kGradientPanel)) << piece;
    EXPECT_GT(wave, kGradientWave * kGradientPanel - piece) << piece;
  }
}

// A block of a rotation of rows is decoded as a whole, so pieces are blocks.
TEST(DecodePieces, ArePiecesOfARotation) {
  ThreadPool threads(2);
  EXPECT_EQ(piece_of(*dense_matrix(kRows, kCols, normal_numbers(kRows * kCols, 1))), 64);
  const auto matrix = testing::rounded_matrix("int8-row+frame-out128", 256, normal_numbers(256 * 16, 1), threads);
  EXPECT_EQ(piece_of(*matrix), 128);
  EXPECT_EQ(decode_dense(*matrix, piece_of(*matrix), threads), matrix->decode_all());
}

}  // namespace
}  // namespace bitloom
