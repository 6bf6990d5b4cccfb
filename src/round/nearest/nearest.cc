#include "round/nearest/nearest.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "round/lattice/nearest_point.h"
#include "round/round_matrix.h"
#include "round/scale/grid_builder.h"
#include "round/scale/group_quantizer.h"
#include "round/scale/scale_constraint.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// What one tile reports; merged in the order of tiles.
struct TileReport {
  EncodeStats stats;
  int64_t zero_groups = 0;
};

class NearestRun {
 public:
  NearestRun(const std::string& name, const RowSource& w, const GridTarget& target, ThreadPool& threads,
             const float* importance)
      : name_(name),
        w_(w),
        target_(target),
        importance_(importance),
        shape_(scale_shape(target.storage, w.rows(), w.cols())),
        per_tensor_(target.storage.granularity.kind == Granularity::Kind::kTensor),
        // A tensor's one scale is chosen beforehand, so its tiles need not hold the whole group.
        tiles_(name, w, per_tensor_ ? 1 : shape_.group_rows, threads),
        builder_(target.storage, w.rows(), w.cols()),
        reports_(static_cast<size_t>(tiles_.tiles())) {}

  std::shared_ptr<const StoredMatrix> run() {
    float tensor_scale = 1;
    if (target_.storage.scale == ScaleType::kE4M3TwoLevel) {
      tensor_scale = GroupQuantizer(target_).tensor_scale_for(range_of_matrix(tiles_));
      builder_.store_tensor_scale(tensor_scale);
    }
    quantizer_.emplace(target_, tensor_scale);
    if (per_tensor_) {
      whole_ = choose_for_matrix(tiles_, *quantizer_, importance_);
      builder_.store_scales(0, {whole_});
    }
    tiles_.for_each([&](int64_t tile, int64_t first, int64_t rows, const float* w) {
      round_tile(first, rows, w, reports_[static_cast<size_t>(tile)]);
    });
    return builder_.finish(name_);
  }

  RoundReport report() const {
    TileReport sum;
    for (const TileReport& tile : reports_) {
      sum.stats.add(tile.stats);
      sum.zero_groups += tile.zero_groups;
    }
    if (per_tensor_ && sum.stats.norm == 0) sum.zero_groups = 1;
    return {sum.stats.norm > 0 ? sum.stats.error / sum.stats.norm : 0, sum.stats.saturated, sum.zero_groups,
            sum.stats.max_error};
  }

 private:
  void round_tile(int64_t first, int64_t rows, const float* w, TileReport& report) {
    const int64_t cols = w_.cols(), band = per_tensor_ ? 1 : shape_.group_rows;
    std::vector<uint8_t> codes(static_cast<size_t>(band * cols));
    for (int64_t at = 0; at < rows; at += band) {
      const int64_t count = std::min(band, rows - at);
      round_band(first + at, count, w + at * cols, codes.data(), report);
      for (int64_t r = 0; r < count; ++r) {
        builder_.store_codes(first + at + r, codes.data() + r * cols);
      }
    }
  }

  /// The rows that share one row of scales: [rows, cols] -> codes [rows, cols].
  void round_band(int64_t first, int64_t rows, const float* w, uint8_t* codes, TileReport& report) {
    const int64_t cols = w_.cols();
    std::vector<WeightGroup> groups;
    for (int64_t c = 0; c < cols; c += shape_.group_cols) {
      groups.push_back({w + c, rows, std::min(shape_.group_cols, cols - c), cols,
                        importance_ == nullptr ? nullptr : importance_ + c});
    }
    std::vector<GroupScale> scales(groups.size(), whole_);
    if (!per_tensor_) {
      choose_scales(groups, scales, report);
      builder_.store_scales(first / shape_.group_rows, scales);
    }
    for (size_t g = 0; g < groups.size(); ++g) {
      quantizer_->encode(groups[g], scales[g], codes + (groups[g].data - w), cols, &report.stats);
    }
  }

