#include "round/feedback.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "round/column_loop.h"
#include "round/grid_columns.h"
#include "round/quantized_builder.h"

namespace bitloom {
namespace {

constexpr int64_t kTileRows = 256;

bool is_m2(ScaleConstraint constraint) {
  return constraint == ScaleConstraint::kM2Ceil || constraint == ScaleConstraint::kM2Round ||
         constraint == ScaleConstraint::kM2Floor || constraint == ScaleConstraint::kM2Mse;
}

/// Whether every run of `group` positions (the last may be shorter) holds the columns of one group.
bool groups_stay_together(const std::vector<int64_t>& order, int64_t group) {
  for (size_t p = 0; p < order.size(); ++p) {
    const size_t first = p / static_cast<size_t>(group) * static_cast<size_t>(group);
    if (order[p] / group != order[first] / group) return false;
  }
  return true;
}

struct TileResult {
  double loss = 0, error = 0, norm = 0;
  float max_error = 0, largest_weight = 0, largest_compensated = 0;
  int64_t saturated = 0;
};

class FeedbackRun {
 public:
  FeedbackRun(const RowSource& w, const FeedbackFactor& factor, bool static_groups, const QuantizedTensor& nearest)
      : w_(w), factor_(factor), nearest_(nearest), spec_(nearest.spec()), builder_(nearest) {
    const ScaleShape shape = scale_shape(spec_, w.rows(), w.cols());
    group_rows_ = shape.group_rows;
    groups_ = {&factor.order, shape.group_cols, shape.cols, false};
    groups_.fitted = spec_.granularity.kind == Granularity::Kind::kGroup && !static_groups &&
                     !is_m2(spec_.constraint) && groups_stay_together(factor.order, shape.group_cols);
    quantizer_.emplace(spec_, tensor_scale());
    for (const int64_t column : factor.order) importance_.push_back(factor.diagonal[static_cast<size_t>(column)]);
  }

  std::shared_ptr<const QuantizedTensor> run(const std::string& name, ThreadPool& threads,
                                             std::vector<TileResult>& tiles) {
    tiles.resize(static_cast<size_t>((w_.rows() + kTileRows - 1) / kTileRows));
    threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
      const int64_t first = t * kTileRows;
      tiles[static_cast<size_t>(t)] = run_tile(first, std::min(kTileRows, w_.rows() - first));
    });
    return builder_.finish(name);
  }

 private:
  float tensor_scale() const {
    if (spec_.scale != ScaleType::kE4M3TwoLevel) return 1;
    float scale = 0;
    decode_to_f32(DType::kF32, nearest_.parts().back().bytes.data(), 0, 1, &scale);
    return scale;
  }

  TileResult run_tile(int64_t first, int64_t rows) {
    const int64_t n = w_.cols();
    const auto size = static_cast<size_t>(rows * n);
    std::vector<float> original(size), columns(size), errors(size);
    w_.decode_rows(first, first + rows, original.data());
    for (int64_t p = 0; p < n; ++p) {
      const int64_t column = factor_.order[static_cast<size_t>(p)];
      const bool dead = factor_.diagonal[static_cast<size_t>(column)] == 0;
      for (int64_t r = 0; r < rows; ++r)
        columns[static_cast<size_t>(p * rows + r)] = dead ? 0 : original[static_cast<size_t>(r * n + column)];
    }
    GridColumns policy(*quantizer_, groups_, rows,
                       spec_.range.kind == RangeRule::Kind::kMse ? importance_.data() : nullptr);
    if (!groups_.fitted) load_scales(first, rows, policy);
    TileResult result;
    result.loss = column_loop(factor_.u.data(), n, columns.data(), errors.data(), rows, policy);
    result.saturated = policy.saturated();
    result.largest_compensated = policy.largest();
    for (const float value : original) result.largest_weight = std::max(result.largest_weight, std::abs(value));
    store(first, rows, policy);
    return result;
  }

  void load_scales(int64_t first, int64_t rows, GridColumns& policy) const {
    std::vector<float> scales(static_cast<size_t>(groups_.groups));
    std::vector<uint8_t> zeros(scales.size());
    for (int64_t r = 0; r < rows; ++r) {
      nearest_.scales_of_row((first + r) / group_rows_, scales.data(), zeros.data());
      for (int64_t g = 0; g < groups_.groups; ++g) {
        policy.scale(g, r).scale = scales[static_cast<size_t>(g)];
        policy.scale(g, r).zero = zeros[static_cast<size_t>(g)];
      }
    }
  }

