#include "round/drift/drift.h"

#include <algorithm>

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

std::vector<float> product(Transpose transpose, int64_t n, const std::vector<float>& a, const std::vector<float>& b,
                           ThreadPool& threads) {
  std::vector<float> c(a.size());
  sgemm_panels(transpose, n, n, n, 1.0f, a.data(), b.data(), 0.0f, c.data(), threads);
  return c;
}

/// D and H of some tokens, and M.
struct Part {
  std::vector<float> cross, moment, matrix;
};

Part part_of(const SecondMoment& moment, const CrossMoment& cross, double damping, ThreadPool& threads) {
  const int64_t n = moment.channels();
  const std::vector<float> u = inverse_factor(moment, damping, threads);
  Part part{std::vector<float>(static_cast<size_t>(n * n)), std::vector<float>(static_cast<size_t>(n * n)), {}};
  cross.copy_to(part.cross.data(), threads);
  moment.copy_to(part.moment.data(), threads);
  part.matrix = product(Transpose::kNo, n, product(Transpose::kYes, n, part.cross, u, threads), u, threads);
  return part;
}

/// What is left of the sums when the half's are taken away.
Part second_half(const InputStatistics& inputs, double damping, ThreadPool& threads) {
  const SecondMoment& first = inputs.half->moment;
  std::vector<double> tiles = inputs.moment->tiles();
  for (size_t i = 0; i < tiles.size(); ++i) tiles[i] -= first.tiles()[i];
  std::vector<float> sums = inputs.cross->sums();
  for (size_t i = 0; i < sums.size(); ++i) sums[i] -= inputs.half->cross.sums()[i];
  const int64_t n = first.channels();
  return part_of(SecondMoment::restore(n, inputs.moment->tokens() - first.tokens(), 0, std::move(tiles)),
                 CrossMoment::restore(n, inputs.cross->tokens() - inputs.half->cross.tokens(), std::move(sums)),
                 damping, threads);
}

/// tr(w a w^T).
double trace_of(const std::vector<float>& a, const std::vector<float>& w, int64_t n, ThreadPool& threads) {
  std::vector<float> wa(w.size());
  sgemm_panels(Transpose::kNo, static_cast<int64_t>(w.size()) / n, n, n, 1.0f, w.data(), a.data(), 0.0f, wa.data(),
               threads);
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += static_cast<double>(wa[i]) * static_cast<double>(w[i]);
  return sum;
}

}  // namespace

void add_drift_cost(const RoundingShape& shape, RoundingCost& cost) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  cost.flops += 6 * n * d * d;
  cost.shared_flops += 30 * d * d * d;
  cost.bytes += 8 * shape.rows * shape.cols;
  cost.shared_bytes += 36 * shape.cols * shape.cols;
}

Drift make_drift(const InputStatistics& inputs, double damping, ThreadPool& threads) {
  const int64_t n = inputs.moment->channels();
  if (inputs.cross->channels() != n) {
    fail(ErrorKind::kFailed, "moments of {} and of {} channels do not belong together", n, inputs.cross->channels());
  }
  Drift drift{part_of(*inputs.moment, *inputs.cross, damping, threads).matrix, {}, {}};
  if (!inputs.half) return drift;
  const int64_t first = inputs.half->cross.tokens();
  if (first == 0 || first == inputs.cross->tokens()) return drift;
  const Part a = part_of(inputs.half->moment, inputs.half->cross, damping, threads);
  const Part b = second_half(inputs, damping, threads);
  const auto add_held = [&](const Part& made, const Part& held) {
    const std::vector<float> gain = product(Transpose::kYes, n, made.matrix, held.cross, threads);
    const std::vector<float> weight = product(
        Transpose::kYes, n, product(Transpose::kNo, n, made.matrix, held.moment, threads), made.matrix, threads);
    drift.held_gain.resize(gain.size()), drift.weight.resize(weight.size());
    for (size_t i = 0; i < gain.size(); ++i) drift.held_gain[i] += gain[i], drift.weight[i] += weight[i];
  };
  add_held(a, b);
  add_held(b, a);
  return drift;
}

const Drift& shared_drift(const RoundingProblem& problem, double damping) {
  return problem.shared.get<Drift>(DriftKey{damping}, [&] {
    const InputStatistics& inputs = *problem.inputs;
    return inputs.cross ? make_drift(inputs, damping, problem.threads) : Drift();
  });
}

double held_share(const Drift& drift, const std::vector<float>& w, int64_t n, ThreadPool& threads) {
  if (drift.held_gain.empty()) return 1;
  const double gain = trace_of(drift.held_gain, w, n, threads), weight = trace_of(drift.weight, w, n, threads);
  if (!(gain > 0) || !(weight > 0)) return 0;
  const double half = gain / weight;
  return std::min(1.0, 2 * half / (1 + half));
}

double correct_for_drift(const Drift& drift, double beta, int64_t n, std::vector<float>& w, ThreadPool& threads) {
  const std::vector<float> before = w;
  const double share = held_share(drift, w, n, threads);
  sgemm_panels(Transpose::kNo, static_cast<int64_t>(w.size()) / n, n, n, static_cast<float>(beta * share),
               before.data(), drift.matrix.data(), 1.0f, w.data(), threads);
  return share;
}

}  // namespace bitloom
