#include "cli/terminal/session.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "cli/terminal/interrupt.h"

namespace bitloom {

Session::Session(std::shared_ptr<Ranks> ranks)
    : ranks_(std::move(ranks)),
      progress_(ranks_->leads() ? ProgressTarget::standard_error() : ProgressTarget::nowhere()) {
  progress_.on_advance(stop_if_interrupted);
}

Context& Session::context() {
  if (!context_) {
    pool_ = std::make_unique<ThreadPool>(threads > 0 ? threads : ranks_->processors());
    context_ = std::make_unique<Context>(Context{*pool_, progress_});
  }
  return *context_;
}

void Session::show(const Json& record, const std::string& text) {
  if (!ranks_->leads()) return;
  if (captured_ != nullptr) {
    *captured_ = record;
    return;
  }
  write_output(json ? json_text(record) : text);
}

bool Session::bold() const {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

std::string json_text(const Json& record) { return record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

void write_output(const std::string& text) {
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0)
    fail(ErrorKind::kFailed, "standard output: {}", std::strerror(errno));
}

std::string read_standard_input() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, count);
  if (std::ferror(stdin) != 0) fail(ErrorKind::kFailed, "standard input: {}", std::strerror(errno));
  return text;
}

std::string visible_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace bitloom
