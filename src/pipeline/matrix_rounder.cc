#include "pipeline/matrix_rounder.h"

#include <algorithm>

#include "base/error.h"
#include "pipeline/rank_work.h"
#include "round/adaround.h"
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

/// Evenly spaced rows of a matrix, kMostRows at most: what a figure for a table needs of a large one.
class SampledRows final : public RowSource {
 public:
  static constexpr int64_t kMostRows = 2048;
  explicit SampledRows(const RowSource& all) : all_(all), step_((all.rows() + kMostRows - 1) / kMostRows) {}
  int64_t rows() const override { return (all_.rows() + step_ - 1) / step_; }
  int64_t cols() const override { return all_.cols(); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    if (step_ == 1) return all_.decode_rows(begin, end, out);
    for (int64_t r = begin; r < end; ++r, out += cols()) all_.decode_rows(r * step_, r * step_ + 1, out);
  }
  int64_t stored_bytes() const override { return all_.stored_bytes(); }
  std::string storage() const override { return all_.storage(); }

 private:
  const RowSource& all_;
  int64_t step_;
};

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
    const FeedbackFactor& factor = self.factor_for(place, rounding, scale_shape(spec, w.rows(), w.cols()).group_cols);
    FeedbackReport report;
    auto tensor =
        quantize_with_feedback(place, w, spec, factor, rounding.static_groups, self.ranks_, self.threads_, report);
    take_over(report.rounding, record);
    record.damping = factor.damping;
    return tensor;
  }

  std::shared_ptr<const QuantizedTensor> operator()(const LearnedRounding& rounding) const {
    LearnedReport report;
    auto tensor =
        quantize_learned(place, w, spec, self.statistics_->moment, self.cross(), rounding, self.threads_, &report);
    take_over(report.rounding, record);
    return tensor;
  }
};

MatrixRounder::MatrixRounder(const InputStatistics* statistics, Ranks& ranks, ThreadPool& threads)
    : statistics_(statistics), ranks_(ranks), threads_(threads) {}

MatrixRounder::~MatrixRounder() = default;

std::shared_ptr<const QuantizedTensor> MatrixRounder::round_matrix(const std::string& place, const RowSource& w,
                                                                   const RecipeStep& step, SiteRecord& record) {
  const QuantSpec& spec = *step.quantize;
  if (statistics_ == nullptr && needs_of(step.rounding).second_moment) {
    fail(ErrorKind::kFailed, "{}: {} without statistics of its inputs", place, to_short(step.rounding));
  }
  auto tensor = std::visit(Visitor{*this, place, w, spec, record}, step.rounding);
  record.spec = to_string(spec);
  record.rows = w.rows(), record.cols = w.cols();
  record.bits_nominal = nominal_bits(spec, w.rows(), w.cols());
  record.bits_true = tensor->true_bits();
  record.bytes = tensor->stored_bytes();
  if (statistics_ != nullptr) describe_data(w, *tensor, record);
  return tensor;
}

void MatrixRounder::describe_data(const RowSource& w, const RowSource& q, SiteRecord& record) {
  const SecondMoment& moment = statistics_->moment;
  record.tokens = moment.tokens();
  record.dropped_tokens = moment.dropped_tokens();
  const std::vector<double> squares = moment.mean_squares();
  record.dead_channels = std::count(squares.begin(), squares.end(), 0.0);
  const SampledRows some_w(w), some_q(q);
  record.output_error = relative_output_error(some_w, some_q, moment, ranks_, threads_);
}

const CrossMoment* MatrixRounder::cross() const { return statistics_->cross ? &*statistics_->cross : nullptr; }

const FeedbackFactor& MatrixRounder::factor_for(const std::string& place, const FeedbackRounding& rounding,
                                                int64_t group) {
  if (factor_ && made_for_ == rounding && (made_for_group_ == group || rounding.order != ColumnOrder::kGroupAware)) {
    return *factor_;
  }
  factor_.reset();
  try {
    factor_ =
        std::make_unique<FeedbackFactor>(make_feedback_factor(statistics_->moment, cross(), rounding, group, threads_));
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", place, error.what());
  }
  made_for_ = rounding;
  made_for_group_ = group;
  return *factor_;
}

}  // namespace bitloom
