#include "hardware/operand.h"

#include <bit>
#include <cmath>
#include <optional>
#include <variant>

#include "base/error.h"
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

std::optional<GridStorage> grid_storage(std::string text) {
  constexpr std::string_view kToken = "-token";  // a row of activations
  if (text.ends_with(kToken)) text.replace(text.size() - kToken.size(), kToken.size(), "-row");
  try {
    return parse_grid(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Codes 0 .. 2^b - 1 less a zero point among them: a sign more than b bits.
void widen_for_zero_points(Operand& operand, int bits) {
  operand.significand = bits + 1;
  set_range(operand, std::exp2(bits) - 1);
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

Operand parse_operand(std::string_view text, const std::string& place) {
  const std::string name(text);
  const std::vector<Operand> floats = {wide_float("fp16", 5, 10), wide_float("bf16", 8, 7), wide_float("fp32", 8, 23)};
  for (const Operand& one : floats)
    if (one.name == name) return one;
  if (const auto format = find_format(name)) return operand_of(*format);
  const std::optional<GridStorage> storage = grid_storage(name);
  if (!storage) refuse_format(place, name, {"fp16", "bf16", "fp32", "mxfp4", "nvfp4", "int4-g128"});
  Operand operand = operand_of(storage->format);
  if (storage->asymmetric) widen_for_zero_points(operand, bits_of(storage->format));
  operand.name = name;
  operand.stored_bits = nominal_bits(*storage, kLongRow, kLongRow);
  operand.group = storage->granularity.group;
  return operand;
}

}  // namespace bitloom
