#include "round/adaround/adaround.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "round/adaround/grid_levels.h"
#include "round/adaround/soft_rounding.h"
#include "round/nearest/nearest.h"
#include "round/scale/grid_builder.h"

namespace bitloom {
namespace {

/// What one tile reports; merged in the order of tiles.
struct TileResult {
  double loss = 0, loss_nearest = 0, error = 0, norm = 0;
  float max_error = 0;
  int64_t flipped = 0, rows_kept = 0;
};

/// A tile's codes and deviations Q - W, [rows, cols].
struct HardTile {
  std::vector<uint8_t> codes;
  std::vector<float> deviation;
};

class LearnedRun {
 public:
  LearnedRun(const RowSource& w, const LayerStatistics& layer, const AdaRounding& options, const StoredMatrix& nearest)
      : w_(w),
        layer_(layer),
        options_(options),
        nearest_(nearest),
        levels_(nearest.grid()->storage()),
        shape_(nearest.grid()->shape()),
        builder_(nearest) {}

  std::shared_ptr<const StoredMatrix> run(const std::string& name, ThreadPool& threads,
                                          std::vector<TileResult>& tiles) {
    tiles.resize(static_cast<size_t>((w_.rows() + kAdaRoundTileRows - 1) / kAdaRoundTileRows));
    threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
      const int64_t first = t * kAdaRoundTileRows;
      tiles[static_cast<size_t>(t)] = run_tile(first, std::min(kAdaRoundTileRows, w_.rows() - first));
    });
    return builder_.finish(name);
  }

 private:
  TileResult run_tile(int64_t first, int64_t rows) {
    const auto size = static_cast<size_t>(rows * w_.cols());
    std::vector<float> w(size);
    w_.decode_rows(first, first + rows, w.data());
    HardTile nearest{std::vector<uint8_t>(size), std::vector<float>(size)}, below = nearest, above = nearest;
    SoftTile soft;
    soft.rows = rows;
    soft.base.resize(size), soft.step.resize(size), soft.alpha.resize(size);
    for (int64_t r = 0; r < rows; ++r) load_row(first + r, r, w.data(), nearest, below, above, soft);
    set_pull(layer_, w.data(), soft);
    learn(layer_, options_, soft);
    std::vector<uint8_t> up(size);
    for (size_t i = 0; i < size; ++i) up[i] = soft.alpha[i] >= 0 ? 1 : 0;  // h(0) = 1/2
    if (options_.descent) descend(layer_, soft, up);
    HardTile& learned = below;
    for (size_t i = 0; i < size; ++i) {
      if (up[i] != 0) learned.codes[i] = above.codes[i], learned.deviation[i] = above.deviation[i];
    }
    return store(first, w, soft, nearest, learned);
  }

  /// Row `r` of the tile, `row` of the matrix: its nearest codes, its levels below and above, the soft start between.
  void load_row(int64_t row, int64_t r, const float* tile_w, HardTile& nearest, HardTile& below, HardTile& above,
                SoftTile& soft) const {
    const int64_t d = w_.cols(), at = r * d;
    std::vector<float> scales(static_cast<size_t>(shape_.cols));
    std::vector<uint8_t> zeros(scales.size());
    nearest_.grid()->scales_of_row(row / shape_.group_rows, scales.data(), zeros.data());
    nearest_.grid()->codes_of_row(row, nearest.codes.data() + at);
    for (int64_t c = 0; c < d; ++c) {
      const auto i = static_cast<size_t>(at + c), g = static_cast<size_t>(c / shape_.group_cols);
      const float w = tile_w[i], scale = scales[g];
      const uint8_t zero = zeros[g], code = nearest.codes[i];
      const float level = levels_.level_of_code(code, zero);
      nearest.deviation[i] = scale * level - w;
      // A zero scale leaves no choice, and an unused channel no reason for one.
      const bool free = scale != 0 && layer_.second[c * d + c] > 0;
      GridLevels::Enclosure two = free ? levels_.enclose(w / scale, zero) : GridLevels::Enclosure{};
      if (scale < 0) std::swap(two.lower, two.upper);  // lower and upper as weights
      const auto set = [&](HardTile& tile, int index) {
        const float value = levels_.level(index, zero);
        // Two codes may stand for one level (-0): nearest rounding's is kept.
        const bool same = !free || value == level;
        tile.codes[i] = same ? code : levels_.code(index);
        tile.deviation[i] = same ? nearest.deviation[i] : scale * value - w;
      };
      set(below, two.lower), set(above, two.upper);
      soft.base[i] = below.deviation[i];
      soft.step[i] = above.deviation[i] - below.deviation[i];
      const float h = soft.step[i] > 0 ? -soft.base[i] / soft.step[i] : 0.0f;
      soft.alpha[i] = soft_alpha(std::clamp(h, 0.0f, 1.0f));
    }
  }

