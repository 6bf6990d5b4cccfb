#pragma once
// A number as a multiplier sees it: a significand, an exponent field, and the range in its least steps.

#include <cstdint>
#include <string>
#include <string_view>

#include "format/format.h"

namespace bitloom {

struct Operand {
  std::string name;     // as it was asked for: "e4m3", "int4-g128", "bf16"
  int exponent = 0;     // bits of the exponent field; 0: an integer
  int significand = 0;  // bits that are multiplied: M + 1 of a float; all bits, sign included, of an integer
  uint64_t top = 0;     // the largest magnitude is top 2^shift least steps (subnormals), top odd
  int shift = 0;
  double stored_bits = 0;  // per number, shares of scales included (nominal, for long rows)
  int64_t group = 0;       // numbers of a row that share a scale; 0: the row, or no scale
  bool is_integer() const { return exponent == 0; }
  bool operator==(const Operand&) const = default;
};

/// Integers and minifloats. Error(kUsage) for tables of levels: they have neither exponent nor integer to multiply.
Operand operand_of(const Format& format);

/// A format ("e4m3"), a scheme or grid storage ("mxfp4", "int4-g128-asym", whose codes minus zero points have a bit
/// more), fp16, bf16 or fp32. Error(kUsage) beginning with `place` for any other text: what is wrong behind a format
/// or scheme, the nearest name where it begins with none.
Operand parse_weights(std::string_view text, const std::string& place);

/// A format, fp16, bf16 or fp32 as above, or a format of activations ("int8-token", "int8-g128" with scales of 32 bits,
/// "int8-tensor-p99.9"), also as kind_text writes it ("int8-tensor-at[...]"). A scale of all tokens takes no bits.
Operand parse_activations(std::string_view text, const std::string& place);

}  // namespace bitloom
