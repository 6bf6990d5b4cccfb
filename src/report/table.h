#pragma once
// Tables for terminals, for Markdown and for pages (page/page.h).
//
// Goals: columns that line up whatever the script (width by Unicode, not by bytes); the same rows in both renderings;
// lines without trailing blanks, so that a table survives a pipe and a diff.
// Non-goals: colours beyond a bold head line, wrapping inside cells, sorting.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitloom {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;  // with the unit where there is one: "size MiB"
  Align align = Align::kRight;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  /// One cell per column; fewer are padded with empty ones (more: assert).
  void add(std::vector<std::string> cells);
  size_t rows() const { return rows_.size(); }
  const std::vector<Column>& columns() const { return columns_; }
  /// Of one row, one per column.
  const std::vector<std::string>& cells(size_t row) const { return rows_.at(row); }

  /// Head line, rule, rows; columns two blanks apart. `bold_head` adds the ANSI codes for bold to the head line.
  std::string to_text(bool bold_head = false) const;
  std::string to_markdown() const;

 private:
  std::vector<size_t> widths() const;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Name and value, one per line, values aligned.
using Facts = std::vector<std::pair<std::string, std::string>>;
std::string facts_text(const Facts& facts);

/// Columns that `text` takes on a terminal: wide East Asian characters and emoji count two, combining marks none. Each
/// byte that is no UTF-8 counts one, as terminals show a replacement character.
size_t display_width(std::string_view text);

/// The longest prefix of `text` that fits `columns`, cut between characters; "…" ends it when something was cut.
std::string fit_width(std::string_view text, size_t columns);

/// Pads `text` with blanks to `columns`.
std::string pad_width(std::string_view text, size_t columns, Align align = Align::kLeft);

}  // namespace bitloom
