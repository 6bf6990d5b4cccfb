#pragma once
// Comma-separated values as RFC 4180 has them: quoted fields, doubled quotes, line breaks inside quotes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom::arithmetic {

struct CsvTable {
  std::vector<std::string> header;
  struct Record {
    int64_t line = 0;                 // where it begins, from 1
    std::vector<std::string> fields;  // as many as the header has
  };
  std::vector<Record> records;

  /// Index of a column; header.size() when there is none of this name.
  size_t column(std::string_view name) const;
};

/// Error(kRefused) naming `path`, line and what is wrong: no header, an open quote, text behind a closing one, another
/// number of fields than the header's.
CsvTable parse_csv(std::string_view text, const std::string& path);

}  // namespace bitloom::arithmetic
