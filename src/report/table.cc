#include "report/table.h"

#include <utf8proc.h>

#include <algorithm>
#include <cassert>

namespace bitloom {
namespace {

struct ShownCharacter {
  size_t bytes = 1;
  size_t columns = 1;
};

ShownCharacter next_character(std::string_view text) {
  utf8proc_int32_t codepoint = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t used = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &codepoint);
  if (used <= 0) return {};
  return {static_cast<size_t>(used), static_cast<size_t>(std::max(utf8proc_charwidth(codepoint), 0))};
}

void strip_trailing_blanks(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

std::string text_line(const std::vector<Column>& columns, const std::vector<size_t>& widths,
                      const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) line += "  ";
    line += pad_width(cells[i], widths[i], columns[i].align);
  }
  strip_trailing_blanks(line);
  return line;
}

std::string escape_markdown(const std::string& cell) {
  std::string out;
  for (const char c : cell) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const ShownCharacter character = next_character(text);
    width += character.columns;
    text.remove_prefix(character.bytes);
  }
  return width;
}

std::string fit_width(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  size_t width = 0, length = 0;
  while (true) {
    const ShownCharacter character = next_character(text.substr(length));
    if (width + character.columns > columns - 1) break;
    width += character.columns;
    length += character.bytes;
  }
  return std::string(text.substr(0, length)) + "…";
}

std::string pad_width(std::string_view text, size_t columns, Align align) {
  const size_t width = display_width(text);
  const std::string blanks(columns > width ? columns - width : 0, ' ');
  return align == Align::kLeft ? std::string(text) + blanks : blanks + std::string(text);
}

std::string facts_text(const Facts& facts) {
  size_t width = 0;
  for (const auto& fact : facts) width = std::max(width, display_width(fact.first));
  std::string out;
  for (const auto& fact : facts) {
    std::string line = pad_width(fact.first, width) + "  " + fact.second;
    strip_trailing_blanks(line);
    out += line + "\n";
  }
  return out;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<std::string> cells) {
  assert(cells.size() <= columns_.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::widths() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(display_width(column.title));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  return widths;
}

std::string Table::to_text(bool bold_head) const {
  const std::vector<size_t> column_widths = widths();
  std::vector<std::string> titles, rules;
  for (size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    rules.emplace_back(column_widths[i], '-');
  }
  const std::string head = text_line(columns_, column_widths, titles);
  std::string out = (bold_head ? "\x1b[1m" + head + "\x1b[0m" : head) + "\n";
  out += text_line(columns_, column_widths, rules) + "\n";
  for (const auto& row : rows_) out += text_line(columns_, column_widths, row) + "\n";
  return out;
}

std::string Table::to_markdown() const {
  std::string out = "|";
  for (const Column& column : columns_) out += " " + escape_markdown(column.title) + " |";
  out += "\n|";
  for (const Column& column : columns_) out += column.align == Align::kRight ? "--:|" : "---|";
  out += "\n";
  for (const auto& row : rows_) {
    out += "|";
    for (const std::string& cell : row) out += " " + escape_markdown(cell) + " |";
    out += "\n";
  }
  return out;
}

}  // namespace bitloom
