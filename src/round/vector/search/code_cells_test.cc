#include "round/vector/search/code_cells.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

constexpr int64_t kGroup = 8;

/// A codebook of normal vectors, and a metric whose eigenvalues lie up to `ratio` apart, in random directions.
struct Book {
  int64_t entries;
  std::vector<float> c, metric = std::vector<float>(kGroup * kGroup), products, norms;

  Book(int64_t count, double ratio, uint64_t seed) : entries(count) {
    Rng rng(seed, 9);
    for (int64_t i = 0; i < entries * kGroup; ++i) c.push_back(static_cast<float>(rng.normal()));
    set_metric(ratio, rng);
    products.resize(c.size()), norms.resize(static_cast<size_t>(entries));
    for (size_t k = 0; k < norms.size(); ++k) {
      for (size_t s = 0; s < kGroup; ++s) {
        for (size_t t = 0; t < kGroup; ++t) products[k * kGroup + s] += metric[s * kGroup + t] * c[k * kGroup + t];
        norms[k] += products[k * kGroup + s] * c[k * kGroup + s];
      }
    }
  }
  /// sum_i lambda_i u_i u_i^T, u orthonormal by Gram and Schmidt.
  void set_metric(double ratio, Rng& rng) {
    std::vector<std::vector<double>> u;
    for (int i = 0; i < kGroup; ++i) {
      std::vector<double> v(kGroup);
      for (double& x : v) x = rng.normal();
      for (const std::vector<double>& other : u) {
        double dot = 0;
        for (size_t t = 0; t < kGroup; ++t) dot += v[t] * other[t];
        for (size_t t = 0; t < kGroup; ++t) v[t] -= dot * other[t];
      }
      double size = 0;
      for (const double x : v) size += x * x;
      for (double& x : v) x /= std::sqrt(size);
      u.push_back(v);
      const double lambda = std::pow(ratio, i / (kGroup - 1.0));
      for (size_t s = 0; s < kGroup; ++s) {
        for (size_t t = 0; t < kGroup; ++t) metric[s * kGroup + t] += static_cast<float>(lambda * v[s] * v[t]);
      }
    }
  }
  CodeCells cells() const {
    const std::vector<float> first = first_cells(c.data(), entries, kGroup, cells_of(entries), metric.data());
    return {c.data(), products.data(), norms.data(), entries, kGroup, metric.data(), first};
  }
};

TEST(CodeCells, AreAsManyAsTheRootOfWhatTheyHold) {
  EXPECT_EQ(cells_of(256), 1);
  EXPECT_EQ(cells_of(2048), 1);
  EXPECT_EQ(cells_of(4096), 64);
  EXPECT_EQ(cells_of(8192), 64);
  EXPECT_EQ(cells_of(65536), 256);
}

TEST(CodeCells, HoldEveryVectorOnce) {
  const Book book(4096, 30, 1);
  const CodeCells cells = book.cells();
  ASSERT_EQ(cells.count(), 64);
  std::vector<int> seen(4096);
  int64_t filled = 0;
  for (int64_t k = 0; k < cells.count(); ++k) {
    const CandidateRun run = cells.cell(k);
    for (int64_t i = 0; i < run.padded; ++i) {
      if (run.norms[i] == kNever) continue;
      const int64_t code = cells.code_at(run.first + i);
      ++filled, ++seen[static_cast<size_t>(code)];
      EXPECT_EQ(cells.cell_of(code), k);
      EXPECT_EQ(cells.place_of(code), run.first + i);
      EXPECT_EQ(run.norms[i], book.norms[static_cast<size_t>(code)]);
      for (int64_t t = 0; t < kGroup; ++t) {
        EXPECT_EQ(run.columns[t * run.padded + i], book.c[static_cast<size_t>(code * kGroup + t)]);
      }
    }
  }
  EXPECT_EQ(filled, 4096);
  for (const int count : seen) EXPECT_EQ(count, 1);
}

/// Of so many random directions, the share whose best vector is found, and the mean of score(found) - least score over
/// the mean of |least score|.
struct Recall {
  double found = 0, excess = 0;
};
Recall recall_of(const Book& book, int64_t probes, int64_t queries) {
  const CodeCells cells = book.cells();
  const Candidates all = [&] {
    Candidates of(book.entries, kGroup);
    of.set(book.c.data());
    return of;
  }();
  Scores exhaustive(all.padded()), scores(cells.places(), cells.count());
  CellSearch search(book.entries, probes);
  Rng rng(3, 3);
  Recall recall;
  double size = 0;
  for (int64_t q = 0; q < queries; ++q) {
    float x[kGroup], direction[kGroup] = {};
    for (float& value : x) value = static_cast<float>(rng.normal());
    for (size_t s = 0; s < kGroup; ++s) {
      for (size_t t = 0; t < kGroup; ++t) direction[s] += 2 * book.metric[s * kGroup + t] * x[t];
    }
    exhaustive.find(all, book.norms.data(), kGroup, direction, 1);
    const int64_t best = exhaustive.best();
    search.find(cells, kGroup, direction, 1, -1, scores);
    const int64_t code = cells.code_at(scores.best());
    recall.found += code == best ? 1 : 0;
    recall.excess += static_cast<double>(exhaustive[code] - exhaustive[best]);
    size += std::abs(static_cast<double>(exhaustive[best]));
  }
  recall.found /= static_cast<double>(queries), recall.excess /= size;
  return recall;
}

// The papers' learned page has measured 99.8 % and more of 65536 Gaussian vectors in 256 cells, 16 of which are seen.
TEST(CellSearch, FindsNearlyAllOfWhatExhaustiveSearchFinds) {
  for (const double ratio : {1.0, 30.0}) {
    const Recall recall = recall_of(Book(65536, ratio, 2), 16, 500);
    EXPECT_GE(recall.found, 0.99) << ratio;
    EXPECT_LE(recall.excess, 1e-3) << ratio;
    RecordProperty("recall", std::to_string(recall.found));
  }
}

TEST(CellSearch, OfAllCellsFindsTheBest) { EXPECT_EQ(recall_of(Book(4096, 30, 4), 64, 200).found, 1); }

// The own vector, in a cell that no probe would look at, is there, with its score to the last bit.
TEST(CellSearch, SeesTheOwnVectorToo) {
  const Book book(4096, 10, 5);
  const CodeCells cells = book.cells();
  Candidates all(book.entries, kGroup);
  all.set(book.c.data());
  Scores exhaustive(all.padded()), scores(cells.places(), cells.count());
  CellSearch search(book.entries, 1);
  for (int64_t own = 0; own < 4096; own += 97) {
    float direction[kGroup];
    for (int64_t t = 0; t < kGroup; ++t) direction[t] = -2 * book.products[static_cast<size_t>(own * kGroup + t)];
    exhaustive.find(all, book.norms.data(), kGroup, direction, 0.7f);
    EXPECT_EQ(scores[search.find(cells, kGroup, direction, 0.7f, own, scores)], exhaustive[own]);
  }
}

// Of 4096 vectors that are all alike most cells stay empty.
TEST(CodeCells, EmptyOnesAreNeverChosen) {
  Book book(4096, 1, 6);
  for (size_t i = 0; i < book.c.size(); ++i) {
    book.c[i] = book.c[i % kGroup], book.products[i] = book.products[i % kGroup];
  }
  for (float& norm : book.norms) norm = book.norms[0];
  EXPECT_EQ(recall_of(book, 1, 20).excess, 0);
  EXPECT_EQ(recall_of(book, 64, 20).excess, 0);
}

}  // namespace
}  // namespace bitloom
