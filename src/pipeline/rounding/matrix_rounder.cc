#include "pipeline/rounding/matrix_rounder.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

void take_over(const RoundReport& report, SiteRecord& record) {
  record.weight_error = report.weight_error;
  record.max_abs_error = report.max_abs_error;
  record.saturated = report.saturated;
  record.zero_groups = report.zero_groups;
  record.output_error = report.output_error;
  record.predicted_kl = report.predicted_kl;
  record.damping = report.damping;
  record.held_drift = report.held_drift;
  record.compensation_ratio = report.compensation_ratio;
  record.flipped = report.flipped;
  record.rows_kept = report.rows_kept;
}

/// A matrix whose scales all lie below what the storage's scales can hold decodes to zeros.
void require_any_weight(const std::string& place, const RoundReport& report, const StoredMatrix& matrix) {
  if (report.weight_error < 1 - 1e-6 || report.weight_error > 1 + 1e-6) return;
  const std::vector<float> values = matrix.decode_all();
  if (std::any_of(values.begin(), values.end(), [](float value) { return value != 0; })) return;
  refuse(
      "{}: every weight would become 0 as {}: the matrix is too small in magnitude for its scales; keep it, store its "
      "scales in 32 bits (-f32), or use a format whose scales are powers of two (mxfp4, mxint8)",
      place, matrix.storage());
}

}  // namespace

Rounded MatrixRounder::round(const std::string& place, const RowSource& w, const RecipeStep& step, SiteRecord& record,
                             const GuidedMoments* guided, const std::function<void(double)>& on_progress) {
  Rounded rounded = round_matrix(step.rounding, {place, w, *step.quantize, statistics_, shared_, ranks_, threads_,
                                                 guided, on_progress, activations_});
  const StoredMatrix& matrix = *rounded.matrix;
  require_any_weight(place, rounded.report, matrix);
  take_over(rounded.report, record);
  record.storage = matrix.storage();
  record.search = to_string(step.quantize->search);
  record.rounding = to_short(step.rounding);
  record.rows = w.rows(), record.cols = w.cols();
  record.bits_nominal = matrix.nominal_bits();
  record.bits_true = matrix.true_bits();
  record.bytes = matrix.stored_bytes();
  if (statistics_ == nullptr) return rounded;
  record.tokens = statistics_->tokens();
  record.dropped_tokens = statistics_->dropped_tokens();
  record.dead_channels = statistics_->dead_channels();
  return rounded;
}

}  // namespace bitloom
