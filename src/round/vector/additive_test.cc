// The parts that additive codes are found by, each against its definition.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "format/families/vector/vector_storage.h"
#include "round/vector/continuous_fit.h"
#include "round/vector/residual_kmeans.h"
#include "round/vector/search/code_search.h"

namespace bitloom {
namespace {

/// A matrix, the moment of inputs whose neighbours go together, and additive codes that are still poor.
struct Problem {
  LayerMoment moment;
  std::vector<float> w;
  AdditiveCode code;
  ThreadPool threads{1};

  Problem(const char* storage, int64_t rows, int64_t groups, bool with_data = true, uint64_t seed = 1) {
    const VectorStorage s = parse_vector(storage);
    Rng rng(seed, 3);
    const int64_t width = groups * s.group;
    moment.width = width;
    for (int64_t i = 0; i < rows * width; ++i) w.push_back(static_cast<float>(0.1 * rng.normal()));
    if (with_data) add_moment(rng);
    code = start_codes(s, rows, groups, w, {}, threads);
  }
  /// The mean of x x^T over thrice as many tokens as channels.
  void add_moment(Rng& rng) {
    const auto n = static_cast<size_t>(moment.width), tokens = 3 * n;
    std::vector<double> x(n), h(n * n);
    for (size_t token = 0; token < tokens; ++token) {
      for (size_t c = 0; c < n; ++c) x[c] = rng.normal() + (c == 0 ? 0 : 0.8 * x[c - 1]);
      for (size_t a = 0; a < n; ++a) {
        for (size_t b = 0; b < n; ++b) h[a * n + b] += x[a] * x[b] / static_cast<double>(tokens);
      }
    }
    moment.h.assign(h.begin(), h.end());
  }

