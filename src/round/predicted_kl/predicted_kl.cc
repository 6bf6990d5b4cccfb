#include "round/predicted_kl/predicted_kl.h"

#include <vector>

#include "base/error.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

std::vector<float> dense(const SecondMoment& moment, ThreadPool& threads) {
  std::vector<float> h(static_cast<size_t>(moment.channels() * moment.channels()));
  moment.copy_to(h.data(), threads);
  return h;
}

/// a [rows, inner] b [inner, n]
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int64_t rows, int64_t inner,
                           int64_t n, ThreadPool& threads) {
  std::vector<float> c(static_cast<size_t>(rows * n));
  sgemm_panels(Transpose::kNo, rows, n, inner, 1.0f, a.data(), b.data(), 0.0f, c.data(), threads);
  return c;
}

std::vector<float> difference(const RowSource& w, const RowSource& q) {
  std::vector<float> e = w.decode_all();
  const std::vector<float> decoded = q.decode_all();
  for (size_t i = 0; i < e.size(); ++i) e[i] -= decoded[i];
  return e;
}

}  // namespace

double predicted_kl(const RowSource& w, const RowSource& q, const GuidedMoments& moments, ThreadPool& threads) {
  const int64_t m = w.rows(), n = w.cols();
  if (q.rows() != m || q.cols() != n || moments.weighted.channels() != n || moments.out_channels != m) {
    fail(ErrorKind::kFailed, "matrices of [{}, {}] and [{}, {}] do not fit moments of {} inputs and {} outputs", m, n,
         q.rows(), q.cols(), moments.weighted.channels(), moments.out_channels);
  }
  const std::vector<float> e = difference(w, q);
  const std::vector<float> right = product(e, dense(moments.in(), threads), m, n, n, threads);
  const auto dot = [&right](const std::vector<float>& left) {
    double sum = 0;
    for (size_t i = 0; i < left.size(); ++i) sum += static_cast<double>(left[i]) * static_cast<double>(right[i]);
    return sum;
  };
  if (!moments.gradients) return dot(e) / 2;
  const double sum = dot(product(dense(moments.out(), threads), e, m, m, n, threads));
  double trace = 0;
  for (const double square : moments.out().mean_squares()) trace += square;
  return trace > 0 ? static_cast<double>(m) / (2 * trace) * sum : 0;
}

double share_of_trace(const std::vector<float>& n, const SecondMoment& a, ThreadPool& threads) {
  const int64_t side = a.channels();
  const std::vector<float> right = product(dense(a, threads), n, side, side, side, threads);
  double left = 0, all = 0;
  for (size_t i = 0; i < n.size(); ++i) left += static_cast<double>(n[i]) * static_cast<double>(right[i]);
  for (const double square : a.mean_squares()) all += square;
  return all > 0 ? left / all : 1;
}

}  // namespace bitloom
