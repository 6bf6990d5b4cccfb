#include "model/rope/rope_types.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

/// p_i = theta^(2i / dim), i = 0 .. ceil(dim / 2) - 1, exponent and result in fp32.
std::vector<float> powers(const RopeBase& base) {
  std::vector<float> out;
  for (int64_t i = 0; i < base.dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(base.dim);
    out.push_back(static_cast<float>(std::pow(base.theta, static_cast<double>(exponent))));
  }
  return out;
}

/// f_i = 1 / p_i.
std::vector<float> plain_frequencies(const RopeBase& base) {
  std::vector<float> out = powers(base);
  for (float& value : out) value = 1.0f / value;
  return out;
}

Rope finish(const std::vector<float>& frequencies) {
  Rope rope;
  rope.inv_freq.assign(frequencies.begin(), frequencies.end());
  return rope;
}

Rope build_default(const RopeBase& base, const ConfigReader&) { return finish(plain_frequencies(base)); }

/// NTK scaling by length: up to max_position_embeddings the plain frequencies. Beyond, theta would grow with every
/// token, and keys that were rotated before would have to turn again: no longer sequences are served.
Rope build_dynamic(const RopeBase& base, const ConfigReader& settings) {
  settings.positive("factor");
  Rope rope = finish(plain_frequencies(base));
  rope.max_length = base.max_positions;
  return rope;
}

/// f_i / factor (positions divided by factor).
Rope build_linear(const RopeBase& base, const ConfigReader& settings) {
  const auto factor = static_cast<float>(settings.positive("factor"));
  std::vector<float> frequencies = plain_frequencies(base);
  for (float& value : frequencies) value /= factor;
  return finish(frequencies);
}

/// Llama 3.1. With wavelength w = 2 pi / f and L = original positions:
///   w < L / high: f;   w > L / low: f / factor;
///   between: (1 - s) f / factor + s f,  s = (L / w - low) / (high - low).
Rope build_llama3(const RopeBase& base, const ConfigReader& settings) {
  const double factor = settings.positive("factor");
  const double low = settings.positive("low_freq_factor");
  const double high = settings.positive("high_freq_factor");
  if (high <= low) settings.refuse_value("high_freq_factor", fmt::format("must be above low_freq_factor = {}", low));
  const auto length = static_cast<double>(base.original_positions);
  std::vector<float> frequencies = plain_frequencies(base);
  for (float& f : frequencies) {
    const float wavelength = static_cast<float>(kTwoPi) / f;
    if (wavelength > static_cast<float>(length / low)) {
      f /= static_cast<float>(factor);
    } else if (!(wavelength < static_cast<float>(length / high))) {
      const float smooth =
          (static_cast<float>(length) / wavelength - static_cast<float>(low)) / static_cast<float>(high - low);
      f = (1.0f - smooth) * f / static_cast<float>(factor) + smooth * f;
    }
  }
  return finish(frequencies);
}

/// Yarn's scale of cos and sin (arXiv 2309.00071, section 3.4): 0.1 m ln(s) + 1.
double yarn_mscale(double factor, double m) { return factor <= 1.0 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; }

double yarn_attention_factor(double factor, const ConfigReader& settings) {
  if (const auto given = settings.find_number("attention_factor")) return *given;
  const double mscale = settings.number("mscale", 0.0);
  const double all_dim = settings.number("mscale_all_dim", 0.0);
  if (mscale != 0.0 && all_dim != 0.0) return yarn_mscale(factor, mscale) / yarn_mscale(factor, all_dim);
  return yarn_mscale(factor, 1.0);
}

/// The channel pair that turns `rotations` times within the original context.
double yarn_correction(double rotations, const RopeBase& base) {
  const auto length = static_cast<double>(base.original_positions);
  return static_cast<double>(base.dim) * std::log(length / (rotations * kTwoPi)) / (2.0 * std::log(base.theta));
}

