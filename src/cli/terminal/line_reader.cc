#include "cli/terminal/line_reader.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace bitloom {
namespace {

void put(const std::string& bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), stderr);
  std::fflush(stderr);
}

/// While one lives, every key arrives as it is pressed, and pasted text between marks.
class KeyMode {
 public:
  KeyMode() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) fail(ErrorKind::kFailed, "the terminal: {}", std::strerror(errno));
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    keys.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL | INLCR);
    keys.c_cc[VMIN] = 1, keys.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
    put("\x1b[?2004h");
  }
  ~KeyMode() {
    put("\x1b[?2004l");
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
  KeyMode(const KeyMode&) = delete;
  KeyMode& operator=(const KeyMode&) = delete;

 private:
  termios before_ = {};
};

/// What has been typed; empty at the end of the input. Throws Interrupted for a signal.
std::string read_keys() {
  for (;;) {
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&input, 1, 200);
    stop_if_interrupted();
    if (ready <= 0) continue;
    char buffer[1 << 16];
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    return {buffer, static_cast<size_t>(count > 0 ? count : 0)};
  }
}

class Screen {
 public:
  explicit Screen(std::string prompt) : prompt_(std::move(prompt)) {}

  void draw(const LineEditor& editor, size_t cursor) {
    winsize size = {};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size.ws_col = 80, size.ws_row = 24;
    const Drawing drawing = draw_line(prompt_, editor.text(), cursor, size.ws_col, size.ws_row);
    put((row_ > 0 ? fmt::format("\x1b[{}A", row_) : "") + "\r\x1b[J" + drawing.bytes);
    row_ = drawing.cursor_row;
  }
  /// Leaves the text as it stands.
  void finish(const LineEditor& editor) {
    draw(editor, editor.text().size());
    put("\r\n");
  }

 private:
  std::string prompt_;
  int row_ = 0;
};

/// A line of any length, without its break; nullopt at the end.
std::optional<std::string> read_line() {
  std::string line;
  int byte = 0;
  while ((byte = std::getc(stdin)) != EOF && byte != '\n') line += static_cast<char>(byte);
  if (std::ferror(stdin) != 0) fail(ErrorKind::kFailed, "standard input: {}", std::strerror(errno));
  if (byte == EOF && line.empty()) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace

LineReader::LineReader() {
  if (isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1) guard_.emplace();
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  std::optional<std::string> text = read_part(prompt);
  while (text && text->ends_with('\\')) {
    const std::optional<std::string> more = read_part("... ");
    text->back() = '\n';
    if (!more) break;
    *text += *more;
  }
  return text;
}

std::optional<std::string> LineReader::read_part(const std::string& prompt) {
  return is_terminal() ? read_typed(prompt) : read_line();
}

std::optional<std::string> LineReader::read_typed(const std::string& prompt) {
  const KeyMode keys;
  Screen screen(prompt);
  for (;;) {
    for (size_t at = 0; at < unread_.size(); ++at) {
      const Typed typed = editor_.feed(unread_[at]);
      if (typed == Typed::kMore) continue;
      screen.finish(editor_);
      const std::string text = editor_.text();
      typed == Typed::kInterrupt ? editor_.clear() : editor_.accept();
      screen = Screen(prompt);
      if (typed == Typed::kInterrupt) continue;
      unread_.erase(0, at + 1);
      if (typed == Typed::kText) return text;
      return std::nullopt;
    }
    screen.draw(editor_, editor_.cursor());
    unread_ = read_keys();
    if (unread_.empty()) return std::nullopt;
  }
}

}  // namespace bitloom
