#include "round/vector/additive_code.h"

#include <algorithm>

#include "linalg/gemm.h"

namespace bitloom {

void sum_of_vectors(const AdditiveCode& code, std::span<const float> codebooks, int64_t row, float* out) {
  const int64_t g = code.storage.group;
  for (int64_t j = 0; j < code.groups; ++j, out += g) {
    const uint16_t* chosen = code.codes_of(row, j);
    std::fill_n(out, g, 0.0f);
    for (int64_t m = 0; m < code.storage.codebooks; ++m) {
      const float* entry = codebooks.data() + m * code.book_size() + chosen[m] * g;
      for (int64_t t = 0; t < g; ++t) out[t] += entry[t];
    }
  }
}

void times_moment(const LayerMoment& moment, int64_t rows, const float* e, float* out, ThreadPool& threads) {
  if (moment.is_identity()) {
    std::copy_n(e, rows * moment.width, out);
    return;
  }
  sgemm_panels(Transpose::kNo, rows, moment.width, moment.width, 1.0f, e, moment.h.data(), 0.0f, out, threads);
}

std::vector<double> find_residual(const AdditiveCode& code, const LayerMoment& moment, std::span<const float> w,
                                  std::vector<float>& error, std::vector<float>& residual, ThreadPool& threads) {
  const int64_t width = code.width();
  threads.parallel_for(code.rows, [&](int64_t r) {
    float* e = error.data() + r * width;
    sum_of_vectors(code, code.codebooks, r, e);
    const float scale = code.scales[static_cast<size_t>(r)];
    for (int64_t c = 0; c < width; ++c) e[c] = scale * e[c] - w[static_cast<size_t>(r * width + c)];
  });
  times_moment(moment, code.rows, error.data(), residual.data(), threads);
  std::vector<double> losses(static_cast<size_t>(code.rows));
  threads.parallel_for(code.rows, [&](int64_t r) {
    double sum = 0;
    for (int64_t i = r * width; i < (r + 1) * width; ++i) {
      sum += static_cast<double>(error[static_cast<size_t>(i)]) * static_cast<double>(residual[static_cast<size_t>(i)]);
    }
    losses[static_cast<size_t>(r)] = sum;
  });
  return losses;
}

double total(std::span<const double> losses) {
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace bitloom
