#include "eval/statistics/paired.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "eval/statistics/interval.h"

namespace bitloom {
namespace {

void check_pairs(size_t reference, size_t model) {
  if (reference != model)
    fail(ErrorKind::kFailed, "paired test: {} items of the reference, {} of the model", reference, model);
}

}  // namespace

double mcnemar_p_value(int64_t only_reference, int64_t only_model) {
  const auto n = static_cast<double>(only_reference + only_model);
  const auto k = static_cast<double>(std::min(only_reference, only_model));
  // C(n, k) / 2^n, then downwards: C(n, i - 1) = C(n, i) i / (n - i + 1). Terms too small for a double add nothing.
  double term = std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::numbers::ln2);
  double sum = 0;
  for (double i = k; i >= 0 && term > 0; --i) {
    sum += term;
    term *= i / (n - i + 1);
  }
  return std::min(1.0, 2 * sum);
}

McNemar mcnemar(std::span<const uint8_t> reference, std::span<const uint8_t> model) {
  check_pairs(reference.size(), model.size());
  McNemar out;
  for (size_t i = 0; i < reference.size(); ++i) {
    const bool first = reference[i] != 0, second = model[i] != 0;
    ++(first ? (second ? out.both : out.only_reference) : (second ? out.only_model : out.neither));
  }
  out.p_value = mcnemar_p_value(out.only_reference, out.only_model);
  return out;
}

PairedDifference paired_difference(std::span<const double> reference, std::span<const double> model) {
  check_pairs(reference.size(), model.size());
  if (model.empty()) fail(ErrorKind::kFailed, "paired difference: no items");
  PairedDifference out;
  out.items = static_cast<int64_t>(model.size());
  const auto n = static_cast<double>(out.items);
  for (size_t i = 0; i < model.size(); ++i) out.mean += (model[i] - reference[i]) / n;
  double square = 0;
  for (size_t i = 0; i < model.size(); ++i) square += std::pow(model[i] - reference[i] - out.mean, 2);
  if (out.items > 1) out.standard_error = std::sqrt(square / (n * (n - 1)));
  const double half = out.items > 1 ? student_t95(out.items - 1) * out.standard_error : 0;
  out.low = out.mean - half;
  out.high = out.mean + half;
  return out;
}

}  // namespace bitloom
