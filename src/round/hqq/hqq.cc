#include "round/hqq/hqq.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "round/scale/abs_power.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// sum |r| is flat between ties, where sums' rounding would decide.
constexpr double kLeastGain = 1e-9;

/// One group and one scale.
class HalfQuadratic {
 public:
  HalfQuadratic(const std::vector<float>& w, int bits, const HqqRounding& options, HqqScale start)
      : w_(w), most_((1 << bits) - 1), options_(options), s_(start) {}

  void solve() {
    double beta = options_.beta, least = INFINITY, best = s_.zero;
    for (int64_t turn = 0; turn <= options_.iterations; ++turn) {
      double absolute = 0, next = 0;
      for (const float weight : w_) {
        const double w = weight, q = code(w), r = w - s_.scale * (q - s_.zero);
        absolute += std::abs(r);
        next += q - (w - shrunk(r, beta)) / s_.scale;
      }
      if (!(absolute < least * (1 - kLeastGain))) break;
      least = absolute, best = s_.zero;
      s_.zero = next / static_cast<double>(w_.size());
      beta *= options_.kappa;
    }
    s_.zero = best;
  }

  /// sum |r|^choice, close enough for a choice.
  double norm() const {
    std::vector<float> errors;
    for (const float w : w_) {
      const auto x = static_cast<double>(w);
      errors.push_back(static_cast<float>(x - s_.scale * (code(x) - s_.zero)));
    }
    abs_power(errors.data(), static_cast<int64_t>(errors.size()), options_.choice);
    return std::accumulate(errors.begin(), errors.end(), 0.0);
  }

  const HqqScale& scale() const { return s_; }

 private:
  double code(double w) const { return std::clamp(std::nearbyint(w / s_.scale + s_.zero), 0.0, most_); }

  double shrunk(double r, double beta) const {
    const double unit = options_.parity == HqqRounding::Parity::kNone ? s_.scale : 1;
    const double x = std::abs(r) / unit;
    if (x == 0) return 0;
    return std::copysign(unit * std::max(0.0, x - std::pow(x, options_.norm - 1) / beta), r);
  }

  const std::vector<float>& w_;
  double most_;
  const HqqRounding& options_;
  HqqScale s_;
};

constexpr double kRangeStep = 0.05;

/// Columns with a root mean square below this share of the matrix's are small.
constexpr double kSmallColumn = 0.5;
/// Enough to know; the sums of all would be as large as wide matrices.
constexpr int64_t kTilesSeen = 64;

/// A matrix on its way. Blocks of rows that share second-level scales are apart.
class HqqRun {
 public:
  HqqRun(const HqqRounding& options, const RoundingProblem& problem)
      : options_(options),
        problem_(problem),
        storage_(problem.target.storage.base.get<AffineStorage>()),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        groups_(storage_.groups(cols_)) {
    values_.widths.assign(static_cast<size_t>(groups_), static_cast<uint8_t>(storage_.bits));
    values_.codes.resize(static_cast<size_t>(rows_ * cols_));
    values_.scales.resize(static_cast<size_t>(rows_ * groups_));
    if (storage_.second_bits > 0) values_.seconds.resize(static_cast<size_t>(storage_.blocks(rows_) * groups_));
  }

  Rounded run() {
    const TileReader tiles(problem_.place, problem_.weights, storage_.second_rows, problem_.threads);
    choose_zeros(tiles);
    std::vector<RoundReport> reports(static_cast<size_t>(tiles.tiles()));
    std::vector<double> norms(reports.size());
    tiles.for_each([&](int64_t tile, int64_t first, int64_t rows, const float* w) {
      for (int64_t at = 0; at < rows; at += storage_.second_rows) {
        for (int64_t g = 0; g < groups_; ++g) {
          round_block(first + at, std::min(storage_.second_rows, rows - at), g, w + at * cols_);
        }
      }
      measure(first, rows, w, reports[static_cast<size_t>(tile)], norms[static_cast<size_t>(tile)]);
    });
    Rounded result;
    double norm = 0;
    for (size_t t = 0; t < reports.size(); ++t) {
      result.report.weight_error += reports[t].weight_error, norm += norms[t];
      result.report.zero_groups += reports[t].zero_groups;
      result.report.max_abs_error = std::max(result.report.max_abs_error, reports[t].max_abs_error);
    }
    if (norm > 0) result.report.weight_error /= norm;
    result.matrix = stored_from_bytes(problem_.place, problem_.target.storage, rows_, cols_,
                                      pack_affine(storage_, rows_, cols_, values_));
    return result;
  }

