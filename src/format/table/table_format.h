#pragma once
// Any 2..256 ascending levels; code = index. NF4 and FP4 of bitsandbytes, IQ4_NL of llama.cpp, power grids, and tables
// a user writes down or a fit to weights finds (fitted_table.h).

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/codec.h"
#include "format/grid.h"

namespace bitloom {

/// `name` is "nf4", "iq4nl", "fp4-bnb", one of fitted_table.h's, or "table"; a "table" is spelled with its levels,
/// "table[-1;0;1]", each the shortest decimal that reads back to the same float. "fp4-bnb" holds the 15 distinct values
/// of bitsandbytes' FP4 in ascending order; its own code order (0 .0052 .667 1 .333 .5 .167 .25, sign in bit 3) is a
/// matter of export.
struct TableFormat {
  std::string name = "table";
  std::vector<float> levels;
  bool operator==(const TableFormat&) const = default;
};

/// A table of the user's. Error(kUsage) unless there are 2..256 levels, finite, ascending and distinct, not all zero.
TableFormat make_table(std::vector<float> levels);

struct TableCodec {
  using Value = TableFormat;
  static constexpr std::string_view kFamily = "table";
  static constexpr std::string_view kSpelling = "nf4, iq4nl, fp4-bnb, pow2..pow8[A], table2..table4, table[A;B;...]";
  static std::optional<TableFormat> find(std::string_view text);
  static std::string name(const TableFormat& format);
  static std::string note(const TableFormat& format);
  static std::vector<std::string> examples();
  static int bits(const TableFormat& format);
  static Grid grid(const TableFormat& format);
  static FormatLimits limits(const TableFormat& format);
  static std::unique_ptr<const ArrayEncoder> arithmetic(const TableFormat& format);
};

}  // namespace bitloom