  void store(int64_t first, int64_t rows, GridColumns& policy) {
    std::vector<uint8_t> codes(static_cast<size_t>(w_.cols()));
    std::vector<GroupScale> scales(static_cast<size_t>(groups_.groups));
    for (int64_t r = 0; r < rows; ++r) {
      for (size_t p = 0; p < codes.size(); ++p) {
        codes[static_cast<size_t>(factor_.order[p])] = policy.codes(static_cast<int64_t>(p))[r];
      }
      builder_.store_codes(first + r, codes.data());
      if (!groups_.fitted) continue;
      for (int64_t g = 0; g < groups_.groups; ++g) scales[static_cast<size_t>(g)] = policy.scale(g, r);
      builder_.store_scales(first + r, scales);
    }
  }

  const RowSource& w_;
  const FeedbackFactor& factor_;
  const QuantizedTensor& nearest_;
  QuantSpec spec_;
  QuantizedBuilder builder_;
  int64_t group_rows_ = 1;
  ColumnGroups groups_;
  std::optional<GroupQuantizer> quantizer_;
  std::vector<float> importance_;
};

/// Weight error of what was stored, against the original weights.
void measure(const RowSource& w, const QuantizedTensor& q, std::vector<TileResult>& tiles, ThreadPool& threads) {
  threads.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t t) {
    const int64_t first = t * kTileRows, end = std::min(w.rows(), first + kTileRows);
    std::vector<float> a(static_cast<size_t>((end - first) * w.cols())), b(a.size());
    w.decode_rows(first, end, a.data());
    q.decode_rows(first, end, b.data());
    TileResult& tile = tiles[static_cast<size_t>(t)];
    for (size_t i = 0; i < a.size(); ++i) {
      const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
      tile.error += difference * difference;
      tile.norm += static_cast<double>(a[i]) * static_cast<double>(a[i]);
      tile.max_error = std::max(tile.max_error, static_cast<float>(std::abs(difference)));
    }
  });
}

FeedbackReport summarise(const std::vector<TileResult>& tiles, int64_t zero_groups) {
  FeedbackReport report;
  double error = 0, norm = 0;
  float largest_weight = 0, largest_compensated = 0;
  for (const TileResult& tile : tiles) {
    report.output_error += tile.loss;
    report.rounding.saturated += tile.saturated;
    report.rounding.max_abs_error = std::max<double>(report.rounding.max_abs_error, tile.max_error);
    error += tile.error, norm += tile.norm;
    largest_weight = std::max(largest_weight, tile.largest_weight);
    largest_compensated = std::max(largest_compensated, tile.largest_compensated);
  }
  report.rounding.weight_error = norm > 0 ? error / norm : 0;
  report.rounding.zero_groups = zero_groups;
  report.largest_ratio = largest_weight > 0 ? static_cast<double>(largest_compensated / largest_weight) : 0;
  return report;
}

}  // namespace

std::shared_ptr<const QuantizedTensor> quantize_with_feedback(const std::string& name, const RowSource& w,
                                                              const QuantSpec& spec, const FeedbackFactor& factor,
                                                              bool static_groups, ThreadPool& threads,
                                                              FeedbackReport* report) {
  if (w.cols() != factor.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", name, w.cols(), factor.channels);
  }
  // Nearest rounding checks the values and gives every scale that must be known beforehand.
  RoundingReport nearest_report;
  const bool searched = spec.range.kind == RangeRule::Kind::kMse;
  const auto nearest =
      quantize_nearest(name, w, spec, threads, &nearest_report, searched ? factor.diagonal.data() : nullptr);
  std::vector<TileResult> tiles;
  auto tensor = FeedbackRun(w, factor, static_groups, *nearest).run(name, threads, tiles);
  if (report != nullptr) {
    measure(w, *tensor, tiles, threads);
    *report = summarise(tiles, nearest_report.zero_groups);
  }
  return tensor;
}

}  // namespace bitloom
