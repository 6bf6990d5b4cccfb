#include "round/drift/drift.h"

#include "base/error.h"
#include "linalg/cholesky.h"
#include "linalg/gemm.h"
#include "round/damping.h"

namespace bitloom {
namespace {

/// U upper triangular with (H + lambda I)^-1 = U^T U.
std::vector<float> inverse_factor(const SecondMoment& moment, double damping, ThreadPool& threads) {
  const int64_t n = moment.channels();
  const auto own = [&](int64_t j) { return moment.mean(j, j) == 0 ? 1.0 : moment.mean(j, j); };
  double trace = 0;
  for (int64_t j = 0; j < n; ++j) trace += own(j);
  for (; damping < 1; damping += kDampingStep) {
    std::vector<float> h(static_cast<size_t>(n * n));
    moment.copy_to(h.data(), threads);
    for (int64_t j = 0; j < n; ++j) {
      h[static_cast<size_t>(j * n + j)] = static_cast<float>(own(j) + damping * trace / static_cast<double>(n));
    }
    if (reversed_cholesky(h.data(), n, threads) != n) continue;
    invert_upper(h.data(), n, threads);
    return h;
  }
  fail(ErrorKind::kFailed,
       "the second moment of {} channels ({} tokens) is not positive definite with any damping "
       "below 1",
       n, moment.tokens());
}

struct DriftKey {
  double damping = 0;
  bool operator==(const DriftKey&) const = default;
};

}  // namespace

std::vector<float> make_drift(const SecondMoment& moment, const CrossMoment& cross, double damping,
                              ThreadPool& threads) {
  const int64_t n = moment.channels();
  if (cross.channels() != n) {
    fail(ErrorKind::kFailed, "moments of {} and of {} channels do not belong together", n, cross.channels());
  }
  const std::vector<float> u = inverse_factor(moment, damping, threads);
  std::vector<float> drift(static_cast<size_t>(n * n)), half(drift.size());
  cross.copy_to(drift.data(), threads);
  sgemm_panels(Transpose::kYes, n, n, n, 1.0f, drift.data(), u.data(), 0.0f, half.data(), threads);
  sgemm_panels(Transpose::kNo, n, n, n, 1.0f, half.data(), u.data(), 0.0f, drift.data(), threads);
  return drift;
}

const std::vector<float>& shared_drift(const RoundingProblem& problem, double damping) {
  return problem.shared.get<std::vector<float>>(DriftKey{damping}, [&] {
    const InputStatistics& inputs = *problem.inputs;
    return inputs.cross ? make_drift(*inputs.moment, *inputs.cross, damping, problem.threads) : std::vector<float>();
  });
}

void correct_for_drift(const std::vector<float>& drift, float beta, int64_t n, std::vector<float>& w,
                       ThreadPool& threads) {
  const std::vector<float> before = w;
  sgemm_panels(Transpose::kNo, static_cast<int64_t>(w.size()) / n, n, n, beta, before.data(), drift.data(), 1.0f,
               w.data(), threads);
}

}  // namespace bitloom
