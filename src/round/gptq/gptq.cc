#include "round/gptq/gptq.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "round/gptq/gptq_tile.h"
#include "round/nearest/nearest.h"
#include "round/scale/grid_builder.h"

namespace bitloom {
namespace {

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

/// Stores one tile's rows. Different rows may be stored concurrently.
void store_rows(GridBuilder& builder, const GptqPart& part, int64_t cols) {
  const int64_t rows = part.rows.end - part.rows.begin;
  const int64_t groups = static_cast<int64_t>(part.scales.size()) / rows;
  for (int64_t r = 0; r < rows; ++r) {
    builder.store_codes(part.rows.begin + r, part.codes.data() + r * cols);
    if (groups == 0) continue;
    builder.store_scales(part.rows.begin + r,
                         {part.scales.begin() + r * groups, part.scales.begin() + (r + 1) * groups});
  }
}

/// Everything but the codes and fitted scales.
GridBuilder start_builder(const GptqBase& base) {
  if (!base.fitted) return GridBuilder(*base.nearest);
  GridBuilder builder(base.target.storage, base.nearest->rows(), base.nearest->cols());
  if (base.target.storage.scale == ScaleType::kE4M3TwoLevel)
    builder.store_tensor_scale(base.nearest->grid()->tensor_scale());
  return builder;
}

GptqReport summarise(const std::vector<GptqTile>& tiles, const GptqBase& base, const GptqFactor& factor) {
  GptqReport report;
  GptqTile sum;
  for (const GptqTile& tile : tiles) {
    sum.damped_error += tile.damped_error, sum.live_error += tile.live_error;
    sum.error += tile.error, sum.norm += tile.norm;
    sum.saturated += tile.saturated;
    sum.max_error = std::max(sum.max_error, tile.max_error);
    sum.largest_weight = std::max(sum.largest_weight, tile.largest_weight);
    sum.largest_compensated = std::max(sum.largest_compensated, tile.largest_compensated);
  }
  report.rounding = {sum.norm > 0 ? sum.error / sum.norm : 0, sum.saturated, base.zero_groups,
                     static_cast<double>(sum.max_error)};
  report.output_error = std::max(0.0, sum.damped_error - factor.lambda() * sum.live_error);
  report.largest_ratio = sum.largest_weight > 0 ? static_cast<double>(sum.largest_compensated / sum.largest_weight) : 0;
  return report;
}

/// Tiles of rows that cover `rows`.
std::vector<RowRange> tiles_of(RowRange rows) {
  std::vector<RowRange> tiles;
  for (int64_t begin = rows.begin; begin < rows.end; begin += kGptqTileRows) {
    tiles.push_back({begin, std::min(rows.end, begin + kGptqTileRows)});
  }
  return tiles;
}

}  // namespace

GptqBase make_gptq_base(const std::string& name, const RowSource& w, const GridTarget& target, const GptqFactor& factor,
                        bool static_groups, ThreadPool& threads) {
  if (w.cols() != factor.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", name, w.cols(), factor.channels);
  }
  GptqBase base;
  base.fitted = target.storage.granularity.kind == Granularity::Kind::kGroup && !static_groups &&
                !is_m2(target.search.constraint) &&
                groups_stay_together(factor.order, scale_shape(target.storage, w.rows(), w.cols()).group_cols);
  const bool searched = target.search.range.kind == RangeRule::Kind::kMse;
  base.target = target;
  GridTarget quick = target;
  if (base.fitted && searched) quick.search.range = RangeRule{};
  RoundReport report;
  base.nearest =
      quantize_nearest(name, w, quick, threads, &report, searched && !base.fitted ? factor.diagonal.data() : nullptr);
  base.zero_groups = report.zero_groups;
  return base;
}

std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w, const GridTarget& target,
                                                  const GptqFactor& factor, bool static_groups, ThreadPool& threads,
                                                  GptqReport* report) {
  const GptqBase base = make_gptq_base(name, w, target, factor, static_groups, threads);
  GridBuilder builder = start_builder(base);
  const GptqTiles solver(w, base, factor, report != nullptr);
  const std::vector<RowRange> rows = tiles_of({0, w.rows()});
  std::vector<GptqTile> tiles(rows.size());
  threads.parallel_for(static_cast<int64_t>(rows.size()), [&](int64_t t) {
    const GptqPart part = solver.solve(rows[static_cast<size_t>(t)]);
    store_rows(builder, part, w.cols());
    tiles[static_cast<size_t>(t)] = part.tiles[0];
  });
  if (report != nullptr) *report = summarise(tiles, base, factor);
  return builder.finish(name);
}

GptqPart quantize_rows_gptq(const RowSource& w, const GptqBase& base, const GptqFactor& factor, RowRange rows,
                            ThreadPool& threads) {
  if (rows.begin < 0 || rows.begin > rows.end || rows.end > w.rows() || rows.begin % kGptqTileRows != 0 ||
      (rows.end % kGptqTileRows != 0 && rows.end != w.rows())) {
    fail(ErrorKind::kFailed, "rows [{}, {}) of {}: expected whole tiles of {} rows", rows.begin, rows.end, w.rows(),
         kGptqTileRows);
  }
  const GptqTiles solver(w, base, factor, true);
  const std::vector<RowRange> ranges = tiles_of(rows);
  std::vector<GptqPart> parts(ranges.size());
  threads.parallel_for(static_cast<int64_t>(ranges.size()), [&](int64_t t) {
    parts[static_cast<size_t>(t)] = solver.solve(ranges[static_cast<size_t>(t)]);
  });
  GptqPart whole;
  whole.rows = rows;
  for (const GptqPart& part : parts) {
    whole.codes.insert(whole.codes.end(), part.codes.begin(), part.codes.end());
    whole.scales.insert(whole.scales.end(), part.scales.begin(), part.scales.end());
    whole.tiles.insert(whole.tiles.end(), part.tiles.begin(), part.tiles.end());
  }
  return whole;
}

std::shared_ptr<const StoredMatrix> merge_gptq_parts(const std::string& name, const GptqBase& base,
                                                     const GptqFactor& factor, std::vector<GptqPart> parts,
                                                     GptqReport* report) {
  const StoredMatrix& nearest = *base.nearest;
  std::erase_if(parts, [](const GptqPart& part) { return part.rows.begin == part.rows.end; });
  std::sort(parts.begin(), parts.end(),
            [](const GptqPart& a, const GptqPart& b) { return a.rows.begin < b.rows.begin; });
  GridBuilder builder = start_builder(base);
  std::vector<GptqTile> tiles;
  int64_t row = 0;
  for (const GptqPart& part : parts) {
    const int64_t rows = part.rows.end - part.rows.begin;
    if (part.rows.begin != row || static_cast<int64_t>(part.codes.size()) != rows * nearest.cols() ||
        part.scales.empty() == base.fitted) {
      fail(ErrorKind::kFailed, "{}: the parts of rows do not fit together at row {}", name, row);
    }
    store_rows(builder, part, nearest.cols());
    tiles.insert(tiles.end(), part.tiles.begin(), part.tiles.end());
    row = part.rows.end;
  }
  if (row != nearest.rows()) fail(ErrorKind::kFailed, "{}: no part holds row {} of {}", name, row, nearest.rows());
  if (report != nullptr) *report = summarise(tiles, base, factor);
  return builder.finish(name);
}

}  // namespace bitloom
