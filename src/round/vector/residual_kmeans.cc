#include "round/vector/residual_kmeans.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "base/memory/dtype.h"
#include "base/rng.h"
#include "round/vector/search/candidates.h"
#include "round/vector/search/code_cells.h"
#include "round/vector/search/code_search.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 1024;  // points

/// Points [n, G] and the vectors that they are to be given.
class Clusters {
 public:
  Clusters(const VectorStorage& storage, std::vector<float> centres, int64_t probes)
      : storage_(storage), centres_(std::move(centres)), probes_(probes) {}

  const std::vector<float>& centres() const { return centres_; }

  /// nearest [n]: the nearest centre to each point.
  void assign(std::span<const float> points, std::vector<uint16_t>& nearest, ThreadPool& threads) const {
    const Candidates candidates(storage_, centres_.data());
    const std::vector<float> norms = squares(candidates.padded());
    const std::optional<CodeCells> cells = cells_by(norms);
    const int64_t g = storage_.group, count = static_cast<int64_t>(points.size()) / g;
    const int64_t places = cells ? cells->places() : candidates.padded();
    nearest.resize(static_cast<size_t>(count));
    threads.parallel_for((count + kPiece - 1) / kPiece, [&](int64_t piece) {
      Scores scores(places, cells_of(storage_.entries()));
      CellSearch search(storage_.entries(), probes_);
      std::vector<float> direction(static_cast<size_t>(g));
      for (int64_t i = piece * kPiece; i < std::min(count, (piece + 1) * kPiece); ++i) {
        for (int64_t t = 0; t < g; ++t) direction[static_cast<size_t>(t)] = 2 * points[static_cast<size_t>(i * g + t)];
        if (cells) {
          search.find(*cells, g, direction.data(), 1, -1, scores);
        } else {
          scores.find(candidates, norms.data(), g, direction.data(), 1);
        }
        const int64_t best = scores.best();
        nearest[static_cast<size_t>(i)] = cells ? cells->code_at(best) : static_cast<uint16_t>(best);
      }
    });
  }

  /// Each centre becomes the mean of its points; one without any stays.
  void move(std::span<const float> points, const std::vector<uint16_t>& nearest) {
    const auto g = static_cast<size_t>(storage_.group);
    std::vector<double> sums(centres_.size());
    std::vector<int64_t> counts(centres_.size() / g);
    for (size_t i = 0; i < nearest.size(); ++i) {
      ++counts[nearest[i]];
      for (size_t t = 0; t < g; ++t) sums[nearest[i] * g + t] += static_cast<double>(points[i * g + t]);
    }
    for (size_t k = 0; k < counts.size(); ++k) {
      if (counts[k] == 0) continue;
      for (size_t t = 0; t < g; ++t) {
        centres_[k * g + t] = static_cast<float>(sums[k * g + t] / static_cast<double>(counts[k]));
      }
    }
  }

 private:
  /// Of the centres, with the identity as metric; nothing where all are looked at.
  std::optional<CodeCells> cells_by(const std::vector<float>& norms) const {
    if (!searches_cells(storage_, probes_)) return std::nullopt;
    const int64_t g = storage_.group;
    std::vector<float> identity(static_cast<size_t>(g * g));
    for (int64_t t = 0; t < g; ++t) identity[static_cast<size_t>(t * (g + 1))] = 1;
    const std::vector<float> first =
        first_cells(centres_.data(), storage_.entries(), g, cells_of(storage_.entries()), identity.data());
    return std::make_optional<CodeCells>(centres_.data(), centres_.data(), norms.data(), storage_.entries(), g,
                                         identity.data(), first);
  }

  /// Of the centres; kNever beyond them.
  std::vector<float> squares(int64_t padded) const {
    const auto g = static_cast<size_t>(storage_.group);
    std::vector<float> norms(static_cast<size_t>(padded), kNever);
    for (size_t k = 0; k < centres_.size() / g; ++k) {
      float sum = 0;
      for (size_t t = 0; t < g; ++t) sum += centres_[k * g + t] * centres_[k * g + t];
      norms[k] = sum;
    }
    return norms;
  }

  const VectorStorage& storage_;
  std::vector<float> centres_;
  int64_t probes_;
};

/// `count` of the points [n, g], one out of each of as many runs; fewer than `count` come round again.
std::vector<float> pick(std::span<const float> points, int64_t g, int64_t count, Rng& rng) {
  const int64_t n = static_cast<int64_t>(points.size()) / g;
  std::vector<float> picked;
  picked.reserve(static_cast<size_t>(count * g));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = n * i / count, end = std::max(begin + 1, n * (i + 1) / count);
    const int64_t at = begin + static_cast<int64_t>(rng.next_u32() % static_cast<uint64_t>(end - begin));
    picked.insert(picked.end(), points.begin() + at * g, points.begin() + (at + 1) * g);
  }
  return picked;
}

float root_mean_square(const float* w, int64_t count) {
  double sum = 0;
  for (int64_t c = 0; c < count; ++c) sum += static_cast<double>(w[c]) * static_cast<double>(w[c]);
  return finite_f16(static_cast<float>(std::sqrt(sum / static_cast<double>(std::max<int64_t>(count, 1)))));
}

}  // namespace

AdditiveCode start_codes(const VectorStorage& storage, int64_t rows, int64_t groups, std::span<const float> w,
                         const ResidualKMeans& options, ThreadPool& threads) {
  AdditiveCode code{storage, rows, groups, {}, {}, {}};
  const int64_t g = storage.group, width = code.width(), points = rows * groups;
  code.codes.resize(static_cast<size_t>(points * storage.codebooks));
  code.codebooks.resize(static_cast<size_t>(storage.codebooks * code.book_size()));
  code.scales.resize(static_cast<size_t>(rows));
  std::vector<float> left(w.begin(), w.end());
  threads.parallel_for(rows, [&](int64_t r) {
    float* row = left.data() + r * width;
    const float scale = root_mean_square(row, width), inverse = scale > 0 ? 1 / scale : 0;
    code.scales[static_cast<size_t>(r)] = scale;
    for (int64_t c = 0; c < width; ++c) row[c] *= inverse;
  });
  if (points == 0) return code;
  std::vector<uint16_t> nearest;
  Rng rng(options.seed, 83);
  for (int64_t m = 0; m < storage.codebooks; ++m) {
    const std::vector<float> sample = pick(left, g, std::min(points, options.samples * storage.entries()), rng);
    Clusters clusters(storage, pick(sample, g, storage.entries(), rng), options.probes);
    for (int64_t turn = 0; turn < options.iterations; ++turn) {
      clusters.assign(sample, nearest, threads);
      clusters.move(sample, nearest);
    }
    clusters.assign(left, nearest, threads);
    std::copy(clusters.centres().begin(), clusters.centres().end(), code.codebooks.begin() + m * code.book_size());
    threads.parallel_for(rows, [&](int64_t r) {
      for (int64_t j = 0; j < groups; ++j) {
        const uint16_t chosen = nearest[static_cast<size_t>(r * groups + j)];
        code.codes_of(r, j)[m] = chosen;
        const float* entry = code.entry(m, chosen);
        for (int64_t t = 0; t < g; ++t) left[static_cast<size_t>(r * width + j * g + t)] -= entry[t];
      }
    });
  }
  return code;
}

}  // namespace bitloom
