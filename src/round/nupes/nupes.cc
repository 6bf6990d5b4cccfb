#include "round/nupes/nupes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "format/table/fitted_table.h"
#include "round/nearest/nearest.h"
#include "round/nupes/code_descent.h"
#include "round/round_matrix.h"
#include "round/scale/grid_builder.h"

namespace bitloom {
namespace {

constexpr int64_t kSearchRows = 128;  // that stand for a matrix where exponents are compared

std::optional<float> power_exponent(const Format& format) {
  const auto* table = std::get_if<TableFormat>(&format);
  return table == nullptr ? std::nullopt : exponent_of(*table);
}

DenseMatrix some_rows(const RowSource& w) {
  const int64_t rows = std::min(w.rows(), kSearchRows);
  std::vector<float> values(static_cast<size_t>(rows * w.cols()));
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = i * w.rows() / rows;
    w.decode_rows(r, r + 1, values.data() + i * w.cols());
  }
  return {rows, w.cols(), std::move(values)};
}

/// What descent made of a matrix.
struct Descended {
  std::shared_ptr<const StoredMatrix> matrix;
  double loss_before = 0, loss = 0;
  double error = 0, norm = 0, max_error = 0;  // of the weights: sum (w - q)^2, sum w^2, max |w - q|
  int64_t moved = 0;                          // codes
};

/// Coordinate descent over all codes of all rows, in tiles.
Descended descend(const std::string& name, const RowSource& w, const StoredMatrix& start, const LayerStatistics& layer,
                  int64_t passes, ThreadPool& threads) {
  const GridMatrix& from = *start.grid();
  const Grid grid = grid_of(from.storage().format);
  const ScaleShape& shape = from.shape();
  const int64_t d = w.cols();
  GridBuilder builder(start);
  std::vector<Descended> tiles(static_cast<size_t>((w.rows() + kAdaRoundTileRows - 1) / kAdaRoundTileRows));
  threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
    Descended& sums = tiles[static_cast<size_t>(t)];
    const int64_t first = t * kAdaRoundTileRows, rows = std::min(kAdaRoundTileRows, w.rows() - first);
    const auto size = static_cast<size_t>(rows * d);
    std::vector<float> weights(size), deviation(size), half(size), scales(static_cast<size_t>(shape.cols));
    std::vector<uint8_t> codes(static_cast<size_t>(d)), before(codes.size()), zeros(scales.size());
    w.decode_rows(first, first + rows, weights.data());
    start.decode_rows(first, first + rows, deviation.data());
    for (size_t i = 0; i < size; ++i) deviation[i] -= weights[i];
    SoftTile tile;
    tile.rows = rows;
    tile.base.resize(size);  // set_pull takes the size from it
    set_pull(layer, weights.data(), tile);
    const std::vector<double> losses = row_losses(layer, tile, deviation.data(), half.data());
    for (int64_t r = 0; r < rows; ++r) {
      from.codes_of_row(first + r, codes.data());
      from.scales_of_row((first + r) / shape.group_rows, scales.data(), zeros.data());
      before = codes;
      const int64_t at = r * d;
      const double gained = descend_codes(layer, grid, passes,
                                          {weights.data() + at, scales.data(), shape.group_cols, codes.data(),
                                           deviation.data() + at, half.data() + at});
      builder.store_codes(first + r, codes.data());
      sums.loss_before += losses[static_cast<size_t>(r)];
      sums.loss += losses[static_cast<size_t>(r)] - gained;
      for (size_t c = 0; c < codes.size(); ++c) sums.moved += codes[c] != before[c] ? 1 : 0;
    }
    for (size_t i = 0; i < size; ++i) {
      const auto miss = static_cast<double>(deviation[i]), weight = static_cast<double>(weights[i]);
      sums.error += miss * miss, sums.norm += weight * weight;
      sums.max_error = std::max(sums.max_error, std::abs(miss));
    }
  });
  Descended all;
  for (const Descended& tile : tiles) {
    all.loss_before += tile.loss_before, all.loss += tile.loss;
    all.error += tile.error, all.norm += tile.norm, all.moved += tile.moved;
    all.max_error = std::max(all.max_error, tile.max_error);
  }
  all.matrix = builder.finish(name);
  return all;
}

class NupesRun {
 public:
  NupesRun(const std::string& name, const RowSource& w, const GridTarget& target, const LayerStatistics& layer,
           const NupesRounding& options, ThreadPool& threads)
      : name_(name), w_(w), target_(target), layer_(layer), options_(options), threads_(threads) {
    if (!target.search.range.searches()) return;
    for (int64_t c = 0; c < layer.channels; ++c) importance_.push_back(layer.second[c * layer.channels + c]);
  }

