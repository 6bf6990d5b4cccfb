// GPTQ as a method of recipes: what it costs, what matrices that read one input share, and its work on several ranks.
#include <algorithm>

#include "base/error.h"
#include "base/plain_bytes.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};

// Damping below 1: see make_gptq_factor.
constexpr Option kOptions[] = {
    number_option<&GptqRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&GptqRounding::order>("order", kOrders, "in which columns are rounded"),
    flag_option<&GptqRounding::static_groups>("static-groups", "group scales from the original weights"),
    number_option<&GptqRounding::correction>("correction", 0, 1, "share of the inputs' own error compensated (GPTAQ)"),
};

/// What a factor depends on.
struct FactorKey {
  GptqRounding options;
  int64_t group = 0;  // where the order depends on it
  bool operator==(const FactorKey&) const = default;
};

const GptqFactor& factor_for(const GptqRounding& options, const RoundingProblem& problem, const GridTarget& target) {
  const RowSource& w = problem.weights;
  const int64_t group = scale_shape(target.storage, w.rows(), w.cols()).group_cols;
  const FactorKey key{options, options.order == ColumnOrder::kGroupAware ? group : 0};
  const CrossMoment* cross = problem.inputs->cross ? &*problem.inputs->cross : nullptr;
  try {
    return problem.shared.get<GptqFactor>(
        key, [&] { return make_gptq_factor(*problem.inputs->moment, cross, options, group, problem.threads); });
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", problem.place, error.what());
  }
}

Bytes pack(const GptqPart& part) {
  Bytes bytes;
  append(bytes, std::vector<int64_t>{part.rows.begin, part.rows.end});
  append(bytes, part.codes);
  append(bytes, part.scales);
  append(bytes, part.tiles);
  return bytes;
}

GptqPart unpack_part(const Bytes& bytes) {
  BytesReader reader(bytes);
  const std::vector<int64_t> rows = reader.take<int64_t>();
  GptqPart part;
  part.rows = {rows.at(0), rows.at(1)};
  part.codes = reader.take<uint8_t>();
  part.scales = reader.take<GroupScale>();
  part.tiles = reader.take<GptqTile>();
  return part;
}

RowRange tile_rows_of(const Ranks& ranks, int64_t rows) {
  const RankShare tiles = share_of(ranks, (rows + kGptqTileRows - 1) / kGptqTileRows);
  return {std::min(rows, tiles.begin * kGptqTileRows), std::min(rows, tiles.end * kGptqTileRows)};
}

std::shared_ptr<const StoredMatrix> quantize_on_ranks(const GptqRounding& options, const RoundingProblem& problem,
                                                      const GridTarget& target, const GptqFactor& factor,
                                                      GptqReport& report) {
  const std::string& place = problem.place;
  const RowSource& w = problem.weights;
  if (problem.ranks.size() == 1) {
    return quantize_gptq(place, w, target, factor, options.static_groups, problem.threads, &report);
  }
  const GptqBase base = make_gptq_base(place, w, target, factor, options.static_groups, problem.threads);
  const GptqPart mine = quantize_rows_gptq(w, base, factor, tile_rows_of(problem.ranks, w.rows()), problem.threads);
  std::vector<GptqPart> parts;
  for (const Bytes& bytes : problem.ranks.gather(pack(mine))) parts.push_back(unpack_part(bytes));
  return merge_gptq_parts(place, base, factor, std::move(parts), &report);
}

}  // namespace

Needs needs_of(const GptqRounding& options) { return {.second_moment = true, .cross_moment = options.correction != 0}; }

bool rounds_onto(const GptqRounding&, const Storage& storage) { return is_scaled_grid(storage); }

Storage storage_by(const GptqRounding&, Storage wanted) { return wanted; }

/// The factor and the matrix it is made from, with a correction one more; three tiles in fp32 and codes per thread.
RoundingCost cost_of(const GptqRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  const bool corrects = options.correction != 0 && shape.gathered.cross_moment;
  const int64_t tile = std::min(kGptqTileRows, shape.rows) * shape.cols;
  return {.nearest = nearest_work(shape),
          .loop = n * d * d / static_cast<double>(shape.ranks),
          .shared_factor = 4.0 / 3.0 * d * d * d,
          .shared_flops = corrects ? 4 * d * d * d : 0,
          .bytes = shape.threads * tile * (3 * 4 + 1),
          .shared_bytes = 4 * shape.cols * shape.cols * (corrects ? 3 : 2)};
}

Rounded round_by(const GptqRounding& options, const RoundingProblem& problem) {
  const GridTarget target = grid_target(problem.target, problem.place);
  const GptqFactor& factor = factor_for(options, problem, target);
  GptqReport report;
  auto matrix = quantize_on_ranks(options, problem, target, factor, report);
  RoundReport all = report.rounding;
  all.damping = factor.damping;
  all.compensation_ratio = report.largest_ratio;
  if (factor.damping > options.damping) {
    all.remarks.push_back(
        fmt::format("damping {:.2f} instead of {:.2f}, with which its inputs' second moment is not positive definite",
                    factor.damping, options.damping));
  }
  return {std::move(matrix), std::move(all)};
}

constinit const RoundingRow kGptqMethod = rounding_row<GptqRounding>(
    "gptq", kOptions, "each column's error fed into the columns not yet rounded", "rounded with error feedback (GPTQ)");

}  // namespace bitloom
