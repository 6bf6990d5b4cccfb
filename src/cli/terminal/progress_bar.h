#pragma once
// Draws base/progress.h on standard error.
//
// Goals: on a terminal one line with a bar and an ETA, redrawn at most ten times a second, that disappears at the end;
// elsewhere a plain line every tenth of the work or every ten seconds. Work of less than about two seconds shows
// nothing. Log lines and the bar never mix. The ETA assumes what the units promise: equal cost per unit. Non-goals:
// nested bars (a task that begins inside another takes its place), spinners, moving without advance().

#include <functional>
#include <mutex>
#include <string>

#include "base/progress.h"

namespace bitloom {

/// Where a bar draws and what time it is; tests bring their own.
struct ProgressTarget {
  bool is_terminal = false;
  bool is_unicode = false;                        // may draw with more than ASCII
  std::function<int()> columns;                   // width of the terminal now
  std::function<double()> seconds;                // a clock that never goes back
  std::function<void(const std::string&)> write;  // unbuffered

  /// Standard error as it is.
  static ProgressTarget standard_error();
  /// Shows nothing.
  static ProgressTarget nowhere();
};

class ProgressBar final : public Progress {
 public:
  explicit ProgressBar(ProgressTarget target);
  ~ProgressBar() override;

  void begin(const std::string& label, int64_t total) override;
  void advance(int64_t units, const std::string& note) override;
  void end() override;
  void log(const std::string& line) override;

  /// Called by every advance(), before it counts; may throw to stop the work.
  void on_advance(std::function<void()> check) { check_ = std::move(check); }

 private:
  bool due(double now) const;
  void draw(double now);
  void draw_plain(double now);
  void erase();
  void finish();
  std::string bar_line(double now) const;

  ProgressTarget target_;
  std::function<void()> check_;
  std::mutex mutex_;
  std::string label_, note_;
  int64_t total_ = 0, done_ = 0;
  double started_ = 0, drawn_at_ = 0;
  int tenths_ = 0;        // plain lines: tenths of the work already told
  bool active_ = false;   // between begin and end
  bool visible_ = false;  // a bar stands on the last line of the terminal
  bool told_ = false;     // at least one plain line was written
};

}  // namespace bitloom
