#include "report/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

// Exponent of the first significant digit once `value` is rounded to `digits`: 9.996 with 3 digits is 10.0, exponent 1.
int leading_exponent(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  const double unit = std::pow(10.0, exponent - digits + 1);
  const double rounded = std::round(std::fabs(value) / unit) * unit;
  return rounded >= std::pow(10.0, exponent + 1) * (1 - 1e-12) ? exponent + 1 : exponent;
}

}  // namespace

std::string format_significant(double value, int digits) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  const int exponent = leading_exponent(value, digits);
  if (value != 0 && (exponent < -4 || exponent >= 6)) return fmt::format("{:.{}e}", value, std::max(digits - 1, 0));
  return fmt::format("{:.{}f}", value, std::max(digits - 1 - exponent, 0));
}

std::string format_perplexity(double value) { return format_significant(value, 4); }

std::string format_interval(double value, double low, double high) {
  const double half = (high - low) / 2;
  if (!std::isfinite(half) || half <= 0) return format_significant(value, 3);
  // One significant digit of the half-width, two when it begins with 1: more would be noise.
  const int exponent = leading_exponent(half, 1);
  const bool begins_with_one = half / std::pow(10.0, exponent) < 2;
  const int decimals = std::max(begins_with_one ? 1 - exponent : -exponent, 0);
  if (decimals > 6) return fmt::format("{} ± {}", format_significant(value, 3), format_significant(half, 1));
  return fmt::format("{:.{}f} ± {:.{}f}", value, decimals, half, decimals);
}

std::string format_bits(double bits) { return fmt::format("{:.2f}", bits); }

std::string format_mib(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1024.0 * 1024.0);
  if (mib >= 100) return fmt::format("{:.0f}", mib);
  if (mib >= 10) return fmt::format("{:.1f}", mib);
  return mib >= 0.01 || bytes == 0 ? fmt::format("{:.2f}", mib) : "<0.01";
}

std::string format_percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string format_rate(double per_second) {
  return per_second >= 1000 ? fmt::format("{:.0f}", per_second) : format_significant(per_second, 3);
}

std::string format_count(int64_t count) {
  const double value = static_cast<double>(count);
  if (count < 100000) return fmt::format("{}", count);
  if (count < 1000000) return fmt::format("{} k", format_significant(value / 1e3, 3));
  if (count < 1000000000) return fmt::format("{} M", format_significant(value / 1e6, 3));
  return fmt::format("{} G", format_significant(value / 1e9, 3));
}

std::string format_duration(double seconds) {
  if (seconds < 99.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = static_cast<int64_t>(std::llround(seconds));
  const int64_t minutes = whole / 60, hours = minutes / 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02} h", hours, minutes % 60, whole % 60);
  return fmt::format("{}:{:02} min", minutes, whole % 60);
}

}  // namespace bitloom