 private:
  /// Which groups get whole zero points.
  void choose_zeros(const TileReader& tiles) {
    const bool whole = options_.zeros == HqqRounding::Zeros::kWhole;
    whole_.assign(static_cast<size_t>(groups_), whole ? 1 : 0);
    if (options_.parity != HqqRounding::Parity::kNone || storage_.bits == 1) {
      whole_.assign(whole_.size(), 0);  // of two levels one would be 0
    } else if (options_.zeros == HqqRounding::Zeros::kAuto) {
      const std::vector<double> squares = squares_of_columns(tiles);
      const double mean = std::accumulate(squares.begin(), squares.end(), 0.0) / static_cast<double>(cols_);
      for (int64_t c = 0; c < cols_; ++c) {
        const bool small = squares[static_cast<size_t>(c)] < kSmallColumn * kSmallColumn * mean;
        if (small) whole_[static_cast<size_t>(c / storage_.width(cols_))] = 1;
      }
    }
  }

  /// Sums over the rows of kTilesSeen tiles at most, evenly spread, in their order.
  std::vector<double> squares_of_columns(const TileReader& tiles) const {
    const int64_t stride = std::max<int64_t>(1, (tiles.tiles() + kTilesSeen - 1) / kTilesSeen);
    std::vector<std::vector<double>> sums(static_cast<size_t>((tiles.tiles() + stride - 1) / stride));
    tiles.for_each([&](int64_t tile, int64_t, int64_t rows, const float* w) {
      if (tile % stride != 0) return;
      std::vector<double>& own = sums[static_cast<size_t>(tile / stride)];
      own.resize(static_cast<size_t>(cols_));
      for (int64_t r = 0; r < rows; ++r) {
        for (double& sum : own) sum += static_cast<double>(*w) * static_cast<double>(*w), ++w;
      }
    });
    std::vector<double> squares(static_cast<size_t>(cols_));
    for (const std::vector<double>& own : sums) {
      std::transform(own.begin(), own.end(), squares.begin(), squares.begin(), std::plus<>());
    }
    return squares;
  }

  AffineScale& scale(int64_t r, int64_t g) { return values_.scales[static_cast<size_t>(r * groups_ + g)]; }

  std::vector<AffineScale> solved(const std::vector<AffineGroup>& groups, bool whole) const {
    std::vector<AffineScale> scales;
    for (const AffineGroup& group : groups) {
      const HqqScale s = solve_hqq(group.w, storage_.bits, options_, whole);
      scales.push_back(stored_affine(s.scale, s.zero));
    }
    return scales;
  }

  /// Whether second-level codes can stand for all zero points, being whole and close enough to each other.
  bool codes_hold(const std::vector<AffineScale>& scales) const {
    const auto less = [](const AffineScale& a, const AffineScale& b) { return a.zero < b.zero; };
    const auto [least, greatest] = std::minmax_element(scales.begin(), scales.end(), less);
    return greatest->zero - least->zero <= static_cast<float>((1 << storage_.second_bits) - 1) &&
           std::all_of(scales.begin(), scales.end(),
                       [](const AffineScale& s) { return s.zero == std::nearbyint(s.zero); });
  }

  /// Group g of rows that share second-level scales; w [rows, cols].
  void round_block(int64_t first, int64_t rows, int64_t g, const float* w) {
    std::vector<AffineGroup> groups;
    for (int64_t r = 0; r < rows; ++r) {
      const float* begin = w + r * cols_ + g * storage_.width(cols_);
      groups.push_back({{begin, begin + storage_.width_of(g, cols_)}, {}});
    }
    bool whole = whole_[static_cast<size_t>(g)] != 0;
    std::vector<AffineScale> scales = solved(groups, whole);
    if (whole && storage_.second_bits > 0 && !codes_hold(scales)) {
      whole = false;
      scales = solved(groups, whole);
    }
    if (storage_.second_bits > 0) {
      values_.seconds[static_cast<size_t>(first / storage_.second_rows * groups_ + g)] =
          round_second(storage_.second_bits, groups, storage_.bits, !whole, scales);
    }
    for (int64_t r = 0; r < rows; ++r) {
      scale(first + r, g) = scales[static_cast<size_t>(r)];
      uint8_t* codes = values_.codes.data() + (first + r) * cols_ + g * storage_.width(cols_);
      for (const float x : groups[static_cast<size_t>(r)].w) {
        *codes++ = static_cast<uint8_t>(affine_code(x, scale(first + r, g), storage_.bits));
      }
    }
  }

  void measure(int64_t first, int64_t rows, const float* w, RoundReport& report, double& norm) {
    for (int64_t r = first; r < first + rows; ++r) {
      for (int64_t g = 0; g < groups_; ++g) report.zero_groups += scale(r, g).scale == 0 ? 1 : 0;
      for (int64_t c = 0; c < cols_; ++c, ++w) {
        const AffineScale& s = scale(r, c / storage_.width(cols_));
        const double x = *w, difference = x - s.value(values_.codes[static_cast<size_t>(r * cols_ + c)]);
        report.weight_error += difference * difference, norm += x * x;
        report.max_abs_error = std::max(report.max_abs_error, std::abs(difference));
      }
    }
  }

