#pragma once
// Formats described as plain data, for `bitloom formats`.

#include <string>
#include <vector>

#include "format/format.h"

namespace bitloom {

/// One row of the table of formats.
struct FormatInfo {
  std::string name, family;
  int bits = 0;
  int levels = 0;          // distinct finite values
  float min_positive = 0;  // 0 when there is none
  float min = 0, max = 0;
  std::string special;  // codes that are no finite number, and -0: "-0 0x80, NaN 0x7F 0xFF"
  std::string note;     // what the field calls it
};
FormatInfo describe(const Format& format);

/// describe() of every format of format_names().
std::vector<FormatInfo> format_table();

/// One code of a format.
struct CodeInfo {
  int code = 0;
  std::string bits;     // binary, most significant first; sign|exponent|mantissa separated by spaces for minifloats
  float value = 0;      // Inf and NaN where the code means that
  std::string meaning;  // "", "-0", "subnormal", "Inf", "NaN", "unused"
};
/// All 2^bits codes in order.
std::vector<CodeInfo> code_table(const Format& format);

}  // namespace bitloom
