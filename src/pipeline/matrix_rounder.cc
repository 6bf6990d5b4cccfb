#include "pipeline/matrix_rounder.h"

#include <algorithm>

#include "base/error.h"
#include "pipeline/rank_work.h"
#include "round/adaround.h"
#include "round/feedback.h"
#include "round/kmeans/kmeans.h"
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
  const RecipeStep& step;
  SiteRecord& record;

  std::shared_ptr<const StoredMatrix> operator()(const NearestRounding&) const {
    RoundingReport report;
    auto tensor = quantize_nearest(place, w, target(), self.threads_, &report);
    take_over(report, record);
    return tensor;
  }

  std::shared_ptr<const StoredMatrix> operator()(const FeedbackRounding& rounding) const {
    const FeedbackFactor& factor =
        self.factor_for(place, rounding, scale_shape(target().storage, w.rows(), w.cols()).group_cols);
    FeedbackReport report;
    auto tensor =
        quantize_with_feedback(place, w, target(), factor, rounding.static_groups, self.ranks_, self.threads_, report);
    take_over(report.rounding, record);
    record.damping = factor.damping;
    record.compensation_ratio = report.largest_ratio;
    return tensor;
  }

  std::shared_ptr<const StoredMatrix> operator()(const LearnedRounding& rounding) const {
    LearnedReport report;
    auto tensor =
        quantize_learned(place, w, target(), *self.statistics_->moment, self.cross(), rounding, self.threads_, &report);
    take_over(report.rounding, record);
    record.flipped = report.flipped;
    record.rows_kept = report.rows_kept_nearest;
    return tensor;
  }

  std::shared_ptr<const StoredMatrix> operator()(const KMeansRounding& rounding) const {
    RoundingReport report;
    auto matrix = quantize_kmeans(place, w, step.storage(), rounding, self.threads_, &report);
    take_over(report, record);
    return matrix;
  }

  GridTarget target() const { return grid_target(*step.quantize, place); }
};

MatrixRounder::MatrixRounder(const InputStatistics* statistics, Ranks& ranks, ThreadPool& threads)
    : statistics_(statistics), ranks_(ranks), threads_(threads) {}

MatrixRounder::~MatrixRounder() = default;

std::shared_ptr<const StoredMatrix> MatrixRounder::round_matrix(const std::string& place, const RowSource& w,
                                                                const RecipeStep& step, SiteRecord& record) {
  if (statistics_ == nullptr && needs_of(step.rounding).second_moment) {
    fail(ErrorKind::kFailed, "{}: {} without statistics of its inputs", place, to_short(step.rounding));
  }
  auto tensor = std::visit(Visitor{*this, place, w, step, record}, step.rounding);
  record.storage = tensor->storage();
  record.search = to_string(step.quantize->search);
  record.rounding = to_short(step.rounding);
  record.rows = w.rows(), record.cols = w.cols();
  record.bits_nominal = tensor->nominal_bits();
  record.bits_true = tensor->true_bits();
  record.bytes = tensor->stored_bytes();
  if (statistics_ != nullptr) describe_data(w, *tensor, record);
  return tensor;
}

void MatrixRounder::describe_data(const RowSource& w, const RowSource& q, SiteRecord& record) {
  record.tokens = statistics_->tokens();
  record.dropped_tokens = statistics_->dropped_tokens();
  record.dead_channels = statistics_->dead_channels();
  if (!statistics_->moment) return;
  const SampledRows some_w(w), some_q(q);
  record.output_error = relative_output_error(some_w, some_q, *statistics_->moment, ranks_, threads_);
}

const CrossMoment* MatrixRounder::cross() const { return statistics_->cross ? &*statistics_->cross : nullptr; }

const FeedbackFactor& MatrixRounder::factor_for(const std::string& place, const FeedbackRounding& rounding,
                                                int64_t group) {
  if (factor_ && made_for_ == rounding && (made_for_group_ == group || rounding.order != ColumnOrder::kGroupAware)) {
    return *factor_;
  }
  factor_.reset();
  try {
    factor_ = std::make_unique<FeedbackFactor>(
        make_feedback_factor(*statistics_->moment, cross(), rounding, group, threads_));
  } catch (const Error& error) {
    fail(error.kind(), "{}: {}", place, error.what());
  }
  made_for_ = rounding;
  made_for_group_ = group;
  return *factor_;
}

}  // namespace bitloom
