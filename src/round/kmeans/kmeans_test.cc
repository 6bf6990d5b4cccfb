#include "round/kmeans/kmeans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_data.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Normal weights, all of one size.
DenseMatrix alike(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, 78);
  std::vector<float> w;
  for (int64_t i = 0; i < rows * cols; ++i) w.push_back(static_cast<float>(rng.normal()));
  return {rows, cols, std::move(w)};
}

double squared_error(const DenseMatrix& w, const StoredMatrix& q) {
  const std::vector<float> a = w.decode_all(), b = q.decode_all();
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return total;
}

TEST(KMeansLevels, AreTheMeansOfTheClusters) {
  EXPECT_THAT(kmeans_levels({0, 1, 10, 11, 12, 100}, 4, 50), ElementsAre(0.5f, 10, 11.5f, 100));
  EXPECT_THAT(kmeans_levels({0, 1, 10, 11}, 2, 50), ElementsAre(0.5f, 10.5f));
  EXPECT_THAT(kmeans_levels({5}, 2, 50), ElementsAre(5, 5));
  EXPECT_THAT(kmeans_levels({-1, -1, -1, 3}, 2, 50), ElementsAre(-1, 3));
}

/// The best split of few values by trying all: k-means finds it where the clusters are plain.
TEST(KMeansLevels, FindThePlainOptimum) {
  const std::vector<float> values = {-4, -3.9f, -3.8f, 0, 0.1f, 0.2f, 7, 7.1f};
  const std::vector<float> levels = kmeans_levels(values, 3, 50);
  const auto error_of = [&](const std::vector<float>& table) {
    double total = 0;
    for (const float x : values) {
      double best = std::numeric_limits<double>::infinity();
      for (const float level : table) best = std::min(best, std::pow(static_cast<double>(x - level), 2));
      total += best;
    }
    return total;
  };
  double least = std::numeric_limits<double>::infinity();
  const auto mean = [&](size_t first, size_t last) {
    float sum = 0;
    for (size_t i = first; i < last; ++i) sum += values[i];
    return sum / static_cast<float>(last - first);
  };
  for (size_t a = 1; a < values.size(); ++a) {
    for (size_t b = a + 1; b < values.size(); ++b) {
      least = std::min(least, error_of({mean(0, a), mean(a, b), mean(b, values.size())}));
    }
  }
  EXPECT_NEAR(error_of(levels), least, 1e-4);  // levels are rounded to fp16: 2^-11 of 7, squared, eight times
}

/// Half of the columns with 2 bits and half with 3, the wider ones where it matters.
TEST(KMeans, GivesBitsToTheColumnsThatNeedThem) {
  DenseMatrix w = testing::normal_matrix(64, 10, 3);
  for (int64_t r = 0; r < 64; ++r) {
    for (const int64_t c : {1, 4, 5, 8, 9}) w.values()[static_cast<size_t>(r * 10 + c)] *= 10;
  }
  ThreadPool threads(2);
  const auto q = quantize_kmeans("w", w, parse_storage("codebook2.5-col"), {}, threads);
  const auto widths = q->find_part(".widths")->bytes;
  for (size_t c = 0; c < 10; ++c) {
    EXPECT_EQ(static_cast<int>(widths[c]), c == 1 || c == 4 || c == 5 || c == 8 || c == 9 ? 3 : 2) << c;
  }
  EXPECT_DOUBLE_EQ(q->nominal_bits(), 2.5);
  const double broken = squared_error(w, *q);
  EXPECT_LT(broken, squared_error(w, *quantize_kmeans("w", w, parse_storage("codebook2-col"), {}, threads)));
  EXPECT_GT(broken, squared_error(w, *quantize_kmeans("w", w, parse_storage("codebook3-col"), {}, threads)));
}

TEST(KMeans, MoreTablesErrLess) {
  const DenseMatrix w = alike(48, 96, 4);
  ThreadPool threads(2);
  const auto error = [&](const char* text) {
    RoundReport report;
    const auto q = quantize_kmeans("w", w, parse_storage(text), {}, threads, &report);
    q->check_values("w");
    double norm = 0;
    for (const float x : w.decode_all()) norm += static_cast<double>(x) * static_cast<double>(x);
    EXPECT_NEAR(report.weight_error, squared_error(w, *q) / norm, 1e-12) << text;
    return report.weight_error;
  };
  EXPECT_LT(error("codebook3-g32"), error("codebook3-row"));
  EXPECT_LT(error("codebook3-row"), error("codebook3-tensor"));
  EXPECT_LT(error("codebook3-col"), error("codebook3-tensor"));
  // Lloyd-Max: 8 levels for a normal distribution err by 0.03454 (Max, 1960), an optimum for this sample by less.
  EXPECT_NEAR(error("codebook3-tensor"), 0.0345, 0.002);
}

TEST(KMeans, ReservesTheLargest) {
  DenseMatrix w = testing::normal_matrix(100, 10, 5);
  w.values()[37] = 50, w.values()[900] = -60, w.values()[901] = 40;
  ThreadPool threads(2);
  Storage storage = parse_storage("codebook3-col+outliers0.003");
  const auto q = quantize_kmeans("w", w, storage, {}, threads);
  EXPECT_EQ(q->find_part(".outlier_values")->shape, std::vector<int64_t>{3});
  const std::vector<float> values = q->decode_all();
  // fp16 of what the base leaves: 2^-11 of it.
  EXPECT_NEAR(values[37], 50, 50 * 0x1p-11);
  EXPECT_NEAR(values[900], -60, 65 * 0x1p-11);
  EXPECT_NEAR(values[901], 40, 45 * 0x1p-11);
  storage.side = {};
  EXPECT_LT(squared_error(w, *q), squared_error(w, *quantize_kmeans("w", w, storage, {}, threads)));
}