  std::vector<float> residual() { return residual_of(code); }
  std::vector<float> residual_of(const AdditiveCode& some) {
    std::vector<float> e(w.size()), r(w.size());
    find_residual(some, moment, w, e, r, threads);
    return r;
  }
  std::vector<double> losses() {
    std::vector<float> e(w.size()), r(w.size());
    return find_residual(code, moment, w, e, r, threads);
  }
  double loss() { return total(losses()); }
};

/// tr(E H E^T) from its definition, in fp64.
double plain_loss(const Problem& p) {
  const auto width = static_cast<size_t>(p.code.width());
  double loss = 0;
  std::vector<float> sum(width);
  for (int64_t r = 0; r < p.code.rows; ++r) {
    sum_of_vectors(p.code, p.code.codebooks, r, sum.data());
    const auto e = [&](size_t c) {
      return static_cast<double>(p.code.scales[static_cast<size_t>(r)]) * static_cast<double>(sum[c]) -
             static_cast<double>(p.w[static_cast<size_t>(r) * width + c]);
    };
    for (size_t a = 0; a < width; ++a) {
      for (size_t b = 0; b < width; ++b) {
        loss += e(a) * static_cast<double>(p.moment.at(static_cast<int64_t>(a), static_cast<int64_t>(b))) * e(b);
      }
    }
  }
  return loss;
}

TEST(AdditiveCode, LossIsThatOfItsDefinition) {
  for (const bool with_data : {true, false}) {
    Problem p("aq2x4-g8", 20, 6, with_data);
    EXPECT_NEAR(p.loss(), plain_loss(p), 1e-4 * plain_loss(p));
  }
}

// Rows of equal size made of four vectors and their negatives: a codebook of 64 starts from all eight.
TEST(ResidualKMeans, FindsVectorsThatAreThere) {
  const VectorStorage s = parse_vector("aq1x6-g4");
  const float vectors[4][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};
  std::vector<float> w;
  Rng rng(7, 7);
  for (int i = 0; i < 64 * 8; ++i) {
    const float sign = rng.uniform() < 0.5f ? -1.0f : 1.0f;
    for (const float x : vectors[rng.next_u32() % 4]) w.push_back(sign * x);
  }
  ThreadPool threads(1);
  const AdditiveCode code = start_codes(s, 64, 8, w, {}, threads);
  std::vector<float> e(w.size()), r(w.size());
  EXPECT_LT(total(find_residual(code, {32, {}}, w, e, r, threads)), 1e-6 * static_cast<double>(w.size()));
}

TEST(ResidualKMeans, EachCodebookTakesWhatIsLeft) {
  const std::vector<const char*> storages = {"aq1x6-g8", "aq2x6-g8", "aq3x6-g8"};
  double before = 1;
  for (const char* storage : storages) {
    Problem p(storage, 100, 12, false);
    double norm = 0;
    for (const float x : p.w) norm += static_cast<double>(x) * static_cast<double>(x);
    const double error = p.loss() / norm;
    EXPECT_LT(error, 0.75 * before) << storage;
    before = error;
  }
}

TEST(ResidualKMeans, RowsOfZerosHaveNoScale) {
  const VectorStorage s = parse_vector("aq2x4-g8");
  std::vector<float> w(3 * 16, 0.0f);
  for (size_t i = 0; i < 16; ++i) w[i] = static_cast<float>(i);
  ThreadPool threads(1);
  const AdditiveCode code = start_codes(s, 3, 2, w, {}, threads);
  EXPECT_GT(code.scales[0], 0);
  EXPECT_EQ(code.scales[1], 0);
  for (const float x : code.codebooks) EXPECT_TRUE(std::isfinite(x));
}

// 18 groups of 8 are more than a block.
TEST(CodeSearch, EqualsTheDefinition) {
  for (const char* storage : {"aq2x4-g8", "aq1x5-g8", "aq3x2-g8"}) {
    for (const int64_t beam : {1, 3}) {
      for (const bool with_data : {true, false}) {
        Problem p(storage, 2, 18, with_data);
        const SweepOrder order = random_order(p.code, 5, 0);
        AdditiveCode expected = p.code;
        sweep_codes_reference(expected, p.moment, order, beam, p.w);
        std::vector<float> residual = p.residual();
        sweep_codes(p.code, p.moment, order, {beam}, residual, p.threads);
        EXPECT_EQ(p.code.codes, expected.codes) << storage << " beam " << beam << " data " << with_data;
      }
    }
  }
}

TEST(CodeSearch, NoRowsLossRisesAndTheBooksAreRight) {
  for (const char* storage : {"aq2x8-g8", "aq1x6-g4", "aq4x4-g8", "aq2x5-g16"}) {
    for (const int64_t beam : {1, 4}) {
      Problem p(storage, 70, 24);
      std::vector<float> residual = p.residual();
      for (int64_t sweep = 0; sweep < 2; ++sweep) {
        const std::vector<double> before = p.losses();
        const std::vector<double> changes =
            sweep_codes(p.code, p.moment, random_order(p.code, 0, sweep), {beam}, residual, p.threads);
        const std::vector<double> after = p.losses();
        for (size_t r = 0; r < after.size(); ++r) {
          EXPECT_LE(after[r], before[r] * (1 + 1e-6)) << storage;
          EXPECT_NEAR(before[r] + changes[r], after[r], 1e-4 * before[r]) << storage;
        }
        EXPECT_LT(total(after), (sweep == 0 ? 0.8 : 1.0) * total(before)) << storage;
      }
      const std::vector<float> exact = p.residual();
      float most = 0, off = 0;
      for (size_t i = 0; i < exact.size(); ++i) {
        most = std::max(most, std::abs(exact[i])), off = std::max(off, std::abs(exact[i] - residual[i]));
      }
      EXPECT_LT(off, 1e-4f * most) << storage;
    }
  }
}

// One codebook, two groups: a beam of all vectors tries all pairs.
TEST(CodeSearch, WithAllHypothesesIsExhaustive) {
  Problem p("aq1x3-g2", 40, 2);
  std::vector<float> residual = p.residual();
  sweep_codes(p.code, p.moment, random_order(p.code, 0, 0), {8}, residual, p.threads);
  const std::vector<double> found = p.losses();
  std::vector<double> best(found.size(), 1e30);
  for (uint16_t a = 0; a < 8; ++a) {
    for (uint16_t b = 0; b < 8; ++b) {
      for (size_t r = 0; r < best.size(); ++r) p.code.codes[2 * r] = a, p.code.codes[2 * r + 1] = b;
      const std::vector<double> losses = p.losses();
      for (size_t r = 0; r < best.size(); ++r) best[r] = std::min(best[r], losses[r]);
    }
  }
  for (size_t r = 0; r < best.size(); ++r) EXPECT_NEAR(found[r], best[r], 1e-5 * best[r]);
}

TEST(CodeSearch, AWiderBeamFindsLess) {
  Problem narrow("aq2x6-g8", 100, 20), wide("aq2x6-g8", 100, 20);
  std::vector<float> a = narrow.residual(), b = wide.residual();
  for (int64_t sweep = 0; sweep < 3; ++sweep) {
    sweep_codes(narrow.code, narrow.moment, random_order(narrow.code, 0, sweep), {1}, a, narrow.threads);
    sweep_codes(wide.code, wide.moment, random_order(wide.code, 0, sweep), {4}, b, wide.threads);
  }
  EXPECT_LT(wide.loss(), 0.95 * narrow.loss());
}

TEST(CodeSearch, SameCodesForAnyNumberOfThreads) {
  Problem one("aq2x8-g8", 200, 20), many("aq2x8-g8", 200, 20);
  ThreadPool threads(5);
  std::vector<float> a = one.residual(), b = a;
  sweep_codes(one.code, one.moment, random_order(one.code, 0, 0), {4}, a, one.threads);
  sweep_codes(many.code, many.moment, random_order(many.code, 0, 0), {4}, b, threads);
  EXPECT_EQ(one.code.codes, many.code.codes);
  EXPECT_EQ(a, b);
}

/// 4096 normal vectors in 64 cells, no two alike, and codes that have nothing to do with the weights.
void take_large_codebook(Problem& p) {
  Rng rng(6, 6);
  for (float& c : p.code.codebooks) c = static_cast<float>(rng.normal());
  for (uint16_t& code : p.code.codes) code = static_cast<uint16_t>(rng.next_u32() % 4096);
}

TEST(CodeSearch, OfAllCellsIsExhaustive) {
  for (const bool with_data : {true, false}) {
    Problem p("aq1x12-g8", 100, 18, with_data);
    take_large_codebook(p);
    ASSERT_TRUE(searches_cells(p.code.storage, 64));
    AdditiveCode all = p.code, cells = p.code;
    std::vector<float> a = p.residual(), b = a;
    ThreadPool threads(1);
    const SweepOrder order = random_order(p.code, 0, 0);
    sweep_codes(all, p.moment, order, {.beam = 3}, a, threads);
    sweep_codes(cells, p.moment, order, {.beam = 3, .probes = 64}, b, threads);
    EXPECT_EQ(all.codes, cells.codes) << with_data;
    EXPECT_EQ(a, b) << with_data;
  }
}

TEST(CodeSearch, InCellsNoRowsLossRisesAndLittleIsMissed) {
  Problem p("aq1x12-g8", 100, 16);
  take_large_codebook(p);
  const AdditiveCode start = p.code;
  const std::vector<double> before = p.losses();
  const auto sweep = [&](const CodeSearch& search) {
    p.code = start;
    std::vector<float> residual = p.residual();
    const std::vector<double> changes =
        sweep_codes(p.code, p.moment, random_order(p.code, 0, 0), search, residual, p.threads);
    const std::vector<double> after = p.losses();
    for (size_t r = 0; r < after.size(); ++r) {
      EXPECT_LE(after[r], before[r] * (1 + 1e-6));
      EXPECT_NEAR(before[r] + changes[r], after[r], 1e-4 * before[r]);
    }
    return total(after);
  };
  const double all = sweep({.beam = 2}), cells = sweep({.beam = 2, .probes = 16});
  EXPECT_LT(cells, 1.01 * all);
  EXPECT_GT(sweep({.beam = 2, .probes = 1}), 1.01 * all) << "cells that are not looked at hold better vectors";
}

TEST(CodeSearch, InCellsSameCodesForAnyNumberOfThreads) {
  Problem p("aq1x12-g8", 200, 20);
  take_large_codebook(p);
  AdditiveCode one = p.code, many = p.code;
  ThreadPool alone(1), threads(5);
  std::vector<float> a = p.residual(), b = a;
  const SweepOrder order = random_order(p.code, 0, 0);
  sweep_codes(one, p.moment, order, {.beam = 4, .probes = 8}, a, alone);
  sweep_codes(many, p.moment, order, {.beam = 4, .probes = 8}, b, threads);
  EXPECT_EQ(one.codes, many.codes);
  EXPECT_EQ(a, b);
}

TEST(ResidualKMeans, InCellsIsAsNear) {
  const VectorStorage s = parse_vector("aq1x12-g8");
  std::vector<float> w;
  Rng rng(7, 8);
  for (int i = 0; i < 500 * 256; ++i) w.push_back(static_cast<float>(rng.normal()));
  ThreadPool threads(1);
  const auto loss = [&](int64_t probes) {
    const AdditiveCode code = start_codes(s, 500, 32, w, {.iterations = 3, .probes = probes}, threads);
    std::vector<float> e(w.size()), r(w.size());
    return total(find_residual(code, {256, {}}, w, e, r, threads));
  };
  const double all = loss(0);
  EXPECT_NEAR(loss(16), all, 0.002 * all);
  EXPECT_EQ(loss(64), all);
}

TEST(SweepOrder, VisitsAllOnceAndDependsOnTheSeed) {
  const Problem p("aq3x2-g4", 2, 50, false);
  const SweepOrder order = random_order(p.code, 1, 2);
  std::vector<int64_t> sorted = order.groups;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t j = 0; j < 50; ++j) EXPECT_EQ(sorted[static_cast<size_t>(j)], j);
  for (size_t g = 0; g < 50; ++g) {
    EXPECT_THAT(std::vector<int64_t>(order.codebooks.begin() + static_cast<std::ptrdiff_t>(3 * g),
                                     order.codebooks.begin() + static_cast<std::ptrdiff_t>(3 * g + 3)),
                ::testing::UnorderedElementsAre(0, 1, 2));
  }
  EXPECT_EQ(random_order(p.code, 1, 2).groups, order.groups);
  EXPECT_NE(random_order(p.code, 1, 3).groups, order.groups);
  EXPECT_NE(random_order(p.code, 2, 2).groups, order.groups);
}

TEST(FitScales, AreAtTheirOptimum) {
  Problem p("aq2x5-g8", 30, 10);
  std::vector<float> wh(p.w.size());
  times_moment(p.moment, 30, p.w.data(), wh.data(), p.threads);
  std::vector<float> residual = p.residual();
  const std::vector<double> before = p.losses();
  fit_scales(p.code, wh, residual, p.threads);
  const std::vector<double> best = p.losses();
  for (size_t r = 0; r < best.size(); ++r) EXPECT_LE(best[r], before[r] * (1 + 1e-6));
  const std::vector<float> exact = p.residual();
  for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(residual[i], exact[i], 1e-4);
  for (const float factor : {0.99f, 1.01f}) {
    const std::vector<float> scales = p.code.scales;
    for (float& s : p.code.scales) s *= factor;
    const std::vector<double> off = p.losses();
    for (size_t r = 0; r < best.size(); ++r) EXPECT_GT(off[r], best[r]);
    p.code.scales = scales;
  }
}

/// What the codebooks' loss falls to: -b A^-1 b from the gradient b at 0 change and the whole matrix A, in fp64.
double least_loss(const Problem& p) {
  const auto n = p.code.codebooks.size(), width = static_cast<size_t>(p.code.width());
  const auto g = static_cast<size_t>(p.code.storage.group), books = static_cast<size_t>(p.code.storage.codebooks);
  // Row r: e = D_r x + e_0, L = sum e H e. D_r [width, n] has s at the entries in use.
  std::vector<double> a(n * n), b(n);
  for (int64_t row = 0; row < p.code.rows; ++row) {
    std::vector<double> d(width * n);
    const auto s = static_cast<double>(p.code.scales[static_cast<size_t>(row)]);
    std::vector<float> sum(width);
    sum_of_vectors(p.code, p.code.codebooks, row, sum.data());
    std::vector<double> e(width);
    for (size_t c = 0; c < width; ++c) {
      e[c] = s * static_cast<double>(sum[c]) - static_cast<double>(p.w[static_cast<size_t>(row) * width + c]);
      for (size_t m = 0; m < books; ++m) {
        const size_t entry =
            m * static_cast<size_t>(p.code.storage.entries()) + p.code.codes_of(row, static_cast<int64_t>(c / g))[m];
        d[c * n + entry * g + c % g] += s;
      }
    }
    for (size_t i = 0; i < width; ++i) {
      std::vector<double> hd(n);
      double he = 0;
      for (size_t k = 0; k < width; ++k) {
        const auto h = static_cast<double>(p.moment.at(static_cast<int64_t>(i), static_cast<int64_t>(k)));
        he += h * e[k];
        for (size_t q = 0; q < n; ++q) hd[q] += h * d[k * n + q];
      }
      for (size_t q = 0; q < n; ++q) {
        if (d[i * n + q] == 0) continue;
        b[q] += d[i * n + q] * he;
        for (size_t z = 0; z < n; ++z) a[q * n + z] += d[i * n + q] * hd[z];
      }
    }
  }
  // Cholesky with a ridge, since sums of vectors have directions that change nothing.
  double gain = 0;
  for (size_t i = 0; i < n; ++i) a[i * n + i] += 1e-9;
  std::vector<double> y(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
    double sum = b[i];
    for (size_t k = 0; k < i; ++k) sum -= a[i * n + k] * y[k];
    y[i] = sum / a[i * n + i];
    gain += y[i] * y[i];
  }
  return plain_loss(p) - gain;
}

TEST(FitCodebooks, ApproachTheOptimumWithoutALossThatRises) {
  for (const bool with_data : {true, false}) {
    const Problem start("aq2x3-g4", 60, 8, with_data);
    const double least = least_loss(start);
    double before = plain_loss(start);
    const double gap = before - least;
    ASSERT_GT(gap, 0.01 * least);
    for (const int64_t iterations : {0, 1, 2, 3, 4, 8, 30}) {
      Problem p("aq2x3-g4", 60, 8, with_data);
      std::vector<float> error(p.w.size()), residual = p.residual();
      fit_codebooks(p.code, p.moment, iterations, error, residual, p.threads);
      const double loss = plain_loss(p);
      EXPECT_LE(loss, before * (1 + 1e-6)) << iterations;
      if (iterations >= 8) {
        EXPECT_LT(loss - least, 0.1 * gap) << iterations;
      }
      if (iterations == 30) {
        EXPECT_NEAR(loss, least, 1e-4 * least);
      }
      before = loss;
    }
  }
}

// Steps of 2e38 from entries at 3e38.
TEST(FitCodebooks, StayWhereTheFitIsNotFinite) {
  Problem p("aq1x3-g4", 20, 4, false);
  std::fill(p.code.scales.begin(), p.code.scales.end(), 1.0f);
  std::fill(p.code.codebooks.begin(), p.code.codebooks.end(), 3e38f);
  const std::vector<float> before = p.code.codebooks;
  std::vector<float> error(p.w.size()), residual(p.w.size(), -2e38f);
  fit_codebooks(p.code, p.moment, 3, error, residual, p.threads);
  EXPECT_EQ(p.code.codebooks, before);
}

// s - u R / (u H u) = 1e32 (1 + 1.6e7).
TEST(FitScales, StayWhereTheOptimumIsNotFinite) {
  Problem p("aq1x3-g4", 1, 1, false);
  std::fill(p.code.codebooks.begin(), p.code.codebooks.end(), 1.0f);
  p.code.scales[0] = 1e32f;
  std::vector<float> residual(4, -1000.0f);
  fit_scales(p.code, std::vector<float>(4, std::nextafter(1000.0f, 2000.0f)), residual, p.threads);
  EXPECT_EQ(p.code.scales[0], 1e32f);
  EXPECT_EQ(residual[0], -1000.0f);
}

TEST(FitCodebooks, SameBitsForAnyNumberOfThreads) {
  Problem one("aq2x6-g8", 100, 16), many("aq2x6-g8", 100, 16);
  ThreadPool threads(4);
  std::vector<float> error(one.w.size()), a = one.residual(), b = a;
  fit_codebooks(one.code, one.moment, 3, error, a, one.threads);
  fit_codebooks(many.code, many.moment, 3, error, b, threads);
  EXPECT_EQ(one.code.codebooks, many.code.codebooks);
}

}  // namespace
}  // namespace bitloom
