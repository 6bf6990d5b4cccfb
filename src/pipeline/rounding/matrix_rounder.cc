#include "pipeline/rounding/matrix_rounder.h"

namespace bitloom {
namespace {

void take_over(const RoundReport& report, SiteRecord& record) {
  record.weight_error = report.weight_error;
  record.max_abs_error = report.max_abs_error;
  record.saturated = report.saturated;
  record.zero_groups = report.zero_groups;
  record.output_error = report.output_error;
  record.damping = report.damping;
  record.compensation_ratio = report.compensation_ratio;
  record.flipped = report.flipped;
  record.rows_kept = report.rows_kept;
}

}  // namespace

Rounded MatrixRounder::round(const std::string& place, const RowSource& w, const RecipeStep& step, SiteRecord& record) {
  Rounded rounded = round_matrix(step.rounding, {place, w, *step.quantize, statistics_, shared_, ranks_, threads_});
  const StoredMatrix& matrix = *rounded.matrix;
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
