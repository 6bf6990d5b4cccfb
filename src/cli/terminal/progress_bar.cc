#include "cli/terminal/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/clock.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr double kShortTask = 2.0;      // seconds; work expected to be shorter shows nothing
constexpr double kFirstEstimate = 0.5;  // seconds before the first guess at the duration is worth anything
constexpr double kRedraw = 0.1;         // seconds between redraws on a terminal
constexpr double kPlainInterval = 10;   // seconds between plain lines when a tenth takes longer
constexpr double kPlainPause = 4;       // least seconds between plain lines
constexpr int kBarColumns = 24;

std::string clock_text(double seconds) {
  const int64_t whole = std::llround(std::max(seconds, 0.0));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bar_of(double share, bool unicode) {
  const int full = static_cast<int>(std::floor(share * kBarColumns));
  std::string bar;
  for (int i = 0; i < kBarColumns; ++i) bar += unicode ? (i < full ? "█" : "░") : (i < full ? "#" : ".");
  return bar;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view text(value);
    return text.find("UTF-8") != text.npos || text.find("utf8") != text.npos || text.find("UTF8") != text.npos;
  }
  return false;
}

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_standard_error(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (written <= 0) return;  // nowhere left to complain
    done += static_cast<size_t>(written);
  }
}

}  // namespace

ProgressTarget ProgressTarget::standard_error() {
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return {isatty(STDERR_FILENO) == 1 && !dumb, locale_is_utf8(), terminal_columns, steady_seconds,
          write_standard_error};
}

ProgressTarget ProgressTarget::nowhere() {
  return {false, false, terminal_columns, steady_seconds, [](const std::string&) {}};
}

ProgressBar::ProgressBar(ProgressTarget target) : target_(std::move(target)) {}

ProgressBar::~ProgressBar() {
  if (visible_) erase();
}

void ProgressBar::begin(const std::string& label, int64_t total) {
  const std::lock_guard lock(mutex_);
  if (active_) finish();
  label_ = label;
  note_.clear();
  total_ = total;
  done_ = 0;
  started_ = drawn_at_ = target_.seconds();
  tenths_ = 0;
  active_ = true;
  told_ = false;
}

void ProgressBar::advance(int64_t units, const std::string& note) {
  if (check_) check_();
  const std::lock_guard lock(mutex_);
  if (!active_) return;
  done_ += units;
  if (!note.empty()) note_ = note;
  const double now = target_.seconds();
  if (!target_.is_terminal) return draw_plain(now);
  if (due(now)) draw(now);
}

void ProgressBar::end() {
  const std::lock_guard lock(mutex_);
  if (active_) finish();
}

void ProgressBar::log(const std::string& line) {
  const std::lock_guard lock(mutex_);
  const bool was_visible = visible_;
  if (was_visible) erase();
  target_.write(line + "\n");
  if (was_visible && active_) draw(target_.seconds());
}

bool ProgressBar::due(double now) const {
  if (visible_) return now - drawn_at_ >= kRedraw;
  const double elapsed = now - started_;
  if (elapsed >= kShortTask) return true;
  if (elapsed < kFirstEstimate || total_ <= 0 || done_ <= 0) return false;
  return elapsed / static_cast<double>(done_) * static_cast<double>(total_) >= kShortTask;
}

void ProgressBar::draw(double now) {
  target_.write("\r" + bar_line(now) + "\x1b[K");
  visible_ = true;
  drawn_at_ = now;
}

// One column stays free: a full last column makes some terminals wrap.
std::string ProgressBar::bar_line(double now) const {
  const size_t columns = static_cast<size_t>(std::max(target_.columns() - 1, 0));
  const double elapsed = now - started_;
  if (total_ <= 0) return fit_width(fmt::format("{}  {}  {}", label_, clock_text(elapsed), note_), columns);
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  std::string line = label_ + "  ";
  if (columns >= 60) line += bar_of(share, target_.is_unicode) + " ";
  line += fmt::format("{:3.0f} %", std::floor(100 * share));
  if (done_ > 0) line += fmt::format("  {} left", clock_text(elapsed * (1 - share) / share));
  if (!note_.empty()) line += "  " + note_;
  return fit_width(line, columns);
}

void ProgressBar::draw_plain(double now) {
  const double elapsed = now - started_;
  if (elapsed < kShortTask || now - drawn_at_ < kPlainPause) return;
  const int tenths = total_ > 0 ? static_cast<int>(std::min<int64_t>(10 * done_ / total_, 10)) : 0;
  if (tenths <= tenths_ && now - drawn_at_ < kPlainInterval) return;
  tenths_ = std::max(tenths, tenths_);
  if (tenths == 10) return;  // finish() says so
  drawn_at_ = now;
  told_ = true;
  if (total_ <= 0 || done_ <= 0) return target_.write(fmt::format("{}: {} so far\n", label_, clock_text(elapsed)));
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  target_.write(fmt::format("{}: {:.0f} %, {} left\n", label_, std::floor(100 * share),
                            clock_text(elapsed * (1 - share) / share)));
}

void ProgressBar::erase() {
  target_.write("\r\x1b[K");
  visible_ = false;
}

void ProgressBar::finish() {
  if (visible_) erase();
  if (told_) target_.write(fmt::format("{}: done in {}\n", label_, clock_text(target_.seconds() - started_)));
  active_ = false;
}

}  // namespace bitloom
