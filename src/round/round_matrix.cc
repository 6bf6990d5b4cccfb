#include "round/round_matrix.h"

#include <algorithm>

#include "base/error.h"
#include "round/frame/framed.h"
#include "round/output_error.h"
#include "round/predicted_kl/predicted_kl.h"

namespace bitloom {
namespace {

/// Evenly spaced rows of a matrix, kMostRows at most: what a figure for a table needs of a large one.
class SampledRows final : public RowSource {
 public:
  static constexpr int64_t kMostRows = 2048;
  explicit SampledRows(const RowSource& all)
      : all_(all), step_(std::max<int64_t>(1, (all.rows() + kMostRows - 1) / kMostRows)) {}
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

void check(const Rounding& rounding, const RoundingProblem& problem) {
  const RoundingRow& row = rounding.row();
  if (!rounds_onto(rounding, problem.target.storage)) {
    misuse("{}: '{}' cannot choose codes of {}", problem.place, row.name, to_string(problem.target.storage));
  }
  const Needs needs = needs_of(rounding);
  if (!needs.any()) return;
  if (problem.inputs == nullptr) {
    fail(ErrorKind::kFailed, "{}: {} without statistics of its inputs", problem.place, row.name);
  }
  if (needs.second_moment && !problem.inputs->moment) {
    fail(ErrorKind::kFailed, "{}: {} without the second moment of its inputs", problem.place, row.name);
  }
  if (needs_gradients(needs) && problem.guided == nullptr) {
    fail(ErrorKind::kFailed, "{}: {} without moments weighted by its outputs' gradients", problem.place, row.name);
  }
  if (needs.output_moment && !problem.guided->gradients) {
    fail(ErrorKind::kFailed, "{}: {} without the second moment of its outputs' gradients", problem.place, row.name);
  }
  if (needs.sample > 0 && !problem.inputs->sample) {
    fail(ErrorKind::kFailed, "{}: {} without a sample of its inputs", problem.place, row.name);
  }
  if (needs.histogram && !problem.inputs->histogram) {
    fail(ErrorKind::kFailed, "{}: {} without the histogram of its inputs", problem.place, row.name);
  }
}

}  // namespace

Rounded round_matrix(const Rounding& rounding, const RoundingProblem& problem) {
  check(rounding, problem);
  const RoundingRow& method = rounding.row();
  Rounded rounded;
  if (problem.target.storage.side.frame.present()) {
    const FramedProblem framed(problem);
    rounded = framed.finish(method.round(rounding.options(), framed.inner()));
  } else {
    rounded = method.round(rounding.options(), problem);
  }
  if (problem.inputs != nullptr && problem.inputs->moment) {
    const SampledRows w(problem.weights), q(*rounded.matrix);
    rounded.report.output_error = relative_output_error(w, q, *problem.inputs->moment, problem.ranks, problem.threads);
  }
  if (problem.guided != nullptr) {
    rounded.report.predicted_kl = predicted_kl(problem.weights, *rounded.matrix, *problem.guided, problem.threads);
  }
  return rounded;
}

}  // namespace bitloom
