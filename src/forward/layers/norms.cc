#include "forward/layers/norms.h"

#include <cassert>
#include <cmath>

#include "forward/row_loop.h"

namespace bitloom {
namespace {

// Sums run in eight interleaved lanes of fp64: vector code, and an order that never changes.
constexpr int64_t kLanes = 8;

template <typename Term>
double sum_terms(int64_t width, const Term& term) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (; i < width; ++i) lanes[i % kLanes] += term(i);
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// `width` of a norm's weights and biases.
struct NormPart {
  const float* weight;
  const float* bias;  // null: none
  int64_t width;
  float eps;
};

// y_i = x_i / sqrt(mean x^2 + eps) * (w_i + plus)
void rms_row(const NormPart& norm, float plus, const float* x, float* out) {
  const int64_t width = norm.width;
  const double squares = sum_terms(width, [x](int64_t i) { return static_cast<double>(x[i]) * x[i]; });
  const float inverse = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(width) + norm.eps));
  const float* w = norm.weight;
  for (int64_t i = 0; i < width; ++i) out[i] = x[i] * inverse * (w[i] + plus);
}

// y_i = (x_i - mean) / sqrt(var + eps) * (w_i + plus) + b_i, var = mean (x - mean)^2
void layer_row(const NormPart& norm, float plus, const float* x, float* out) {
  const int64_t width = norm.width;
  const double count = static_cast<double>(width);
  const double mean = sum_terms(width, [x](int64_t i) { return static_cast<double>(x[i]); }) / count;
  const double squares = sum_terms(width, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  const float inverse = static_cast<float>(1.0 / std::sqrt(squares / count + norm.eps));
  const float center = static_cast<float>(mean);
  const float* w = norm.weight;
  for (int64_t i = 0; i < width; ++i) out[i] = (x[i] - center) * inverse * (w[i] + plus);
  for (int64_t i = 0; norm.bias != nullptr && i < width; ++i) out[i] += norm.bias[i];
}

}  // namespace

void norm_row(const NormWeights& norm, const float* x, float* out) {
  norm_row(norm, 0, static_cast<int64_t>(norm.weight.size()), x, out);
}

void norm_row(const NormWeights& norm, int64_t first, int64_t width, const float* x, float* out) {
  assert(norm.present() && (norm.bias.empty() || norm.bias.size() == norm.weight.size()));
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data() + first;
  const NormPart part = {norm.weight.data() + first, bias, width, norm.eps};
  const float plus = adds_one(norm.kind) ? 1.0f : 0.0f;
  subtracts_mean(norm.kind) ? layer_row(part, plus, x, out) : rms_row(part, plus, x, out);
}

void norm_row_adjoint(const NormWeights& norm, int64_t first, int64_t width, const float* x, const float* dy, float* dx,
                      double* dw, double* db) {
  const double plus = adds_one(norm.kind) ? 1.0 : 0.0, count = static_cast<double>(width);
  const bool centered = subtracts_mean(norm.kind);
  const float* w = norm.weight.data() + first;
  const double mean = centered ? sum_terms(width, [x](int64_t i) { return static_cast<double>(x[i]); }) / count : 0.0;
  const double squares = sum_terms(width, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  const double inverse = 1.0 / std::sqrt(squares / count + norm.eps);
  const auto normed = [=](int64_t i) { return (x[i] - mean) * inverse; };
  const auto g = [=](int64_t i) { return dy[i] * (w[i] + plus); };
  const double mean_g = centered ? sum_terms(width, g) / count : 0.0;
  const double along = sum_terms(width, [&](int64_t i) { return g(i) * normed(i); }) / count;
  for (int64_t i = 0; i < width; ++i) {
    const double n = normed(i), d = dy[i];
    dx[i] = static_cast<float>(inverse * (g(i) - mean_g - n * along));
    if (dw != nullptr) dw[i] += d * n;
    if (db != nullptr) db[i] += d;
  }
}

void norm_rows(const NormWeights& norm, const float* x, int64_t rows, float* out, ThreadPool& threads) {
  const int64_t width = static_cast<int64_t>(norm.weight.size());
  for_pass_rows(threads, rows, [&](int64_t row) { norm_row(norm, x + row * width, out + row * width); });
}

}  // namespace bitloom
