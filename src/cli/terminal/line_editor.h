#pragma once
// A text typed at a terminal, key by key: what the bytes of keys make of it, and how it is drawn. No input and output
// here: line_reader.h does that.
//
// Goals: the keys that everyone expects (arrows, Home, End, Delete, Ctrl-A E B F H K U W, history), UTF-8, pasted text
// of any length with its line breaks (bracketed paste). Non-goals: completion, combining characters as one.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

enum class Typed {
  kMore,       // nothing that ends the text
  kText,       // Enter
  kEnd,        // Ctrl-D with nothing typed
  kInterrupt,  // Ctrl-C
};

class LineEditor {
 public:
  /// One byte from the terminal.
  Typed feed(char byte);

  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }  // byte of text()
  /// Begins anew; what was typed is kept for the arrows where it is not empty.
  void accept();
  /// Begins anew.
  void clear();

 private:
  enum class State { kPlain, kEscape, kSequence, kPaste };
  Typed feed_plain(char byte);
  void feed_sequence(char byte);
  void feed_paste(char byte);
  void end_sequence(char last);
  void insert(char byte);
  void erase(size_t begin, size_t end);
  void recall(int64_t step);
  size_t before(size_t at) const;
  size_t after(size_t at) const;
  size_t word_before() const;

  std::string text_, parameters_;
  size_t cursor_ = 0;
  State state_ = State::kPlain;
  std::vector<std::string> history_;
  std::string unsent_;  // what was typed before the history was looked at
  size_t recalled_ = 0;
};

/// Where a text stands on a terminal.
struct Drawing {
  std::string bytes;   // draws it from the start of a line on and leaves the cursor at its place
  int cursor_row = 0;  // rows below the first
};

/// `prompt` and `text` on a terminal of `columns` by `rows`; of a text that is higher, the part around the cursor.
/// Control characters show as '?'.
Drawing draw_line(std::string_view prompt, std::string_view text, size_t cursor, int columns, int rows);

}  // namespace bitloom
