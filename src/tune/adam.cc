#include "tune/adam.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace bitloom {
namespace {

constexpr double kFirst = 0.9, kSecond = 0.999;
constexpr double kEpsilon = 1e-12;  // gradients are of a mean over tokens, of a loss that may be 1e-3

}  // namespace

AdamState begin_adam(Vectors values) {
  AdamState state;
  for (const auto& [name, vector] : values) {
    state.first[name].resize(vector.size());
    state.second[name].resize(vector.size());
  }
  state.values = std::move(values);
  return state;
}

void adam_step(const VectorGradients& gradients, const std::map<std::string, double>& sizes, double rate,
               AdamState& state, double decay) {
  const auto t = static_cast<double>(++state.steps);
  const double of_first = 1 - std::pow(kFirst, t), of_second = 1 - std::pow(kSecond, t);
  for (auto& [name, values] : state.values) {
    const std::vector<double>& gradient = gradients.at(name);
    const double size = sizes.at(name);
    std::vector<float>&first = state.first[name], &second = state.second[name];
    for (size_t i = 0; i < values.size(); ++i) {
      const double g = gradient[i] * size;
      const double m = kFirst * static_cast<double>(first[i]) + (1 - kFirst) * g;
      const double v = kSecond * static_cast<double>(second[i]) + (1 - kSecond) * g * g;
      first[i] = static_cast<float>(m), second[i] = static_cast<float>(v);
      const double step = m / of_first / (std::sqrt(v / of_second) + kEpsilon);
      const double value = values[i];
      values[i] = static_cast<float>(value - rate * size * step - rate * decay * value);
    }
  }
}

bool are_finite(const VectorGradients& gradients, const AdamState& state) {
  return std::all_of(state.values.begin(), state.values.end(), [&](const auto& vector) {
    const std::vector<double>& gradient = gradients.at(vector.first);
    return std::all_of(gradient.begin(), gradient.end(), [](double x) { return std::isfinite(x); });
  });
}

double cosine_rate(double rate, int64_t t, int64_t steps, int64_t warm_up) {
  if (t < warm_up) return rate * static_cast<double>(t + 1) / static_cast<double>(warm_up);
  return rate * (1 + std::cos(M_PI * static_cast<double>(t - warm_up) / static_cast<double>(steps - warm_up))) / 2;
}

}  // namespace bitloom
