#include "round/fpq/fpq.h"

#include <algorithm>

#include "base/error.h"
#include "forward/input_rounder.h"
#include "round/round_matrix.h"
#include "round/scale/grid_builder.h"
#include "round/scale/group_quantizer.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

constexpr std::string_view kSearches[] = {"shortlist", "full", "weights"};
constexpr std::string_view kGrids[] = {"clip", "bias"};
constexpr std::string_view kFormats[] = {"all", "given"};

constexpr Option kOptions[] = {
    choice_option<&FpqRounding::search>("search", kSearches, "which candidates products with tokens judge"),
    choice_option<&FpqRounding::grid>("grid", kGrids, "steps of the clip value, or the paper's of the bias"),
    choice_option<&FpqRounding::formats>("formats", kFormats, "every eXmY of as many bits, or the given one"),
    number_option<&FpqRounding::rounds>("rounds", 1, 100, "weights, then the input; where its format is searched"),
    number_option<&FpqRounding::tokens>("tokens", 1, 65536, "of each input, which candidates are judged by"),
    flag_option<&FpqRounding::fisher>("fisher", "outputs weighted by their mean squared gradients"),
};

bool by_data(const FpqRounding& options) { return options.search != FpqRounding::Search::kWeights; }

// ---- cost -----------------------------------------------------------------------------------------------------------

constexpr double kJudged = 3;         // candidates of a format that products judge
constexpr double kByDiagonal = 0.05;  // of rounding a weight to nearest: judging it in one scale by itself

double as_real(int64_t count) { return static_cast<double>(count); }
bool is_full(const FpqRounding& options) { return options.search == FpqRounding::Search::kFull; }
double candidates_of(const FpqRounding& options) { return options.grid == ClipGrid::kClip ? 48 : 101; }
double count_of_formats(int bits) { return static_cast<double>(formats_of_bits(bits).size()); }

double judged_of(const FpqRounding& options) { return is_full(options) ? candidates_of(options) : kJudged; }

/// Every candidate of every format by its weights alone, then a product for each that is judged. (At most: formats that
/// fall behind are given up.)
RoundingCost cost_of_weights(const FpqRounding& options, int64_t rows, int64_t cols, int bits, int64_t tokens) {
  const double weights = as_real(rows) * as_real(cols);
  const double formats = options.formats == FpqRounding::Formats::kAll ? count_of_formats(bits) : 1;
  const double products = tokens > 0 ? judged_of(options) : 0;
  return {.nearest = weights * formats * (kByDiagonal * candidates_of(options) + products / 2),
          .flops = 2 * weights * as_real(tokens) * formats * products};
}

/// Exact outputs of all rows; of a tile rows, their rounded form and its outputs.
int64_t bytes_of_search(int64_t rows, int64_t cols, int64_t tokens) {
  return 4 * (rows * tokens + std::min(kSearchedRows, rows) * (2 * cols + tokens));
}

// ---- codes ----------------------------------------------------------------------------------------------------------

/// Codes of all rows by the scales chosen.
Rounded encode(const RoundingProblem& problem, const WeightChoice& choice) {
  const RowSource& w = problem.weights;
  const int64_t cols = w.cols();
  const TileReader tiles(problem.place, w, 1, problem.threads);
  const GroupQuantizer quantizer(choice.target);
  GridBuilder builder(choice.target.storage, w.rows(), cols);
  std::vector<EncodeStats> stats(static_cast<size_t>(tiles.tiles()));
  tiles.for_each([&](int64_t tile, int64_t first, int64_t rows, const float* weights) {
    std::vector<uint8_t> codes(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      const float stored = choice.scales[static_cast<size_t>(first + r)];
      const WeightGroup group{weights + r * cols, 1, cols, cols, nullptr};
      const GroupScale scale = stored > 0 ? quantizer.with_scale(full_range(group), stored) : GroupScale{};
      quantizer.encode(group, scale, codes.data(), cols, &stats[static_cast<size_t>(tile)]);
      builder.store_codes(first + r, codes.data());
      builder.store_scales(first + r, {scale});
    }
  });
  EncodeStats all;
  for (const EncodeStats& of_tile : stats) all.add(of_tile);
  const auto zeros = std::count(choice.scales.begin(), choice.scales.end(), 0.0f);
  Rounded rounded;
  rounded.matrix = builder.finish(problem.place);
  rounded.report = {all.norm > 0 ? all.error / all.norm : 0, all.saturated, zeros, all.max_error};
  return rounded;
}

}  // namespace

std::string clash_of(const FpqRounding& options) {
  if (by_data(options) || !options.fisher) return "";
  return "'fpq' looks at no outputs with search=weights, so fisher has nothing to weigh; leave out one of the two";
}

FormatSearch search_of(const FpqRounding& options) {
  return {options.grid, options.search == FpqRounding::Search::kFull, options.formats == FpqRounding::Formats::kAll,
          options.rounds};
}

