#pragma once
// Rounding with error feedback (GPTQ; Frantar et al., 2023) onto any scaled grid: each column's rounding error is fed
// into the columns not yet rounded, so that the layer's outputs, not its weights, stay close.
//
// Goals: any format, granularity and scale type that nearest rounding has; the same codes for any number of threads.
// Scales of groups are fitted on compensated weights when their group begins (fresh groups), unless they must be known
// beforehand: tensor, row and block scales, M2 constraints, activation order. Non-goals: column codebooks and planes
// (other policies of the same loop).

#include <memory>
#include <string>
#include <vector>

#include "round/gptq/gptq_factor.h"
#include "round/report.h"
#include "round/round_matrix.h"
#include "round/scale/group_quantizer.h"

namespace bitloom {

extern const RoundingRow kGptqMethod;
Needs needs_of(const GptqRounding& options);
bool rounds_onto(const GptqRounding& options, const Storage& storage);
Storage storage_by(const GptqRounding& options, Storage wanted);
RoundingCost cost_of(const GptqRounding& options, const RoundingShape& shape);
/// Ranks share whole tiles of rows: the same bytes for any number of them, given the same statistics.
Rounded round_by(const GptqRounding& options, const RoundingProblem& problem);

struct GptqReport {
  RoundReport rounding;
  /// Mean over tokens of |(W - Q) x|^2 = tr((W - Q) H (W - Q)^T), H without damping; round/output_error.h has what to
  /// divide it by. It is the loop's own sum less the damping's part, so good to about 1e-3 of the damped error.
  double output_error = 0;
  double largest_ratio = 0;  // max |compensated weight| / max |weight|; above 10 the damping is too small
};

/// W [rows, channels]. `static_groups`: group scales from the original weights. The clip search of -mse weighs errors
/// by the diagonal of H. Error(kRefused) naming `name` for NaN and Inf, kFailed when W does not fit the factor. Memory:
/// per thread three tiles of at most 256 rows of W in fp32.
std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w, const GridTarget& target,
                                                  const GptqFactor& factor, bool static_groups, ThreadPool& threads,
                                                  GptqReport* report = nullptr);

// The same in parts, for processes that each solve some rows: parts of all rows, merged, give the bytes of the whole.
// Everything that depends on the whole matrix comes from `base`, which every process makes for itself.

/// Rows are solved this many at a time.
inline constexpr int64_t kGptqTileRows = 256;

/// Rows [begin, end).
struct RowRange {
  int64_t begin = 0, end = 0;
};

/// Nearest rounding of the whole matrix, as far as feedback needs it: values checked, scales that must be known
/// beforehand (tensor, row and block scales, M2 constraints, static groups), tensor scales.
struct GptqBase {
  GridTarget target;
  std::shared_ptr<const StoredMatrix> nearest;
  bool fitted = false;  // group scales are fitted by the loop: those of `nearest` are made without search, unused
  int64_t zero_groups = 0;
};
GptqBase make_gptq_base(const std::string& name, const RowSource& w, const GridTarget& target, const GptqFactor& factor,
                        bool static_groups, ThreadPool& threads);

/// What one tile of rows adds to the report.
struct GptqTile {
  double loss = 0;             // sum of e_j^2
  double damped_error = 0;     // tr((W - Q) H_d (W - Q)^T)
  double live_error = 0;       // sum (w - q)^2 over columns that are not dead
  double error = 0, norm = 0;  // sum (w - q)^2, sum w^2
  float max_error = 0, largest_weight = 0, largest_compensated = 0;
  int64_t saturated = 0;
};

/// The result for some rows: plain data, to be sent.
struct GptqPart {
  RowRange rows;
  std::vector<uint8_t> codes;      // [rows, channels], one code per byte
  std::vector<GroupScale> scales;  // [rows, groups] if they were fitted, else empty
  std::vector<GptqTile> tiles;
};

/// rows.begin is a multiple of kGptqTileRows, rows.end too or the number of rows: Error(kFailed) otherwise.
GptqPart quantize_rows_gptq(const RowSource& w, const GptqBase& base, const GptqFactor& factor, RowRange rows,
                            ThreadPool& threads);

/// Error(kFailed) naming `name` and the row when the parts do not cover every row once.
std::shared_ptr<const StoredMatrix> merge_gptq_parts(const std::string& name, const GptqBase& base,
                                                     const GptqFactor& factor, std::vector<GptqPart> parts,
                                                     GptqReport* report = nullptr);

}  // namespace bitloom
