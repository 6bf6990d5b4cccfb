#pragma once
// Which numbers can be stored: a closed variant of small values. A format knows its levels, bits and special codes; it
// does not know granularity, scales, memory layout or models.
//
// Every format of at most 8 bits is a sorted table of at most 256 levels (Grid). Encoding, clip search, packing and table
// look-up kernels are written once, for grids; a format's arithmetic form, where it has one, is tested against its table.
// To add one: a folder with its value type and a row in format.cc.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bitloom {

/// Two's complement integers: full -2^(b-1) .. 2^(b-1)-1, narrow -(2^(b-1)-1) .. 2^(b-1)-1. With a zero point (see
/// QuantSpec::asymmetric) codes are 0 .. 2^b-1 and the value is scale * (code - zero).
struct IntFormat {
  int bits = 8;  // 2..8
  bool narrow = false;
  bool operator==(const IntFormat&) const = default;
};

/// Which codes of a minifloat are no finite number (papers' floating-point page, 0.1).
enum class Reserve { kNone, kFn, kIeee, kFnuz };

/// Sign, `exponent` bits, `mantissa` bits; value as in section 0.1 of the papers' floating-point page.
struct MinifloatFormat {
  int exponent = 4, mantissa = 3;  // exponent >= 1, mantissa >= 0, 3..8 bits in all
  int bias = 7;
  Reserve reserve = Reserve::kNone;
  bool operator==(const MinifloatFormat&) const = default;
};

/// Any 2..256 ascending levels; code = index. `name` is "nf4", "fp4-bnb" or "table".
struct TableFormat {
  std::string name;
  std::vector<float> levels;
  bool operator==(const TableFormat&) const = default;
};

using Format = std::variant<IntFormat, MinifloatFormat, TableFormat>;

/// The finite levels of a format in ascending order, each with its code. Two codes with equal value (-0 and +0) keep
/// the positive one for encoding; both decode.
struct Grid {
  int bits = 0;
  std::vector<float> levels;   // ascending, distinct, finite
  std::vector<uint8_t> codes;  // codes[i] encodes levels[i]
  std::vector<float> decode;   // by code, size 2^bits; NaN/Inf where the code is no finite number
  float max_abs = 0;           // largest magnitude
};

/// Ties of nearest rounding, on the integer significand (papers' floating-point page, 0.2).
enum class Ties { kEven, kAway, kTowardZero };

int bits_of(const Format& format);
Grid grid_of(const Format& format);

/// "int4", "int4-narrow", "e2m1", "e4m3fn", "e5m2-ieee", "nf4": parse_format(name_of(f)) == f for all but "table".
std::string name_of(const Format& format);
/// nullopt when `text` names no format.
std::optional<Format> find_format(std::string_view text);
/// One of each family, for listings and spelling hints.
std::vector<std::string> format_names();

/// Code of the grid level nearest to x, ties by policy, saturating; NaN is a caller's error (assert).
uint8_t encode_nearest(const Grid& grid, float x, Ties ties);

}  // namespace bitloom
