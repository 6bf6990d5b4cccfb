#include "format/format_info.h"

#include <fmt/format.h>

#include <cmath>

namespace bitloom {
namespace {

std::string binary(const Format& format, int code) {
  const std::string digits = fmt::format("{:0{}b}", code, bits_of(format));
  const auto* f = std::get_if<MinifloatFormat>(&format);
  if (f == nullptr) return digits;
  const size_t mantissa_at = static_cast<size_t>(1 + f->exponent);
  return fmt::format("{} {}{}{}", digits.substr(0, 1), digits.substr(1, mantissa_at - 1), f->mantissa > 0 ? " " : "",
                     digits.substr(mantissa_at));
}

std::string meaning(const Format& format, int code, const Grid& grid) {
  const float value = grid.decode[static_cast<size_t>(code)];
  if (code == grid.negative_zero) return "-0";
  if (std::isinf(value)) return "Inf";
  const auto* f = std::get_if<MinifloatFormat>(&format);
  if (std::isnan(value)) return f != nullptr ? "NaN" : "unused";
  const bool subnormal = f != nullptr && value != 0 && std::abs(value) < std::ldexp(1.0f, 1 - f->bias);
  return subnormal ? "subnormal" : "";
}

/// "-0 0x80, NaN 0x7F 0xFF": codes by meaning, long runs shortened to first..last.
std::string special_codes(const std::vector<CodeInfo>& codes) {
  std::string text;
  for (const char* what : {"-0", "Inf", "NaN", "unused"}) {
    std::string list;
    int count = 0, last = 0;
    for (const CodeInfo& code : codes) {
      if (code.meaning != what) continue;
      if (++count <= 2) list += fmt::format(" 0x{:02X}", code.code);
      last = code.code;
    }
    if (count > 2) list += fmt::format("{}0x{:02X} ({} codes)", count == 3 ? " " : " .. ", last, count);
    if (count > 0) text += fmt::format("{}{}{}", text.empty() ? "" : ", ", what, list);
  }
  return text;
}

}  // namespace

std::vector<CodeInfo> code_table(const Format& format) {
  const Grid grid = grid_of(format);
  std::vector<CodeInfo> codes;
  codes.reserve(size_t{1} << grid.bits);
  for (int code = 0; code < 1 << grid.bits; ++code) {
    codes.push_back({code, binary(format, code), grid.decode[static_cast<size_t>(code)], meaning(format, code, grid)});
  }
  return codes;
}

FormatInfo describe(const Format& format) {
  const Grid grid = grid_of(format);
  FormatInfo row;
  row.name = name_of(format);
  row.family = family_of(format);
  row.bits = grid.bits;
  row.levels = static_cast<int>(grid.levels.size());
  row.min = grid.levels.front();
  row.max = grid.levels.back();
  for (auto level = grid.levels.rbegin(); level != grid.levels.rend() && *level > 0; ++level) row.min_positive = *level;
  row.special = special_codes(code_table(format));
  row.note = note_on(format);
  return row;
}

std::vector<FormatInfo> format_table() {
  std::vector<FormatInfo> rows;
  for (const std::string& name : format_names()) rows.push_back(describe(*find_format(name)));
  return rows;
}

}  // namespace bitloom