/// Yarn: f_i (1 - r_i) + f_i / factor r_i, where r_i ramps from 0 to 1 between the pairs that turn beta_fast and
/// beta_slow times within the original context.
Rope build_yarn(const RopeBase& base, const ConfigReader& settings) {
  const double ratio = static_cast<double>(base.max_positions) / static_cast<double>(base.original_positions);
  const double factor = settings.positive("factor", ratio);
  const double fast = settings.number("beta_fast", 0.0);
  const double slow = settings.number("beta_slow", 0.0);
  double low = yarn_correction(fast == 0.0 ? 32.0 : fast, base);
  double high = yarn_correction(slow == 0.0 ? 1.0 : slow, base);
  if (settings.flag("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(base.dim - 1));
  if (low == high) high += 0.001;  // as the original code avoids the division by zero
  std::vector<float> frequencies = powers(base);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float p = frequencies[i];
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float keep = 1.0f - ramp;
    frequencies[i] = 1.0f / (static_cast<float>(factor) * p) * (1.0f - keep) + 1.0f / p * keep;
  }
  Rope rope = finish(frequencies);
  rope.attention_factor = yarn_attention_factor(factor, settings);
  return rope;
}

std::vector<double> longrope_factors(const RopeBase& base, const ConfigReader& settings, const std::string& key) {
  std::vector<double> factors = settings.numbers(key);
  const int64_t expected = (base.dim + 1) / 2;
  if (static_cast<int64_t>(factors.size()) != expected) {
    settings.refuse_value(key, fmt::format("expected a list of {} numbers, one per rotated pair", expected));
  }
  for (const double factor : factors) {
    if (!(factor > 0) || !std::isfinite(factor)) settings.refuse_value(key, "expected numbers > 0");
  }
  return factors;
}

/// LongRoPE: 1 / (e_i p_i), with one list of factors e for sequences no longer than the original context, and another
/// for longer ones.
Rope build_longrope(const RopeBase& base, const ConfigReader& settings) {
  const std::vector<double> shorter = longrope_factors(base, settings, "short_factor");
  const std::vector<double> longer = longrope_factors(base, settings, "long_factor");
  const auto frequencies = [&](const std::vector<double>& factors) {
    std::vector<float> result = powers(base);
    for (size_t i = 0; i < result.size(); ++i) result[i] = 1.0f / (static_cast<float>(factors[i]) * result[i]);
    return result;
  };
  Rope rope = finish(frequencies(shorter));
  const auto original = static_cast<double>(base.original_positions);
  const double factor = settings.positive("factor", static_cast<double>(base.max_positions) / original);
  const double usual = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  rope.attention_factor = settings.number("attention_factor", usual);
  if (shorter != longer) {
    rope.max_length = base.original_positions;
    rope.long_inv_freq = finish(frequencies(longer)).inv_freq;
  }
  return rope;
}

/// Frequencies of a whole head of which only the first, those of the partial factor, turn.
Rope build_proportional(const RopeBase& base, const ConfigReader& settings) {
  const double part = settings.positive("partial_rotary_factor", 1.0);
  if (part > 1.0) settings.refuse_value("partial_rotary_factor", "expected at most 1");
  std::vector<float> frequencies = plain_frequencies(base);
  const auto turning = static_cast<size_t>(part * static_cast<double>(base.dim) / 2.0);
  for (size_t i = turning; i < frequencies.size(); ++i) frequencies[i] = 0.0f;
  const auto factor = static_cast<float>(settings.positive("factor", 1.0));
  for (float& frequency : frequencies) frequency /= factor;
  return finish(frequencies);
}

constexpr std::array kTypes = {
    RopeType{"default", build_default},
    RopeType{"linear", build_linear},
    RopeType{"llama3", build_llama3},
    RopeType{"yarn", build_yarn},
    RopeType{"longrope", build_longrope},
    RopeType{"dynamic", build_dynamic},
    RopeType{"proportional", build_proportional},
};

}  // namespace

std::span<const RopeType> rope_types() { return kTypes; }

}  // namespace bitloom
