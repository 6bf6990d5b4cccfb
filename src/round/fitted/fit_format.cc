#include "round/fitted/fit_format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "round/kmeans/exact_kmeans.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

/// Rows of a matrix, and how many of its rows each stands for.
struct Sample {
  DenseMatrix rows;
  double share = 1;
};
using Samples = std::vector<Sample>;

/// Weights that all matrices of a fit give together; more where nothing is searched for each.
int64_t sampled_weights(const GridTarget& target, FitScope scope) {
  const int shift = scope == FitScope::kMatrix ? 14 : 16;
  return int64_t{1} << (target.search.range.searches() ? shift : shift + 4);
}

bool all_finite(const float* x, int64_t n) {
  return std::all_of(x, x + n, [](float value) { return std::isfinite(value); });
}

constexpr int64_t kLeastRows = 2;  // of each matrix

/// Evenly spaced rows, those left out that are not finite.
Sample sample(const RowSource& w, int64_t most_rows) {
  const int64_t rows = std::clamp<int64_t>(most_rows, std::min(kLeastRows, w.rows()), w.rows()), cols = w.cols();
  std::vector<float> values(static_cast<size_t>(rows * cols));
  int64_t kept = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = i * w.rows() / rows;
    float* out = values.data() + kept * cols;
    w.decode_rows(r, r + 1, out);
    if (all_finite(out, cols)) ++kept;
  }
  values.resize(static_cast<size_t>(kept * cols));
  const double share = kept == 0 ? 1 : static_cast<double>(w.rows()) / static_cast<double>(kept);
  return {{kept, cols, std::move(values)}, share};
}

/// Normal weights in rows as long as those of the matrices.
Samples normal_samples(std::span<const RowSource* const> matrices) {
  constexpr int64_t kWeights = 1 << 18;
  constexpr uint64_t kStream = 0x66697474;
  Rng rng(0, kStream);
  std::map<int64_t, int64_t> rows_of;  // by columns
  int64_t rows = 0;
  for (const RowSource* w : matrices) {
    if (w->cols() > 0) rows_of[w->cols()] += w->rows(), rows += w->rows();
  }
  Samples samples;
  for (const auto& [cols, count] : rows_of) {
    const auto wanted = kWeights / cols * count / std::max<int64_t>(rows, 1);
    const int64_t drawn = std::max(kLeastRows, wanted);
    std::vector<float> values(static_cast<size_t>(drawn * cols));
    for (float& value : values) value = static_cast<float>(rng.normal());
    samples.push_back({{drawn, cols, std::move(values)}, static_cast<double>(count) / static_cast<double>(drawn)});
  }
  return samples;
}

Samples samples_of(std::span<const RowSource* const> matrices, int64_t weights) {
  Samples samples;
  const auto count = static_cast<int64_t>(matrices.size());
  for (const RowSource* w : matrices) {
    if (w->rows() == 0 || w->cols() == 0) continue;
    Sample rows = sample(*w, weights / (count * w->cols()));
    if (rows.rows.rows() > 0) samples.push_back(std::move(rows));
  }
  return samples;
}

double squares(const DenseMatrix& w) {
  return std::accumulate(w.values().begin(), w.values().end(), 0.0,
                         [](double sum, float x) { return sum + static_cast<double>(x) * static_cast<double>(x); });
}

GridTarget with_format(GridTarget target, TableFormat format) {
  target.storage.format = std::move(format);
  return target;
}

// ---- exponents -----------------------------------------------------------------------------------------------------

/// sum over matrices of |W - Q(W)|_2.
double power_error(const Samples& samples, const GridTarget& target, ThreadPool& threads) {
  double sum = 0;
  for (const auto& [w, share] : samples) {
    RoundReport report;
    quantize_nearest("weights", w, target, threads, &report);
    sum += std::sqrt(share * report.weight_error * squares(w));
  }
  return sum;
}

TableFormat fit_power(const Samples& samples, const GridTarget& target, int bits, ThreadPool& threads) {
  int best = 100;  // in hundredths; what an exponent less than others by nothing gives way to
  const auto format = [bits](int hundredths) { return power_table(bits, static_cast<float>(hundredths) / 100); };
  double least = power_error(samples, with_format(target, format(best)), threads);
  const auto try_exponents = [&](int first, int last, int step) {
    for (int a = first; a <= last; a += step) {
      const double error = power_error(samples, with_format(target, format(a)), threads);
      if (error < least) least = error, best = a;
    }
  };
  try_exponents(20, 120, 10);
  const int coarse = best;
  try_exponents(coarse - 9, coarse - 1, 1);
  try_exponents(coarse + 1, coarse + 9, 1);
  return format(best);
}

// ---- tables --------------------------------------------------------------------------------------------------------

/// Weights over their scales, and the squares of these.
struct Scaled {
  std::vector<float> values, masses;
};

