#pragma once
// Which numbers can be stored: a closed variant of small values. A format knows its levels, bits and special codes; it
// does not know granularity, scales, memory layout or models.
//
// Goals: every format of at most 8 bits is a Grid, and whatever works on grids works on it; a faster arithmetic form
// gives the same codes as the grid, always. Names are exact: find_format(name_of(f)) == f.
// Non-goals: formats of more than 8 bits, and codes that stand for more than one number (vector codebooks).
//
// To add one: a folder with its value type and codec, its type in the variant, and a row in format.cc.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "format/codec.h"
#include "format/grid.h"
#include "format/int/int_format.h"
#include "format/minifloat/minifloat.h"
#include "format/table/table_format.h"

namespace bitloom {

using Format = std::variant<IntFormat, MinifloatFormat, TableFormat>;

int bits_of(const Format& format);
Grid grid_of(const Format& format);
FormatLimits limits_of(const Format& format);
/// "integer", "minifloat" or "table".
std::string_view family_of(const Format& format);

/// "int4", "int4-narrow", "e2m1", "e4m3fn", "e5m2-ieee", "nf4", "table[-1;0;1]": find_format(name_of(f)) == f.
std::string name_of(const Format& format);
/// nullopt when `text` names no format. Error(kUsage) for a table with levels that are none.
std::optional<Format> find_format(std::string_view text);
/// The formats of common use, for listings and spelling hints.
std::vector<std::string> format_names();
/// How each family is spelled, for messages: "int2..int8[...], eXmY..., nf4, ...".
std::string format_spellings();
/// What the field calls it and who uses it, or "".
std::string note_on(const Format& format);

/// The fastest encoder for the format and policy: arithmetic where the format has such a form, else a search of the
/// grid.
std::unique_ptr<const ArrayEncoder> make_encoder(const Format& format, Ties ties);
/// The general one, for any grid.
std::unique_ptr<const ArrayEncoder> make_search_encoder(Grid grid, Ties ties);

}  // namespace bitloom
