#pragma once
// Layer-wise learned rounding (AdaRound; Nagel et al., 2020) onto any scaled grid: for every weight, whether the level
// below or the one above, by gradient descent on the layer's output error.
//
// Goals: any format, granularity and scale type that nearest rounding has, whose scales it keeps; never worse than
// nearest rounding, row by row; the same codes for any number of threads; no activations, only their moments.
// After the paper's learning, coordinate descent flips single codes while that lowers the loss (options.descent).
// Non-goals: levels beyond the two that enclose a weight (error feedback may go there), learned scales, whole blocks.

#include <memory>
#include <string>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "format/stored_matrix.h"
#include "observe/moment/cross_moment.h"
#include "observe/moment/second_moment.h"
#include "round/adaround/soft_tile.h"
#include "round/report.h"
#include "round/rounding.h"

namespace bitloom {

extern const RoundingRow kAdaRoundMethod;
Needs needs_of(const AdaRounding& options);
bool rounds_onto(const AdaRounding& options, const Storage& storage);
Storage storage_by(const AdaRounding& options, Storage wanted);
RoundingCost cost_of(const AdaRounding& options, const RoundingShape& shape);
Rounded round_by(const AdaRounding& options, const RoundingProblem& problem);

/// The moments of the problem's inputs as dense means, made once for all matrices that read them; valid until another
/// method asks problem.shared for something. Error(kFailed) when no token was seen or channels differ.
LayerStatistics shared_layer(const RoundingProblem& problem);

/// Rows that one thread learns at a time: enough for sgemm to reach its roof on [64, d] x [d, d]; and about the bytes
/// that each of their weights takes meanwhile.
inline constexpr int64_t kAdaRoundTileRows = 64, kAdaRoundTileBytes = 128;

struct AdaRoundReport {
  RoundReport rounding;
  double output_error = 0;          // mean over tokens of |(W - Q) x|^2: tr((W - Q) H (W - Q)^T)
  double output_error_nearest = 0;  // the same of nearest rounding
  int64_t flipped = 0;              // codes that differ from nearest rounding's
  int64_t rows_kept_nearest = 0;    // rows where learning found nothing better
};

/// W [rows, channels]. With a cross moment the target is W f, the float model's output; the loss that is minimised,
/// and never worse than nearest rounding's, is then not tr((W - Q) H (W - Q)^T), and the output errors reported may
/// rise. Searches of scales weigh errors by the diagonal of H. Error(kRefused) naming `name` for NaN and Inf,
/// kFailed when channels differ, no token was seen or an option is out of range. Memory: H (and C) in fp32, and per
/// thread a dozen tiles of at most 64 rows of W in fp32.
std::shared_ptr<const StoredMatrix> quantize_adaround(const std::string& name, const RowSource& w,
                                                      const GridTarget& target, const SecondMoment& moment,
                                                      const CrossMoment* cross, const AdaRounding& options,
                                                      ThreadPool& threads, AdaRoundReport* report = nullptr);

/// The same with the moments as dense means, which must outlive the call: what several matrices that read the same
/// input share.
std::shared_ptr<const StoredMatrix> quantize_adaround(const std::string& name, const RowSource& w,
                                                      const GridTarget& target, const LayerStatistics& layer,
                                                      const AdaRounding& options, ThreadPool& threads,
                                                      AdaRoundReport* report = nullptr);

}  // namespace bitloom
