#include "hardware/operand.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <variant>

#include "base/error.h"
#include "format/activations/activation_format.h"
#include "format/families/grid/grid_storage.h"
#include "format/named_format.h"

namespace bitloom {
namespace {

constexpr int64_t kLongRow = 4096;  // over which scales of rows are shared out

/// Floats beyond 8 bits, IEEE 754's and bfloat16: M + 1 bits up to exponent field 2^E - 2, least step at field 1.
Operand wide_float(std::string name, int exponent, int mantissa) {
  const int bits = 1 + exponent + mantissa;
  return {std::move(name),          exponent, mantissa + 1, (uint64_t{2} << mantissa) - 1, (1 << exponent) - 3,
          static_cast<double>(bits)};
}

/// Every level of these formats is a multiple of the least positive one.
void set_range(Operand& operand, double steps) {
  int exponent = 0;
  const double fraction = std::frexp(steps, &exponent);
  const auto whole = static_cast<uint64_t>(std::ldexp(fraction, 53));
  const int zeros = std::countr_zero(whole);
  operand.top = whole >> zeros;
  operand.shift = exponent - 53 + zeros;
}

/// Codes 0 .. 2^b - 1 less a zero point among them: a sign more than b bits.
void widen_for_zero_points(Operand& operand, int bits) {
  operand.significand = bits + 1;
  set_range(operand, std::exp2(bits) - 1);
}

/// Weights, with the scales that are stored beside them.
Operand weight_operand(const std::string& name) {
  const GridStorage storage = parse_grid(name);
  Operand operand = operand_of(storage.format);
  if (storage.asymmetric) widen_for_zero_points(operand, bits_of(storage.format));
  operand.stored_bits = nominal_bits(storage, kLongRow, kLongRow);
  operand.group = storage.granularity.group;
  return operand;
}

/// Bits of a scale and its zero point, shared out; none where all tokens share one.
double shared_bits(const ActivationFormat& format) {
  if (format.granularity == ActivationFormat::Granularity::kTensor) return 0;
  const int bits = scale_bits(format.scale) + (format.asymmetric ? bits_of(format.format) : 0);
  return bits / static_cast<double>(format.group > 0 ? format.group : kLongRow);
}

Operand activation_operand(const std::string& name) {
  std::string text = name;
  for (const std::string_view any : {"-shift[...]", "-at[...]"}) {  // kind_text's
    if (const size_t at = text.find(any); at != text.npos) text.erase(at, any.size());
  }
  const ActivationFormat format = parse_activation_format(text);
  Operand operand = operand_of(format.format);
  if (format.asymmetric) widen_for_zero_points(operand, bits_of(format.format));
  operand.stored_bits += shared_bits(format);
  operand.group = format.group;
  return operand;
}

bool begins_with_format(const std::string& text) {
  const std::vector<std::string> schemes = named_schemes();
  for (size_t end = 0; end != text.npos;) {
    end = text.find('-', end + 1);
    const std::string word = text.substr(0, end);
    if (find_format(word) || std::find(schemes.begin(), schemes.end(), word) != schemes.end()) return true;
  }
  return false;
}

/// `read`: of what is neither a float of IEEE 754 nor a format alone.
Operand read_operand(const std::string& name, const std::string& place, Operand (*read)(const std::string&)) {
  for (const Operand& one : {wide_float("fp16", 5, 10), wide_float("bf16", 8, 7), wide_float("fp32", 8, 23)})
    if (one.name == name) return one;
  try {
    const auto format = find_format(name);
    Operand operand = format ? operand_of(*format) : read(name);
    if (!format) operand.name = name;
    return operand;
  } catch (const Error& error) {
    if (begins_with_format(name)) misuse("{}: {}", place, error.what());
  }
  refuse_format(place, name, {"fp16", "bf16", "fp32", "mxfp4", "nvfp4", "int4-g128", "int8-token"});
}

}  // namespace

Operand operand_of(const Format& format) {
  Operand operand{.name = name_of(format), .stored_bits = static_cast<double>(bits_of(format))};
  if (std::holds_alternative<TableFormat>(format))
    misuse("{} is a table of levels: it has neither exponent bits nor integers to multiply; there are intN and eXmY",
           operand.name);
  const Grid grid = grid_of(format);
  if (const auto* f = std::get_if<MinifloatFormat>(&format)) {
    operand.exponent = f->exponent;
    operand.significand = f->mantissa + 1;
  } else {
    operand.significand = grid.bits;
  }
  double least = grid.max_abs;
  for (const float level : grid.levels)
    if (level > 0) least = std::min(least, double{level});
  set_range(operand, grid.max_abs / least);
  return operand;
}

Operand parse_weights(std::string_view text, const std::string& place) {
  return read_operand(std::string(text), place, weight_operand);
}

Operand parse_activations(std::string_view text, const std::string& place) {
  return read_operand(std::string(text), place, activation_operand);
}

}  // namespace bitloom