  /// The target with the exponent that descends lowest.
  GridTarget with_best_exponent() const {
    const int bits = bits_of(target_.storage.format);
    const DenseMatrix rows = some_rows(w_);
    const auto with = [&](int hundredths) {
      GridTarget target = target_;
      target.storage.format = power_table(bits, static_cast<float>(hundredths) / 100);
      return target;
    };
    const auto loss = [&](const GridTarget& target) {
      const auto nearest = quantize_nearest(name_, rows, target, threads_, nullptr, importance());
      return descend(name_, rows, *nearest, layer_, options_.passes, threads_).loss;
    };
    GridTarget best = target_;
    double least = loss(best);
    auto now = static_cast<int>(std::lround(*power_exponent(target_.storage.format) * 100));
    for (int step = 8; step >= 2;) {
      bool moved = false;
      for (const int next : {now - step, now + step}) {
        if (moved || next < 100 * kLeastExponent || next > 100 * kMostExponent) continue;
        const GridTarget candidate = with(next);
        const double found = loss(candidate);
        if (found < least) least = found, now = next, best = candidate, moved = true;
      }
      if (!moved) step /= 2;
    }
    return best;
  }

  std::shared_ptr<const StoredMatrix> learn(const GridTarget& target, NupesReport& report) const {
    AdaRounding rounding;
    rounding.iterations = options_.iterations;
    AdaRoundReport learned;
    const auto start = quantize_adaround(name_, w_, target, layer_, rounding, threads_, &learned);
    const Descended end = descend(name_, w_, *start, layer_, options_.passes, threads_);
    report.rounding = learned.rounding;
    report.rounding.weight_error = end.norm > 0 ? end.error / end.norm : 0;
    report.rounding.max_abs_error = end.max_error;
    report.rounding.flipped = learned.flipped + end.moved;
    report.rounding.rows_kept = learned.rows_kept_nearest;
    report.exponent = static_cast<double>(*power_exponent(target.storage.format));
    report.output_error = end.loss;
    report.output_error_adaround = end.loss_before;
    report.output_error_nearest = learned.output_error_nearest;
    return end.matrix;
  }

 private:
  const float* importance() const { return importance_.empty() ? nullptr : importance_.data(); }

  const std::string& name_;
  const RowSource& w_;
  const GridTarget& target_;
  const LayerStatistics& layer_;
  const NupesRounding& options_;
  ThreadPool& threads_;
  std::vector<float> importance_;
};

constexpr Option kOptions[] = {
    number_option<&NupesRounding::iterations>("iterations", 0, 1e6, "steps of gradient descent per matrix"),
    number_option<&NupesRounding::passes>("passes", 0, 1000, "of coordinate descent over all codes"),
    flag_option<&NupesRounding::exponent>("exponent", "searched for each matrix"),
};

}  // namespace

std::shared_ptr<const StoredMatrix> quantize_nupes(const std::string& name, const RowSource& w,
                                                   const GridTarget& target, const LayerStatistics& layer,
                                                   const NupesRounding& options, ThreadPool& threads,
                                                   NupesReport* report) {
  if (!power_exponent(target.storage.format)) {
    misuse("{}: nupes learns codes of power grids, not of {}", name, to_string(target));
  }
  if (w.cols() != layer.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", name, w.cols(), layer.channels);
  }
  const NupesRun run(name, w, target, layer, options, threads);
  NupesReport found;
  auto matrix = run.learn(options.exponent ? run.with_best_exponent() : target, found);
  if (report != nullptr) *report = found;
  return matrix;
}

Needs needs_of(const NupesRounding&) { return {.second_moment = true, .cross_moment = true}; }

bool rounds_onto(const NupesRounding&, const Storage& storage) {
  return is_scaled_grid(storage) && power_exponent(storage.base.get<GridStorage>().format).has_value();
}

Storage storage_by(const NupesRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const NupesRounding& options, const RoundingShape& shape) {
  AdaRounding rounding;
  rounding.iterations = options.iterations;
  RoundingCost cost = cost_of(rounding, shape);
  constexpr double kExponents = 10, kMoved = 0.5;  // tried, and codes that move in all passes together
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  const double searched = options.exponent ? kExponents * static_cast<double>(std::min(shape.rows, kSearchRows)) : 0;
  cost.nearest *= 1 + searched / std::max(n, 1.0);
  cost.loop += (n + searched) * d * d * kMoved;
  return cost;
}

Rounded round_by(const NupesRounding& options, const RoundingProblem& problem) {
  NupesReport report;
  auto matrix = quantize_nupes(problem.place, problem.weights, grid_target(problem.target, problem.place),
                               shared_layer(problem), options, problem.threads, &report);
  return {std::move(matrix), std::move(report.rounding)};
}

constinit const RoundingRow kNupesMethod = rounding_row<NupesRounding>(
    "nupes", kOptions, "codes of a power grid and its exponent, for the smallest output error",
    "learned on a power grid, its exponent with it (NUPES)");

}  // namespace bitloom