/// Appends those of one matrix, each standing for `share`. Groups whose scale is 0 have nothing to say.
void append_scaled(const DenseMatrix& w, double share, const GridMatrix& q, Scaled& scaled) {
  const ScaleShape& shape = q.shape();
  std::vector<float> scales(static_cast<size_t>(shape.cols));
  std::vector<uint8_t> zeros(scales.size());
  for (int64_t r = 0; r < w.rows(); ++r) {
    q.scales_of_row(r / shape.group_rows, scales.data(), zeros.data());
    for (int64_t c = 0; c < w.cols(); ++c) {
      const float scale = scales[static_cast<size_t>(c / shape.group_cols)];
      const float y = w.values()[static_cast<size_t>(r * w.cols() + c)] / scale;
      if (scale == 0 || !std::isfinite(y)) continue;
      scaled.values.push_back(y);
      scaled.masses.push_back(static_cast<float>(share) * scale * scale);
    }
  }
}

/// Ascending means as distinct integers, the one of the greatest magnitude 127.
std::vector<float> as_bytes(const std::vector<double>& means) {
  double greatest = 0;
  for (const double mean : means) greatest = std::max(greatest, std::abs(mean));
  const auto count = static_cast<int>(means.size());
  std::vector<float> levels;
  for (int i = 0; i < count; ++i) {
    const double wanted = greatest > 0 ? 127 * means[static_cast<size_t>(i)] / greatest : 0;
    const double least = i == 0 ? -127 : static_cast<double>(levels.back()) + 1;
    levels.push_back(static_cast<float>(std::clamp(std::nearbyint(wanted), least, 127.0 - (count - 1 - i))));
  }
  return levels;
}

/// One turn: the table's squared error, and the levels that its scales ask for (none where all is zero).
double refit(const Samples& samples, const GridTarget& target, ThreadPool& threads, std::vector<float>& levels) {
  Scaled scaled;
  double error = 0;
  for (const auto& [w, share] : samples) {
    RoundReport report;
    const auto q = quantize_nearest("weights", w, target, threads, &report);
    error += share * report.weight_error * squares(w);
    append_scaled(w, share, *q->grid(), scaled);
  }
  if (scaled.values.empty()) return 0;
  std::vector<uint32_t> order;
  std::vector<uint64_t> scratch;
  sort_places(scaled.values, order, scratch);
  Scaled sorted;
  for (const uint32_t i : order) {
    sorted.values.push_back(scaled.values[i]);
    sorted.masses.push_back(scaled.masses[i]);
  }
  const SortedPoints points(sorted.values, sorted.masses);
  const auto count = static_cast<int64_t>(levels.size());
  levels = as_bytes(cluster_means(points, fast_kmeans(points, count, 50)));
  return error;
}

struct FittedTable {
  TableFormat format;
  double error = std::numeric_limits<double>::infinity();
};

FittedTable improve(const Samples& samples, const GridTarget& target, std::vector<float> levels, ThreadPool& threads) {
  constexpr int kMostTurns = 20;
  constexpr double kGain = 3e-4;  // of the error, below which a turn is the last
  FittedTable best;
  for (int turn = 0; turn < kMostTurns; ++turn) {
    const TableFormat now = make_table(levels);
    const double error = refit(samples, with_format(target, now), threads, levels);
    const bool goes_on = error < best.error * (1 - kGain);
    if (error < best.error) best = {now, error};
    if (!goes_on) break;
  }
  return best;
}

/// Turns end in a local optimum: from even levels, and from such as lie denser at zero.
TableFormat fit_table(const Samples& samples, const GridTarget& target, const std::vector<float>& even,
                      ThreadPool& threads) {
  std::vector<double> dense;
  for (const float level : even) {
    const double x = static_cast<double>(level) / 127;
    dense.push_back(std::copysign(std::pow(std::abs(x), 1.4), x));
  }
  const FittedTable a = improve(samples, target, even, threads), b = improve(samples, target, as_bytes(dense), threads);
  return b.error < a.error ? b.format : a.format;
}

}  // namespace

std::optional<FitRequest> fit_request(const Storage& storage) {
  const auto* grid = storage.base.get_if<GridStorage>();
  const auto* table = grid == nullptr ? nullptr : std::get_if<TableFormat>(&grid->format);
  return table == nullptr ? std::nullopt : fit_request(*table);
}

RoundingTarget fitted_target(const RoundingTarget& target, std::span<const RowSource* const> matrices,
                             ThreadPool& threads) {
  const std::optional<FitRequest> request = fit_request(target.storage);
  if (!request) return target;
  const auto& storage = target.storage.base.get<GridStorage>();
  const GridTarget grid{storage, target.search};
  const Samples samples = target.storage.side.frame.present()
                              ? normal_samples(matrices)
                              : samples_of(matrices, sampled_weights(grid, request->scope));
  RoundingTarget fitted = target;
  auto& format = fitted.storage.base.get_if<GridStorage>()->format;
  if (request->power) {
    format = fit_power(samples, grid, request->bits, threads);
  } else {
    format = fit_table(samples, grid, std::get<TableFormat>(storage.format).levels, threads);
  }
  return fitted;
}

}  // namespace bitloom