TEST(KMeans, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = testing::normal_matrix(65, 33, 6);
  ThreadPool one(1), three(3);
  for (const char* text : {"codebook2.5-col+outliers0.01", "codebook3-g16", "codebook4-tensor"}) {
    const auto a = quantize_kmeans("w", w, parse_storage(text), {}, one);
    const auto b = quantize_kmeans("w", w, parse_storage(text), {}, three);
    ASSERT_EQ(a->parts().size(), b->parts().size());
    for (size_t i = 0; i < a->parts().size(); ++i) {
      EXPECT_TRUE(std::ranges::equal(a->parts()[i].bytes, b->parts()[i].bytes)) << text << a->parts()[i].suffix;
    }
  }
}

TEST(KMeans, RefusesWhatItCannotStore) {
  DenseMatrix w = testing::normal_matrix(4, 4, 7);
  ThreadPool threads(1);
  const auto refusal = [&] {
    return testing::message_of(ErrorKind::kRefused,
                               [&] { quantize_kmeans("file: w", w, parse_storage("codebook2-col"), {}, threads); });
  };
  w.values()[6] = 70000;
  EXPECT_THAT(refusal(), HasSubstr("file: w: weight [1, 2] is 70000, beyond fp16"));
  w.values()[6] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(), HasSubstr("weight [1, 2] is nan"));
  w.values()[6] = 0;
  EXPECT_THAT(
      testing::message_of(ErrorKind::kUsage, [&] { quantize_kmeans("w", w, parse_storage("int4-g32"), {}, threads); }),
      HasSubstr("k-means makes codebooks, not int4-g32"));
}

/// Few levels with masses, and others, go through loops of their own.
TEST(EncodeAndMove, DoesOneAfterTheOther) {
  Rng rng(6, 1);
  for (const size_t count : {2, 4, 8, 16, 32}) {
    for (const size_t n : {1, 7, 16, 533}) {
      std::vector<float> x, masses, levels;
      for (size_t k = 0; k < count; ++k) levels.push_back(static_cast<float>(rng.normal()));
      std::sort(levels.begin(), levels.end());
      // Some lie on a bound, which is the lower level's, or beyond all.
      for (size_t i = 0; i < n; ++i) {
        const float far = static_cast<float>((i % 7 == 0 ? 1e4 : 1) * rng.normal());
        x.push_back(i % 5 == 0 ? (levels[0] + levels[1]) / 2 : far);
        masses.push_back(static_cast<float>(rng.uniform()));
      }
      std::vector<uint8_t> left_out(n, 0), codes(n), expected_codes(n);
      left_out[n / 2] = 1;
      for (const bool weighted : {false, true}) {
        for (const bool leaves_out : {false, true}) {
          const std::vector<float> m = weighted ? masses : std::vector<float>{};
          const std::vector<uint8_t> out = leaves_out ? left_out : std::vector<uint8_t>{};
          std::vector<float> moved = levels, expected = levels;
          encode_and_move(x.data(), m, out, moved, codes);
          encode_levels(levels, x.data(), static_cast<int64_t>(n), expected_codes.data());
          move_levels(x.data(), expected_codes, m, out, expected);
          EXPECT_EQ(codes, expected_codes) << count << " levels, " << n << " weights";
          for (size_t k = 0; k < count; ++k) {
            EXPECT_NEAR(moved[k], expected[k], 0x1p-10f * std::abs(expected[k]) + 0x1p-24f) << count << " levels";
          }
          std::vector<float> decoded(n);
          decode_levels(moved, codes.data(), static_cast<int64_t>(n), decoded.data());
          for (size_t i = 0; i < n; ++i) ASSERT_EQ(decoded[i], moved[codes[i]]) << i;
        }
      }
    }
  }
}

TEST(MoveLevels, ToTheMeansOfWhatTheyStandFor) {
  Rng rng(5, 1);
  for (const size_t count : {2, 4, 8}) {
    for (const size_t n : {1, 7, 8, 533}) {
      std::vector<float> x, masses;
      std::vector<uint8_t> codes;
      for (size_t i = 0; i < n; ++i) {
        x.push_back(static_cast<float>(rng.normal())), masses.push_back(static_cast<float>(rng.uniform()));
        codes.push_back(static_cast<uint8_t>(static_cast<double>(count) * rng.uniform()));
      }
      std::vector<uint8_t> left_out(n, 0);
      left_out[n / 2] = 1;
      for (const bool weighted : {false, true}) {
        for (const bool leaves_out : {false, true}) {
          std::vector<float> levels(count, 100.0f);
          move_levels(x.data(), codes, weighted ? masses : std::vector<float>{},
                      leaves_out ? left_out : std::vector<uint8_t>{}, levels);
          for (size_t k = 0; k < count; ++k) {
            double mass = 0, sum = 0;
            for (size_t i = 0; i < n; ++i) {
              if (codes[i] != k || (leaves_out && left_out[i] != 0)) continue;
              const double own = weighted ? static_cast<double>(masses[i]) : 1.0;
              mass += own, sum += own * static_cast<double>(x[i]);
            }
            // A number of fp16, of which the nearest may be another one's where sums are added up in another order.
            const double expected = mass > 0 ? sum / mass : 100;
            EXPECT_NEAR(static_cast<double>(levels[k]), expected, 0x1p-10 * std::abs(expected) + 0x1p-24)
                << count << " levels, " << n << " weights, " << weighted << leaves_out << ", level " << k;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