  const HqqRounding& options_;
  const RoundingProblem& problem_;
  const AffineStorage& storage_;
  int64_t rows_, cols_, groups_;
  AffineValues values_;
  std::vector<uint8_t> whole_;  // [groups]
};

constexpr std::string_view kZeros[] = {"auto", "whole", "real"};
constexpr std::string_view kParities[] = {"none", "code"};

constexpr Option kOptions[] = {
    number_option<&HqqRounding::iterations>("iterations", 0, 1000, "turns at most"),
    number_option<&HqqRounding::norm>("norm", 0.5, 1, "p of the error |w - q|^p", "p"),
    number_option<&HqqRounding::beta>("beta", 0.001, 1e6, "weight of the quadratic half in the first turn"),
    number_option<&HqqRounding::kappa>("kappa", 1, 10, "factor of beta from turn to turn"),
    number_option<&HqqRounding::ranges>("ranges", 1, 16, "ranges tried, each 5 % of the whole below the last"),
    number_option<&HqqRounding::choice>("choice", 0.5, 4, "power of errors that decides between ranges"),
    choice_option<&HqqRounding::zeros>("zeros", kZeros,
                                       "whole has a level of exactly 0, auto where columns of small weights need it; "
                                       "real with one bit, or parity=code"),
    choice_option<&HqqRounding::parity>("parity", kParities, "reproduces the authors' code"),
};

}  // namespace

HqqScale half_quadratic(const std::vector<float>& w, int bits, const HqqRounding& options, HqqScale start) {
  HalfQuadratic solver(w, bits, options, start);
  solver.solve();
  return solver.scale();
}

HqqScale solve_hqq(const std::vector<float>& w, int bits, const HqqRounding& options, bool whole) {
  if (const AffineScale range = range_affine({w, {}}, bits); range.scale == 0 || is_flat(w, bits)) {
    return {range.scale, range.zero};
  }
  const auto [least_weight, greatest] = std::minmax_element(w.begin(), w.end());
  const double low = *least_weight, width = static_cast<double>(*greatest) - low, most = (1 << bits) - 1;
  // Weights all on one side of 0 have none beside it.
  whole = whole && *least_weight <= 0 && *greatest >= 0;
  HqqScale best;
  double least = INFINITY;
  const auto consider = [&](const HqqScale& s) {
    const double norm = HalfQuadratic(w, bits, options, s).norm();
    if (norm < least) least = norm, best = s;
  };
  const auto consider_stored = [&](const HqqScale& s) {
    if (!whole) return consider(s);
    consider({s.scale, std::clamp(std::floor(s.zero), 0.0, most)});
    consider({s.scale, std::clamp(std::ceil(s.zero), 0.0, most)});
  };
  const int64_t ranges = options.parity == HqqRounding::Parity::kNone ? options.ranges : 1;
  for (int64_t i = 0; i < ranges; ++i) {
    const double cut = kRangeStep * static_cast<double>(i), scale = width * (1 - cut) / most;
    // As much is cut at both ends.
    consider_stored({scale, -(low + cut / 2 * width) / scale});
  }
  const HqqScale turned = half_quadratic(w, bits, options, best);
  if (options.parity == HqqRounding::Parity::kCode) return turned;
  consider_stored(turned);
  return best;
}

Needs needs_of(const HqqRounding&) { return {}; }

bool rounds_onto(const HqqRounding&, const Storage& storage) {
  return storage.base.get_if<AffineStorage>() != nullptr && storage.side == SideTerms{};
}

Storage storage_by(const HqqRounding&, Storage wanted) { return wanted; }

/// A turn takes every weight about as long as ten roundings, its power included, a range as long as two. Codes and
/// scales are held.
RoundingCost cost_of(const HqqRounding& options, const RoundingShape& shape) {
  const auto& storage = shape.target.storage.base.get<AffineStorage>();
  const double weights = static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
  return {.nearest = weights * static_cast<double>(10 * std::min<int64_t>(options.iterations, 8) + 2 * options.ranges),
          .bytes = shape.rows * (shape.cols + storage.groups(shape.cols) * static_cast<int64_t>(sizeof(AffineScale))) +
                   std::min(kTilesSeen, shape.rows * shape.cols / kTileWeights + 1) * shape.cols *
                       static_cast<int64_t>(sizeof(double))};
}

Rounded round_by(const HqqRounding& options, const RoundingProblem& problem) { return HqqRun(options, problem).run(); }

constinit const RoundingRow kHqqMethod =
    rounding_row<HqqRounding>("hqq", kOptions, "zero points by half-quadratic splitting, no data (affine4-g64, ...)",
                              "zero points by half-quadratic splitting (HQQ)");

}  // namespace bitloom