Needs needs_of(const FpqRounding& options) {
  if (!by_data(options)) return {};
  return {.second_moment = true,
          .sample = options.tokens,
          .guided_moment = options.fisher,
          .output_moment = options.fisher};
}

bool rounds_onto(const FpqRounding&, const Storage& storage) {
  if (!is_scaled_grid(storage)) return false;
  const auto& grid = *storage.base.get_if<GridStorage>();
  return std::holds_alternative<MinifloatFormat>(grid.format) && grid.granularity.kind == Granularity::Kind::kRow &&
         (grid.scale == ScaleType::kF32 || grid.scale == ScaleType::kF16 || grid.scale == ScaleType::kBF16);
}

Storage storage_by(const FpqRounding&, Storage wanted) { return wanted; }

/// choose_weights() for all rows, and what it holds beside the matrix: tokens as they are and rounded.
RoundingCost cost_of(const FpqRounding& options, const RoundingShape& shape) {
  const int bits = bits_of(shape.target.storage.base.get_if<GridStorage>()->format);
  const int64_t tokens = by_data(options) ? std::min(options.tokens, shape.gathered.sample) : 0;
  RoundingCost cost = cost_of_weights(options, shape.rows, shape.cols, bits, tokens);
  cost.flops += 2 * as_real(shape.rows) * as_real(shape.cols) * as_real(tokens);
  cost.bytes = 4 * 2 * tokens * shape.cols + bytes_of_search(shape.rows, shape.cols, tokens);
  if (options.formats == FpqRounding::Formats::kGiven) {  // tiles are looked at once
    cost.bytes -= 4 * tokens * (shape.rows - std::min(kSearchedRows, shape.rows));
  }
  return cost;
}

RoundingCost cost_of_input(const FpqRounding& options, const ActivationFormat& rule, const SearchedReaders& readers,
                           int64_t channels, int64_t tokens) {
  const bool joint = rule.range.kind == ActivationRange::Kind::kJoint;
  const double formats = joint ? count_of_formats(bits_of(rule.format)) : 1;
  const double judged = formats * judged_of(options);
  const double values = as_real(tokens) * as_real(channels), weights = as_real(readers.rows) * as_real(channels);
  const auto rounds = static_cast<double>(options.rounds);
  RoundingCost cost = cost_of_weights(options, readers.chosen_rows, channels, readers.weight_bits, tokens);
  const double kept =
      as_real(readers.rows - readers.chosen_rows) * as_real(channels);  // judged once more, as it is now
  cost.nearest = rounds * (cost.nearest + weights * (1 + judged) / 2 +
                           values * (kByDiagonal * formats * candidates_of(options) + judged));
  cost.flops = rounds * (cost.flops + 2 * as_real(tokens) * (weights * judged + kept)) + 2 * as_real(tokens) * weights;
  cost.bytes = 4 * 3 * tokens * channels + bytes_of_search(readers.rows, channels, tokens) +
               8 * channels * static_cast<int64_t>(candidates_of(options));
  return cost;
}

Rounded round_by(const FpqRounding& options, const RoundingProblem& problem) {
  if (const std::string reason = clash_of(options); !reason.empty()) misuse("{}: {}", problem.place, reason);
  const GridTarget target = grid_target(problem.target, problem.place);
  if (target.search != ScaleSearch{}) {
    misuse("{}: fpq searches scales by itself; leave out '{}'", problem.place, to_string(target.search));
  }
  SearchedMatrix matrix{&problem.weights, target, {}};
  if (options.fisher) matrix.importance = problem.guided->out().mean_squares();
  std::vector<float> tokens, rounded, squares(static_cast<size_t>(problem.weights.cols()), 1.0f);
  TokenRows exact{0, problem.weights.cols()};
  std::vector<double> counts;
  if (by_data(options)) {
    if (!problem.inputs->sample) misuse("{}: fpq rounds no matrix that lies in a frame", problem.place);
    tokens = problem.inputs->sample->rows();
    exact.tokens = problem.inputs->sample->tokens(), exact.x = tokens.data();
    counts = problem.inputs->sample->counts(), exact.counts = counts.data();
    const std::vector<double> mean = problem.inputs->moment->mean_squares();
    squares.assign(mean.begin(), mean.end());
    rounded = tokens;
    if (problem.activations != nullptr) {
      InputRounder(*problem.activations, exact.channels)
          .round(tokens.data(), exact.tokens, exact.channels, rounded.data(), problem.threads);
    }
  }
  return encode(problem, choose_weights(matrix, exact, rounded.data(), squares, search_of(options), problem.threads));
}

constinit const RoundingRow kFpqMethod =
    rounding_row<FpqRounding>("fpq", kOptions, "formats and row scales searched by the layer's outputs (LLM-FP4)",
                              "in formats and scales searched by the layer's outputs (LLM-FP4)");

}  // namespace bitloom
