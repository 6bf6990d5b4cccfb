#include "report/plot/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

constexpr double kSlack = 1e-9;  // of a step: 0.30000000000000004 lies on the tick 0.3

std::string superscript(int number) {
  static const char* const kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out = number < 0 ? "⁻" : "";
  for (const char digit : std::to_string(std::abs(number))) out += kDigits[digit - '0'];
  return out;
}

/// Decimals needed to tell multiples of `step` apart.
int decimals_of(double step) { return std::max(0, -static_cast<int>(std::floor(std::log10(step) + kSlack))); }

struct Span {
  double low, high;
};

/// Multiples of the smallest step of 1, 2, 5 times a power of ten that needs at most `most`.
std::vector<Tick> linear_ticks(Span span, int most) {
  double power = std::pow(10.0, std::floor(std::log10((span.high - span.low) / most)) - 1);
  for (;; power *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double step = factor * power;
      const double first = std::floor(span.low / step + kSlack), last = std::ceil(span.high / step - kSlack);
      if (last - first + 1 > most) continue;
      std::vector<Tick> ticks;
      for (double i = first; i <= last; ++i) ticks.push_back({i * step, tick_label(i * step, decimals_of(step))});
      return ticks;
    }
  }
}

/// The values m * 10^k with k a multiple of `stride` that enclose the span.
std::vector<Tick> decade_ticks(Span span, const std::vector<double>& mantissas, int stride) {
  std::vector<Tick> ticks;
  const int first = static_cast<int>(std::floor(std::log10(span.low))) - stride;
  for (int k = first - ((first % stride) + stride) % stride;; k += stride) {
    for (const double mantissa : mantissas) {
      const double value = mantissa * std::pow(10.0, k);
      if (value <= span.low * (1 + kSlack)) ticks.clear();
      ticks.push_back({value, tick_label(value, std::max(0, -k))});
      if (value >= span.high * (1 - kSlack)) return ticks;
    }
  }
}

std::vector<Tick> logarithmic_ticks(Span span, int most) {
  for (const std::vector<double>& mantissas : {std::vector<double>{1, 2, 5}, {1, 3}, {1}}) {
    std::vector<Tick> ticks = decade_ticks(span, mantissas, 1);
    if (static_cast<int>(ticks.size()) > most) continue;
    return ticks.size() > 3 || span.high / span.low > 4 ? ticks : linear_ticks(span, most);
  }
  int stride = 2;
  while (static_cast<int>(decade_ticks(span, {1}, stride).size()) > std::max(most, 2)) ++stride;
  return decade_ticks(span, {1}, stride);
}

/// Something to draw on, whatever came in.
Span widened(double low, double high, bool logarithmic) {
  if (!std::isfinite(low) || !std::isfinite(high) || (logarithmic && low <= 0)) return {logarithmic ? 1.0 : 0.0, 10};
  if (low < high) return {low, high};
  if (logarithmic) return {low / 2, low * 2};
  const double room = low == 0 ? 1 : std::fabs(low) / 2;
  return {low - room, low + room};
}

}  // namespace

std::string tick_label(double value, int decimals) {
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (size >= 1e-4 * (1 - kSlack) && size < 1e6) return fmt::format("{:.{}f}", value, decimals);
  const int exponent = static_cast<int>(std::floor(std::log10(size) + kSlack));
  const std::string mantissa = fmt::format("{:g}", value / std::pow(10.0, exponent));
  return (mantissa == "1" ? "" : mantissa + "×") + "10" + superscript(exponent);
}

bool Scale::shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }

double Scale::at(double value) const {
  const double inside = std::clamp(value, low, high);
  const double share = logarithmic ? std::log(inside / low) / std::log(high / low) : (inside - low) / (high - low);
  return from + share * (to - from);
}

Scale nice_scale(double low, double high, bool logarithmic, int most) {
  const Span span = widened(low, high, logarithmic);
  Scale scale;
  scale.logarithmic = logarithmic;
  scale.ticks = logarithmic ? logarithmic_ticks(span, most) : linear_ticks(span, most);
  // A narrow logarithmic range with linear steps could begin at zero.
  if (logarithmic && scale.ticks.front().value <= 0) scale.ticks = decade_ticks(span, {1, 2, 5}, 1);
  scale.low = scale.ticks.front().value;
  scale.high = scale.ticks.back().value;
  return scale;
}

}  // namespace bitloom
