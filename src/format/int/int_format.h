#pragma once
// Two's complement integers and fixed-point numbers.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/codec.h"
#include "format/grid.h"

namespace bitloom {

/// Full: -2^(b-1) .. 2^(b-1)-1; narrow: -(2^(b-1)-1) .. 2^(b-1)-1; all times 2^-fraction. With a zero point (see
/// GridStorage::asymmetric) codes are 0 .. 2^b-1 and the value is scale * (code - zero).
/// "int4", "int8-narrow", "int8q6-narrow": the element of OCP's MXINT8, 8 bits of which 6 are fraction.
struct IntFormat {
  int bits = 8;  // 2..8
  bool narrow = false;
  int fraction = 0;  // 0..bits-1
  bool operator==(const IntFormat&) const = default;
};

struct IntCodec {
  using Value = IntFormat;
  static constexpr std::string_view kFamily = "integer";
  static constexpr std::string_view kSpelling = "int2..int8[qF][-narrow]";
  static std::optional<IntFormat> find(std::string_view text);
  static std::string name(const IntFormat& format);
  static std::string note(const IntFormat& format);
  static std::vector<std::string> examples();
  static int bits(const IntFormat& f) { return f.bits; }
  static Grid grid(const IntFormat& format);
  static FormatLimits limits(const IntFormat& format);
  static std::unique_ptr<const ArrayEncoder> arithmetic(const IntFormat& format);
};

}  // namespace bitloom