  /// Keeps the better of both for every row.
  TileResult store(int64_t first, const std::vector<float>& w, const SoftTile& soft, const HardTile& nearest,
                   const HardTile& learned) {
    const int64_t d = w_.cols();
    std::vector<float> scratch(w.size());
    const auto nearest_losses = row_losses(layer_, soft, nearest.deviation.data(), scratch.data());
    const auto nearest_errors = output_errors(soft, nearest, scratch);
    const auto learned_losses = row_losses(layer_, soft, learned.deviation.data(), scratch.data());
    const auto learned_errors = output_errors(soft, learned, scratch);
    TileResult result;
    for (size_t r = 0; r < nearest_losses.size(); ++r) {
      const bool better = learned_losses[r] < nearest_losses[r];
      const HardTile& best = better ? learned : nearest;
      const auto at = static_cast<int64_t>(r) * d;
      builder_.store_codes(first + static_cast<int64_t>(r), best.codes.data() + at);
      result.rows_kept += better ? 0 : 1;
      result.loss += better ? learned_errors[r] : nearest_errors[r];
      result.loss_nearest += nearest_errors[r];
      measure(w.data() + at, best, nearest, at, result);
    }
    return result;
  }

  /// The losses without the cross moment's part; `scratch` as row_losses left it.
  std::vector<double> output_errors(const SoftTile& soft, const HardTile& tile,
                                    const std::vector<float>& scratch) const {
    const int64_t d = w_.cols();
    std::vector<double> errors(static_cast<size_t>(soft.rows));
    for (size_t i = 0; i < scratch.size(); ++i) {
      const double pull = soft.pull.empty() ? 0.0 : static_cast<double>(soft.pull[i]);
      errors[i / static_cast<size_t>(d)] +=
          static_cast<double>(tile.deviation[i]) * (static_cast<double>(scratch[i]) + pull);
    }
    return errors;
  }

  void measure(const float* w, const HardTile& best, const HardTile& nearest, int64_t at, TileResult& result) const {
    for (int64_t c = 0; c < w_.cols(); ++c) {
      const auto i = static_cast<size_t>(at + c);
      const auto difference = static_cast<double>(best.deviation[i]), value = static_cast<double>(w[c]);
      result.error += difference * difference;
      result.norm += value * value;
      result.max_error = std::max(result.max_error, std::abs(best.deviation[i]));
      result.flipped += best.codes[i] != nearest.codes[i] ? 1 : 0;
    }
  }

  const RowSource& w_;
  const LayerStatistics& layer_;
  const AdaRounding& options_;
  const StoredMatrix& nearest_;
  GridLevels levels_;
  ScaleShape shape_;
  GridBuilder builder_;
};

void check(const std::string& name, const RowSource& w, const LayerStatistics& layer, const AdaRounding& o) {
  if (w.cols() != layer.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", name, w.cols(), layer.channels);
  }
  if (o.iterations < 0) fail(ErrorKind::kFailed, "{}: {} iterations, must not be negative", name, o.iterations);
  const auto require = [&](const char* key, double value, bool good, const char* allowed) {
    if (!good) fail(ErrorKind::kFailed, "{}: {} is {}, must be {}", name, key, value, allowed);
  };
  require("regularizer", o.regularizer, o.regularizer >= 0 && std::isfinite(o.regularizer), "finite, not negative");
  require("beta_start", o.beta_start, o.beta_start >= 1 && o.beta_start <= 100, "from 1 to 100");
  require("beta_end", o.beta_end, o.beta_end >= 1 && o.beta_end <= 100, "from 1 to 100");
  require("warmup", o.warmup, o.warmup >= 0 && o.warmup <= 1, "from 0 to 1");
  require("learning_rate", o.learning_rate, o.learning_rate > 0 && std::isfinite(o.learning_rate), "finite, above 0");
}

AdaRoundReport summarise(const std::vector<TileResult>& tiles, const RoundReport& nearest) {
  AdaRoundReport report;
  report.rounding = nearest;  // scales are nearest rounding's, and so are saturated weights and groups of zeros
  report.rounding.max_abs_error = 0;
  double error = 0, norm = 0;
  for (const TileResult& tile : tiles) {
    report.output_error += tile.loss;
    report.output_error_nearest += tile.loss_nearest;
    report.flipped += tile.flipped;
    report.rows_kept_nearest += tile.rows_kept;
    report.rounding.max_abs_error = std::max(report.rounding.max_abs_error, static_cast<double>(tile.max_error));
    error += tile.error, norm += tile.norm;
  }
  report.rounding.weight_error = norm > 0 ? error / norm : 0;
  return report;
}

}  // namespace

std::shared_ptr<const StoredMatrix> quantize_adaround(const std::string& name, const RowSource& w,
                                                      const GridTarget& target, const LayerStatistics& layer,
                                                      const AdaRounding& options, ThreadPool& threads,
                                                      AdaRoundReport* report) {
  check(name, w, layer, options);
  std::vector<float> diagonal;
  for (int64_t c = 0; c < layer.channels; ++c) diagonal.push_back(layer.second[c * layer.channels + c]);
  RoundReport nearest_report;
  const bool searched = target.search.range.searches();
  const auto nearest =
      quantize_nearest(name, w, target, threads, &nearest_report, searched ? diagonal.data() : nullptr);
  std::vector<TileResult> tiles;
  auto tensor = LearnedRun(w, layer, options, *nearest).run(name, threads, tiles);
  if (report != nullptr) *report = summarise(tiles, nearest_report);
  return tensor;
}

}  // namespace bitloom
