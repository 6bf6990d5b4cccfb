#pragma once
// Messages from standard input: typed at a terminal (line_editor.h), or lines of a pipe.

#include <optional>
#include <string>

#include "cli/terminal/interrupt.h"
#include "cli/terminal/line_editor.h"

namespace bitloom {

class LineReader {
 public:
  /// From a terminal when standard input and standard error are one. Signals are then noted (InterruptGuard) while this
  /// lives.
  LineReader();

  bool is_terminal() const { return guard_.has_value(); }
  /// The next text, shown after `prompt` where a terminal is; nullopt at the end. A line that ends in a backslash goes
  /// on with the next one. Throws Interrupted for a signal that is not Ctrl-C; Ctrl-C clears what was typed.
  std::optional<std::string> read(const std::string& prompt);

 private:
  std::optional<std::string> read_part(const std::string& prompt);
  std::optional<std::string> read_typed(const std::string& prompt);

  std::optional<InterruptGuard> guard_;
  LineEditor editor_;
  std::string unread_;  // keys that came with those that ended a text
};

}  // namespace bitloom
