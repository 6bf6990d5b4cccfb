#include "cli/terminal/line_editor.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

namespace bitloom {
namespace {

constexpr std::string_view kPasteEnd = "\x1b[201~";

constexpr char control(char letter) { return static_cast<char>(letter & 0x1f); }

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

bool is_control(char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; }

/// A character at `at`: its bytes and the columns that it takes.
struct Glyph {
  size_t bytes;
  int columns;
};

Glyph glyph_at(std::string_view text, size_t at) {
  utf8proc_int32_t code = 0;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                      static_cast<utf8proc_ssize_t>(text.size() - at), &code);
  if (bytes <= 0) return {1, 1};
  return {static_cast<size_t>(bytes), std::max(0, utf8proc_charwidth(code))};
}

/// Rows of a text as it wraps, and the cursor's place. The last column stays free: a terminal that is full to the edge
/// wraps at a time of its own.
struct Layout {
  std::vector<std::string> rows{""};
  int column = 0, cursor_row = 0, cursor_column = 0;

  void put(std::string_view glyph, int width, int columns) {
    if (column + width > columns - 1) next_row();
    rows.back() += glyph;
    column += width;
  }
  void next_row() {
    rows.emplace_back();
    column = 0;
  }
  void mark() { cursor_row = static_cast<int>(rows.size()) - 1, cursor_column = column; }
};

Layout layout_of(std::string_view prompt, std::string_view text, size_t cursor, int columns) {
  Layout layout;
  for (const char c : prompt) layout.put({&c, 1}, 1, columns);
  for (size_t at = 0; at < text.size();) {
    if (at == cursor) layout.mark();
    const Glyph glyph = glyph_at(text, at);
    if (text[at] == '\n') {
      layout.next_row();
    } else if (is_control(text[at])) {
      layout.put(text[at] == '\t' ? "  " : "?", text[at] == '\t' ? 2 : 1, columns);
    } else {
      layout.put(text.substr(at, glyph.bytes), glyph.columns, columns);
    }
    at += glyph.bytes;
  }
  if (cursor == text.size()) layout.mark();
  return layout;
}

}  // namespace

Drawing draw_line(std::string_view prompt, std::string_view text, size_t cursor, int columns, int rows) {
  const Layout layout = layout_of(prompt, text, cursor, std::max(columns, 8));
  const int count = static_cast<int>(layout.rows.size()), shown = std::min(count, std::max(1, rows - 1));
  const int first = std::clamp(layout.cursor_row - shown + 1, 0, count - shown);
  Drawing out;
  for (int row = first; row < first + shown; ++row)
    out.bytes += (row > first ? "\r\n" : "") + layout.rows[static_cast<size_t>(row)];
  out.cursor_row = layout.cursor_row - first;
  if (const int up = shown - 1 - out.cursor_row; up > 0) out.bytes += fmt::format("\x1b[{}A", up);
  out.bytes += "\r";
  if (layout.cursor_column > 0) out.bytes += fmt::format("\x1b[{}C", layout.cursor_column);
  return out;
}

Typed LineEditor::feed(char byte) {
  switch (state_) {
    case State::kEscape:
      parameters_.clear();
      state_ = byte == '[' || byte == 'O' ? State::kSequence : State::kPlain;
      return Typed::kMore;
    case State::kSequence:
      feed_sequence(byte);
      return Typed::kMore;
    case State::kPaste:
      feed_paste(byte);
      return Typed::kMore;
    case State::kPlain:
      break;
  }
  return feed_plain(byte);
}

Typed LineEditor::feed_plain(char byte) {
  switch (byte) {
    case '\x1b':
      state_ = State::kEscape;
      break;
    case '\r':
    case '\n':
      return Typed::kText;
    case control('C'):
      return Typed::kInterrupt;
    case control('D'):
      if (text_.empty()) return Typed::kEnd;
      erase(cursor_, after(cursor_));
      break;
    case '\x7f':
    case control('H'):
      erase(before(cursor_), cursor_);
      break;
    case control('W'):
      erase(word_before(), cursor_);
      break;
    case control('U'):
      erase(0, cursor_);
      break;
    case control('K'):
      erase(cursor_, text_.size());
      break;
    case control('A'):
      cursor_ = 0;
      break;
    case control('E'):
      cursor_ = text_.size();
      break;
    case control('B'):
      cursor_ = before(cursor_);
      break;
    case control('F'):
      cursor_ = after(cursor_);
      break;
    case control('P'):
      recall(-1);
      break;
    case control('N'):
      recall(1);
      break;
    default:
      if (!is_control(byte) || byte == '\t') insert(byte);
  }
  return Typed::kMore;
}

/// ESC [ parameters letter.
void LineEditor::feed_sequence(char byte) {
  if ((byte >= '0' && byte <= '9') || byte == ';') {
    if (parameters_.size() < 16) parameters_ += byte;
    return;
  }
  state_ = State::kPlain;
  end_sequence(byte);
}

void LineEditor::end_sequence(char last) {
  const std::string key = last == '~' ? parameters_ : std::string(1, last);
  if (key == "A") recall(-1);
  if (key == "B") recall(1);
  if (key == "C") cursor_ = after(cursor_);
  if (key == "D") cursor_ = before(cursor_);
  if (key == "H" || key == "1" || key == "7") cursor_ = 0;
  if (key == "F" || key == "4" || key == "8") cursor_ = text_.size();
  if (key == "3") erase(cursor_, after(cursor_));
  if (key == "200") state_ = State::kPaste;
}

/// Line breaks arrive as carriage returns.
void LineEditor::feed_paste(char byte) {
  insert(byte == '\r' ? '\n' : byte);
  const std::string_view typed = std::string_view(text_).substr(0, cursor_);
  if (!typed.ends_with(kPasteEnd)) return;
  erase(cursor_ - kPasteEnd.size(), cursor_);
  state_ = State::kPlain;
}

void LineEditor::insert(char byte) { text_.insert(cursor_++, 1, byte); }

void LineEditor::erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

size_t LineEditor::before(size_t at) const {
  if (at > 0) --at;
  while (at > 0 && continues_character(text_[at])) --at;
  return at;
}

size_t LineEditor::after(size_t at) const {
  if (at < text_.size()) ++at;
  while (at < text_.size() && continues_character(text_[at])) ++at;
  return at;
}

size_t LineEditor::word_before() const {
  size_t at = cursor_;
  while (at > 0 && text_[at - 1] == ' ') --at;
  while (at > 0 && text_[at - 1] != ' ' && text_[at - 1] != '\n') --at;
  return at;
}

/// One text further back (-1) or forth (1) in what was typed.
void LineEditor::recall(int64_t step) {
  const int64_t to = static_cast<int64_t>(recalled_) + step;
  if (to < 0 || to > static_cast<int64_t>(history_.size())) return;
  if (recalled_ == history_.size()) unsent_ = text_;
  recalled_ = static_cast<size_t>(to);
  text_ = recalled_ == history_.size() ? unsent_ : history_[recalled_];
  cursor_ = text_.size();
}

void LineEditor::accept() {
  if (!text_.empty() && (history_.empty() || history_.back() != text_)) history_.push_back(text_);
  clear();
}

void LineEditor::clear() {
  text_.clear(), unsent_.clear();
  cursor_ = 0;
  recalled_ = history_.size();
  state_ = State::kPlain;
}

}  // namespace bitloom
