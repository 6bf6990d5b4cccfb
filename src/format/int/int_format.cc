#include "format/int/int_format.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

int lowest(const IntFormat& f) { return -(1 << (f.bits - 1)) + (f.narrow ? 1 : 0); }
int highest(const IntFormat& f) { return (1 << (f.bits - 1)) - 1; }
uint8_t code_of(const IntFormat& f, int value) { return static_cast<uint8_t>(value & ((1 << f.bits) - 1)); }

/// Adding 1.5 * 2^23 leaves no bit below the unit, so the sum rounds to an integer, ties to even; |y| <= 128 here.
float round_clamped(float y, float low, float high) {
  constexpr float kUnit = 12582912.0f;
  y = y < low ? low : y;
  y = y > high ? high : y;
  return (y + kUnit) - kUnit;
}

/// levels[i] = clamp(round_even(y[i] up), low, high) down: inputs of layers are rounded so as the model runs.
BITLOOM_VECTOR_CLONES void snap_integers(const float* y, int64_t n, float up, float down, float low, float high,
                                         float* levels) {
  for (int64_t i = 0; i < n; ++i) levels[i] = round_clamped(y[i] * up, low, high) * down;
}

/// q = clamp(round_even(y 2^F), lo, hi); code = q mod 2^b.
class IntEncoder final : public ArrayEncoder {
 public:
  explicit IntEncoder(const IntFormat& f)
      : up_(std::ldexp(1.0f, f.fraction)),
        down_(std::ldexp(1.0f, -f.fraction)),
        low_(static_cast<float>(lowest(f))),
        high_(static_cast<float>(highest(f))),
        mask_((1 << f.bits) - 1) {}

  void encode(const float* y, int64_t n, uint8_t* codes) const override {
    const float up = up_, low = low_, high = high_;
    const int mask = mask_;
    for (int64_t i = 0; i < n; ++i) {
      codes[i] = static_cast<uint8_t>(static_cast<int>(round_clamped(y[i] * up, low, high)) & mask);
    }
  }

  void snap(const float* y, int64_t n, float* levels) const override {
    snap_integers(y, n, up_, down_, low_, high_, levels);
  }

 private:
  float up_, down_, low_, high_;
  int mask_;
};

}  // namespace

std::optional<IntFormat> IntCodec::find(std::string_view text) {
  constexpr std::string_view kFront = "int", kNarrow = "-narrow";
  if (!text.starts_with(kFront)) return std::nullopt;
  text.remove_prefix(kFront.size());
  IntFormat format;
  format.narrow = text.ends_with(kNarrow);
  if (format.narrow) text.remove_suffix(kNarrow.size());
  const auto digit = [&](size_t at) { return text[at] - '0'; };
  if (text.size() == 3 && text[1] == 'q') {
    format.fraction = digit(2);
    if (format.fraction < 1) return std::nullopt;
  } else if (text.size() != 1) {
    return std::nullopt;
  }
  format.bits = digit(0);
  if (format.bits < 2 || format.bits > 8 || format.fraction >= format.bits) return std::nullopt;
  return format;
}

std::string IntCodec::name(const IntFormat& f) {
  return fmt::format("int{}{}{}", f.bits, f.fraction > 0 ? fmt::format("q{}", f.fraction) : "",
                     f.narrow ? "-narrow" : "");
}

std::string IntCodec::note(const IntFormat& f) {
  if (f == IntFormat{8, true, 6}) return "element of OCP MXINT8";
  return "";
}

std::vector<std::string> IntCodec::examples() {
  return {"int2", "int3",        "int4",        "int5",        "int6",         "int7",
          "int8", "int2-narrow", "int4-narrow", "int8-narrow", "int8q6-narrow"};
}

Grid IntCodec::grid(const IntFormat& f) {
  Grid grid;
  grid.bits = f.bits;
  grid.decode.assign(size_t{1} << f.bits, std::numeric_limits<float>::quiet_NaN());
  for (int q = lowest(f); q <= highest(f); ++q) {
    grid.levels.push_back(std::ldexp(static_cast<float>(q), -f.fraction));
    grid.codes.push_back(code_of(f, q));
    grid.decode[code_of(f, q)] = grid.levels.back();
    if (q < highest(f)) grid.even_is_upper.push_back(q % 2 != 0 ? 1 : 0);
  }
  grid.max_abs = -grid.levels.front();
  return grid;
}

FormatLimits IntCodec::limits(const IntFormat& f) {
  const float unit = std::ldexp(1.0f, -f.fraction);
  FormatLimits limits;
  limits.max = static_cast<float>(highest(f)) * unit;
  limits.positive = limits.negative = f.narrow ? limits.max : static_cast<float>((1 << f.bits) - 1) / 2 * unit;
  limits.max_exponent = std::ilogb(limits.max);
  limits.mantissa = f.bits - 2;
  return limits;
}

std::unique_ptr<const ArrayEncoder> IntCodec::arithmetic(const IntFormat& format) {
  return std::make_unique<IntEncoder>(format);
}

}  // namespace bitloom
