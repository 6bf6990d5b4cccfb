#pragma once
// The base family "codebook": every weight is an entry of a table of 2^b fp16 levels that some weights share. Tables
// per column are CLAQ's (papers' column-wise page, section 3), per row SqueezeLLM's.
//
//   value(r, c) = table(r, c)[code(r, c)]
//
// Parts, for W [rows, cols]:
//   -col        .widths  U8 [cols]     b of each column, 1 to 8
//               .codes   U8 [bytes]    in tiles of 16 rows, columns sorted by width (packing/column_layout.h)
//               .tables  F16 [levels]  2^b levels of each column, in the order of its codes
//   -row        .codes   U8 [rows, ceil(cols b / 8)] (packing/bitstream.h), .tables F16 [rows, 1, 2^b]
//   -gN         .codes   as -row, .tables F16 [rows, ceil(cols / N), 2^b]
//   -tensor     .codes   as -row, .tables F16 [1, 1, 2^b]

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/family.h"

namespace bitloom {

struct CodebookStorage {
  enum class Share { kColumn, kRow, kGroup, kTensor };
  // Bits of a code in thousandths, so that "2.5" is exact: the mean over columns at most. Broken widths are for
  // kColumn.
  int64_t milli_bits = 4000;
  Share share = Share::kColumn;
  int64_t group = 0;  // kGroup: columns of a row that share a table (the last group may be shorter)
  /// Of every column; only when whole().
  int bits() const { return static_cast<int>(milli_bits / 1000); }
  bool whole() const { return milli_bits % 1000 == 0; }
  bool operator==(const CodebookStorage&) const = default;
};

/// "codebook" and a digit.
bool is_codebook_spelling(std::string_view text);
/// "codebook3-col", "codebook2.5-col", "codebook3-row", "codebook4-g128", "codebook4-tensor"; default -col.
/// Error(kUsage) for widths outside 1 to 8 and broken ones of shared columns; unknown options go to `others`, or are an
/// error.
CodebookStorage parse_codebook(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const CodebookStorage& storage);
std::vector<std::string> codebook_option_names();

/// Bits of the codes alone, as CLAQ counts.
double nominal_bits(const CodebookStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const CodebookStorage& storage, int64_t rows, int64_t cols);
/// 1 to 6 bits; -col, whose mean width it is, in halves.
std::vector<CodebookStorage> at_all_widths(const CodebookStorage& storage);
/// False for -col, whose widths are each matrix's own.
bool has_fixed_sizes(const CodebookStorage& storage);

extern const FamilyRow kCodebookFamily;

/// Tables of a [rows, cols] matrix: one for every `table_rows` x `table_cols` weights.
struct TableShape {
  int64_t rows = 1, cols = 1;              // of tables
  int64_t table_rows = 1, table_cols = 1;  // of the weights that share one
};
TableShape table_shape(const CodebookStorage& storage, int64_t rows, int64_t cols);

}  // namespace bitloom
