#include "pipeline/matrix_rounder.h"

#include "base/error.h"
#include "round/feedback.h"
#include "round/nearest.h"

namespace bitloom {
namespace {

void take_over(const RoundingReport& report, SiteRecord& record) {
  record.weight_error = report.weight_error;
  record.max_abs_error = report.max_abs_error;
  record.saturated = report.saturated;
  record.zero_groups = report.zero_groups;
}

}  // namespace

struct MatrixRounder::Visitor {
  MatrixRounder& self;
  const std::string& place;
  const RowSource& w;
  const QuantSpec& spec;
  SiteRecord& record;

  std::shared_ptr<const QuantizedTensor> operator()(const NearestRounding&) const {
    RoundingReport report;
    auto tensor = quantize_nearest(place, w, spec, self.threads_, &report);
    take_over(report, record);
    return tensor;
  }

  std::shared_ptr<const QuantizedTensor> operator()(const FeedbackRounding& rounding) const {
    const FeedbackFactor& factor = self.factor_for(rounding, scale_shape(spec, w.rows(), w.cols()).group_cols, place);
    FeedbackReport report;
    auto tensor = quantize_with_feedback(place, w, spec, factor, rounding.static_groups, self.threads_, &report);
    take_over(report.rounding, record);
    record.damping = factor.damping;
    return tensor;
  }

  std::shared_ptr<const QuantizedTensor> operator()(const LearnedRounding&) const {
    fail(ErrorKind::kFailed, "{}: learned rounding is not built", place);
  }
};

MatrixRounder::MatrixRounder(const InputStatistics* statistics, ThreadPool& threads)
    : statistics_(statistics), threads_(threads) {}

MatrixRounder::~MatrixRounder() = default;

std::shared_ptr<const QuantizedTensor> MatrixRounder::round(const std::string& place, const RowSource& w,
                                                            const RecipeStep& step, SiteRecord& record) {
  const QuantSpec& spec = *step.quantize;
  auto tensor = std::visit(Visitor{*this, place, w, spec, record}, step.rounding);
  record.spec = to_string(spec);
  record.rows = w.rows(), record.cols = w.cols();
  record.bits_nominal = nominal_bits(spec, w.rows(), w.cols());
  record.bits_true = tensor->true_bits();
  record.bytes = tensor->stored_bytes();
  if (statistics_ != nullptr) {
    record.tokens = statistics_->moment.tokens();
    record.dropped_tokens = statistics_->moment.dropped_tokens();
  }
  return tensor;
}

const FeedbackFactor& MatrixRounder::factor_for(const FeedbackRounding& rounding, int64_t group,
                                                const std::string& place) {
  if (statistics_ == nullptr) fail(ErrorKind::kFailed, "{}: error feedback without statistics", place);
  if (factor_ && made_for_ == rounding && (made_for_group_ == group || rounding.order != ColumnOrder::kGroupAware)) {
    return *factor_;
  }
  const CrossMoment* cross = statistics_->cross ? &*statistics_->cross : nullptr;
  factor_.reset();
  factor_ =
      std::make_unique<FeedbackFactor>(make_feedback_factor(statistics_->moment, cross, rounding, group, threads_));
  made_for_ = rounding;
  made_for_group_ = group;
  return *factor_;
}

}  // namespace bitloom