  void choose_scales(const std::vector<WeightGroup>& groups, std::vector<GroupScale>& scales,
                     TileReport& report) const {
    for (size_t g = 0; g < groups.size(); ++g) {
      scales[g] = quantizer_->choose(groups[g]);
      report.zero_groups += scales[g].range.is_zero() ? 1 : 0;
    }
    constrain_row(*quantizer_, groups, scales);
  }

  const std::string& name_;
  const RowSource& w_;
  const GridTarget& target_;
  const float* importance_;
  ScaleShape shape_;
  bool per_tensor_;
  TileReader tiles_;
  GridBuilder builder_;
  std::vector<TileReport> reports_;
  std::optional<GroupQuantizer> quantizer_;
  GroupScale whole_;  // granularity tensor
};

}  // namespace

std::shared_ptr<const StoredMatrix> quantize_nearest(const std::string& name, const RowSource& w,
                                                     const GridTarget& target, ThreadPool& threads, RoundReport* report,
                                                     const float* importance) {
  check_target(target, to_string(target));
  for (int64_t c = 0; importance != nullptr && c < w.cols(); ++c) {
    if (!(importance[c] >= 0) || !std::isfinite(importance[c])) {
      refuse("{}: importance of column {} is {}, must be finite and not negative", name, c, importance[c]);
    }
  }
  NearestRun rounding(name, w, target, threads, importance);
  auto tensor = rounding.run();
  if (report != nullptr) *report = rounding.report();
  return tensor;
}

namespace {

/// Of one weight, in weights rounded once.
double work_of(RangeRule::Kind kind) {
  if (kind == RangeRule::Kind::kClip) return 80;
  return kind == RangeRule::Kind::kLeastSquares ? 20 : 1;
}

}  // namespace

double nearest_work(const RoundingShape& shape) {
  const RangeRule::Kind kind = shape.target.search.range.kind;
  return static_cast<double>(shape.rows) * static_cast<double>(shape.cols) * work_of(kind);
}

Needs needs_of(const NearestRounding& options) { return {.second_moment = options.weighted}; }
bool rounds_onto(const NearestRounding& options, const Storage& storage) {
  return is_scaled_grid(storage) || (is_e8p(storage) && !options.weighted);
}
Storage storage_by(const NearestRounding&, Storage wanted) { return wanted; }

RoundingCost cost_of(const NearestRounding&, const RoundingShape& shape) {
  if (is_e8p(shape.target.storage)) {
    const int64_t weights = shape.rows * shape.cols;
    return {.nearest = kE8pWork * static_cast<double>(weights), .bytes = 4 * weights};
  }
  return {.nearest = nearest_work(shape),
          .bytes = shape.threads * 4 * std::min(std::max(kTileWeights, shape.cols), shape.rows * shape.cols)};
}

namespace {

constexpr Option kOptions[] = {
    flag_option<&NearestRounding::weighted>("weighted",
                                            "scales are searched by errors weighted by the inputs' squares"),
};

}  // namespace

Rounded round_by(const NearestRounding& options, const RoundingProblem& problem) {
  if (is_e8p(problem.target.storage)) return round_to_points(problem);
  const GridTarget target = grid_target(problem.target, problem.place);
  std::vector<float> squares;
  if (options.weighted) {
    if (!target.search.compares_errors()) {
      misuse("{}: {} compares no errors that could be weighted; -mse does", problem.place, to_string(target));
    }
    const std::vector<double> exact = problem.inputs->moment->mean_squares();
    squares.assign(exact.begin(), exact.end());
  }
  Rounded result;
  result.matrix = quantize_nearest(problem.place, problem.weights, target, problem.threads, &result.report,
                                   options.weighted ? squares.data() : nullptr);
  return result;
}

constinit const RoundingRow kNearestMethod = rounding_row<NearestRounding>(
    "nearest", kOptions, "every weight to its nearest level (the default)", "rounded to nearest");

}  // namespace bitloom
