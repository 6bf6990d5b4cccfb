#include "round/gptq/gptq_tile.h"

#include <algorithm>
#include <cmath>

namespace bitloom {

GptqTiles::GptqTiles(const RowSource& w, const GptqBase& base, const GptqFactor& factor, bool measured)
    : w_(w), nearest_(*base.nearest), factor_(factor), measured_(measured), target_(base.target) {
  const ScaleShape shape = scale_shape(target_.storage, w.rows(), w.cols());
  group_rows_ = shape.group_rows;
  groups_ = {&factor.order, shape.group_cols, shape.cols, base.fitted};
  feedback_ = {factor.channels, factor.u.data(), factor.correction.empty() ? nullptr : factor.correction.data()};
  quantizer_.emplace(target_, nearest_.grid()->tensor_scale());
  for (const int64_t column : factor.order) importance_.push_back(factor.diagonal[static_cast<size_t>(column)]);
}

GptqPart GptqTiles::solve(RowRange range) const {
  const int64_t rows = range.end - range.begin;
  std::vector<float> original(static_cast<size_t>(rows * w_.cols())), columns(original.size()), errors(original.size());
  w_.decode_rows(range.begin, range.end, original.data());
  load_columns(original, rows, columns);
  GridColumns policy(*quantizer_, groups_, rows,
                     target_.search.range.kind == RangeRule::Kind::kMse ? importance_.data() : nullptr);
  if (!groups_.fitted) load_scales(range, policy);
  GptqPart part;
  part.rows = range;
  part.tiles.resize(1);
  part.tiles[0].loss = column_loop(feedback_, columns.data(), errors.data(), rows, policy);
  take_results(policy, part);
  if (measured_) measure(original, policy, rows, columns, part.tiles[0]);
  return part;
}

/// columns [position, rows] = W^T in the order of the loop, dead columns 0; blocks of 16 x 16 for the cache's sake.
void GptqTiles::load_columns(const std::vector<float>& original, int64_t rows, std::vector<float>& columns) const {
  const int64_t n = w_.cols();
  constexpr int64_t kRows = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += kRows) {
    const int64_t r1 = std::min(rows, r0 + kRows);
    for (int64_t p = 0; p < n; ++p) {
      const int64_t column = factor_.order[static_cast<size_t>(p)];
      const bool dead = factor_.diagonal[static_cast<size_t>(column)] == 0;
      for (int64_t r = r0; r < r1; ++r) {
        columns[static_cast<size_t>(p * rows + r)] = dead ? 0 : original[static_cast<size_t>(r * n + column)];
      }
    }
  }
}

void GptqTiles::load_scales(RowRange range, GridColumns& policy) const {
  std::vector<float> scales(static_cast<size_t>(groups_.groups));
  std::vector<uint8_t> zeros(scales.size());
  for (int64_t r = 0; r < range.end - range.begin; ++r) {
    nearest_.grid()->scales_of_row((range.begin + r) / group_rows_, scales.data(), zeros.data());
    for (int64_t g = 0; g < groups_.groups; ++g) {
      policy.scale(g, r).scale = scales[static_cast<size_t>(g)];
      policy.scale(g, r).zero = zeros[static_cast<size_t>(g)];
    }
  }
}

void GptqTiles::take_results(GridColumns& policy, GptqPart& part) const {
  const int64_t rows = part.rows.end - part.rows.begin, n = w_.cols();
  part.tiles[0].saturated = policy.saturated();
  part.tiles[0].largest_compensated = policy.largest();
  part.codes.resize(static_cast<size_t>(rows * n));
  for (int64_t p = 0; p < n; ++p) {
    const uint8_t* codes = policy.codes(p);
    uint8_t* out = part.codes.data() + factor_.order[static_cast<size_t>(p)];
    for (int64_t r = 0; r < rows; ++r) out[r * n] = codes[r];
  }
  if (!groups_.fitted) return;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < groups_.groups; ++g) part.scales.push_back(policy.scale(g, r));
  }
}

/// Errors of the values that the codes stand for, against the original weights. `scratch` [channels, rows].
void GptqTiles::measure(const std::vector<float>& original, GridColumns& policy, int64_t rows,
                        std::vector<float>& scratch, GptqTile& tile) const {
  const int64_t n = w_.cols();
  std::vector<float> q(static_cast<size_t>(rows));
  for (int64_t p = 0; p < n; ++p) {
    const int64_t column = factor_.order[static_cast<size_t>(p)];
    const bool dead = factor_.diagonal[static_cast<size_t>(column)] == 0;
    policy.decode_column(p, q.data());
    double error = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const float w = original[static_cast<size_t>(r * n + column)];
      const double difference = static_cast<double>(w) - static_cast<double>(q[static_cast<size_t>(r)]);
      scratch[static_cast<size_t>(p * rows + r)] = dead ? 0 : static_cast<float>(difference);
      error += difference * difference;
      tile.norm += static_cast<double>(w) * static_cast<double>(w);
      tile.max_error = std::max(tile.max_error, static_cast<float>(std::abs(difference)));
      tile.largest_weight = std::max(tile.largest_weight, std::abs(w));
    }
    tile.error += error;
    if (!dead) tile.live_error += error;
  }
  tile.damped_error = feedback_.correction == nullptr ? tile.loss : weighted_norm(feedback_, scratch.data(), rows);
}

}  // namespace bitloom
