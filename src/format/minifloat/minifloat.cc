#include "format/minifloat/minifloat.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "base/memory/dtype.h"

namespace bitloom {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr struct {
  Reserve reserve;
  std::string_view suffix;
} kSuffixes[] = {{Reserve::kNone, ""}, {Reserve::kFn, "fn"}, {Reserve::kIeee, "-ieee"}, {Reserve::kFnuz, "fnuz"}};

/// The biases we accept keep every level, middle and square of a level a normal fp32 number.
bool is_valid(const MinifloatFormat& f) {
  if (f.exponent < 1 || f.mantissa < 0 || bits_of(f) < 3 || bits_of(f) > 8) return false;
  if (f.reserve != Reserve::kNone && (f.exponent < 2 || f.mantissa < 1)) return false;
  return (1 << f.exponent) - f.bias <= 65 && 1 - f.bias - f.mantissa >= -63;
}

/// The magnitude code of the largest finite value.
int top_code(const MinifloatFormat& f) {
  const int all = (1 << (f.exponent + f.mantissa)) - 1;
  if (f.reserve == Reserve::kFn) return all - 1;
  if (f.reserve == Reserve::kIeee) return all - (1 << f.mantissa);
  return all;
}

/// Value of a code, as if nothing were reserved.
float plain_value(const MinifloatFormat& f, int code) {
  return minifloat_value(static_cast<uint32_t>(code), f.exponent, f.mantissa, f.bias);
}

/// Reads an unsigned number of one to three digits from the front of `text`.
bool take_number(std::string_view& text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc() || length == 0 || length > 3 || value < 0) return false;
  text.remove_prefix(length);
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

int usual_bias(int exponent, Reserve reserve) { return (1 << (exponent - 1)) - (reserve == Reserve::kFnuz ? 0 : 1); }

float max_value(const MinifloatFormat& f) { return plain_value(f, top_code(f)); }

float decode_minifloat(const MinifloatFormat& f, uint8_t code) {
  const int sign_bit = 1 << (f.exponent + f.mantissa), magnitude = code & (sign_bit - 1);
  if (f.reserve == Reserve::kFnuz && code == sign_bit) return kNan;
  if (magnitude <= top_code(f)) return plain_value(f, code);
  if (f.reserve != Reserve::kIeee || magnitude > top_code(f) + 1) return kNan;
  return code == magnitude ? kInf : -kInf;
}

std::optional<MinifloatFormat> MinifloatCodec::find(std::string_view text) {
  MinifloatFormat f;
  if (!take(text, 'e') || !take_number(text, f.exponent) || !take(text, 'm') || !take_number(text, f.mantissa)) {
    return std::nullopt;
  }
  int bias = -1;
  const bool has_bias = take(text, 'b');
  const bool negative = has_bias && take(text, '-');
  if (has_bias && !take_number(text, bias)) return std::nullopt;
  for (const auto& [reserve, suffix] : kSuffixes) {
    if (text != suffix) continue;
    f.reserve = reserve;
    if (f.exponent < 1 || f.exponent > 7) return std::nullopt;
    f.bias = has_bias ? (negative ? -bias : bias) : usual_bias(f.exponent, reserve);
    return is_valid(f) ? std::optional(f) : std::nullopt;
  }
  return std::nullopt;
}

std::string MinifloatCodec::name(const MinifloatFormat& f) {
  std::string name = fmt::format("e{}m{}", f.exponent, f.mantissa);
  if (f.bias != usual_bias(f.exponent, f.reserve)) name += fmt::format("b{}", f.bias);
  for (const auto& [reserve, suffix] : kSuffixes) {
    if (reserve == f.reserve) name += suffix;
  }
  return name;
}

std::string MinifloatCodec::note(const MinifloatFormat& f) {
  const std::string text = name(f);
  if (text == "e4m3fn") return "OCP FP8 E4M3, torch.float8_e4m3fn";
  if (text == "e5m2-ieee") return "OCP FP8 E5M2, torch.float8_e5m2";
  if (text == "e2m1") return "FP4: element of OCP MXFP4 and NVFP4";
  if (text == "e2m3" || text == "e3m2") return "FP6: element of OCP MXFP6";
  if (text == "e4m3") return "no code reserved (Brevitas, qtorch); OCP's is e4m3fn";
  if (text == "e5m2") return "no code reserved (qtorch); OCP's is e5m2-ieee";
  if (text == "e4m3fnuz" || text == "e5m2fnuz") return "torch.float8_" + text;
  if (f.exponent == 1) return fmt::format("same levels as int{}-narrow, in other units", bits_of(f));
  return "";
}

std::vector<std::string> MinifloatCodec::examples() {
  std::vector<std::string> names;
  for (int bits = 3; bits <= 8; ++bits) {
    for (int exponent = 1; exponent < bits; ++exponent)
      names.push_back(fmt::format("e{}m{}", exponent, bits - 1 - exponent));
  }
  for (const char* name : {"e4m3fn", "e5m2-ieee", "e4m3-ieee", "e3m4-ieee", "e4m3fnuz", "e5m2fnuz"})
    names.emplace_back(name);
  return names;
}

Grid MinifloatCodec::grid(const MinifloatFormat& f) {
  Grid grid;
  grid.bits = bits_of(f);
  for (int code = 0; code < 1 << grid.bits; ++code) {
    grid.decode.push_back(decode_minifloat(f, static_cast<uint8_t>(code)));
  }
  const int sign_bit = 1 << (grid.bits - 1), top = top_code(f);
  if (f.reserve != Reserve::kFnuz) grid.negative_zero = sign_bit;
  // The gap between magnitudes c and c + 1: q of the upper one is even when c + 1 is; without mantissa bits the upper
  // one of two powers of two is q = 2 beside 1, and only the gap above zero (q = 0 or 1) goes down.
  const auto upper_is_even = [&](int c) { return f.mantissa == 0 ? c > 0 : c % 2 != 0; };
  for (int c = top; c > 0; --c) {
    grid.levels.push_back(-plain_value(f, c));
    grid.codes.push_back(static_cast<uint8_t>(sign_bit | c));
    grid.even_is_upper.push_back(upper_is_even(c - 1) ? 0 : 1);
  }
  for (int c = 0; c <= top; ++c) {
    grid.levels.push_back(plain_value(f, c));
    grid.codes.push_back(static_cast<uint8_t>(c));
    if (c < top) grid.even_is_upper.push_back(upper_is_even(c) ? 1 : 0);
  }
  grid.max_abs = grid.levels.back();
  return grid;
}

FormatLimits MinifloatCodec::limits(const MinifloatFormat& f) {
  const float max = max_value(f);
  return {max, max, max, std::ilogb(max), f.mantissa};
}

}  // namespace bitloom
