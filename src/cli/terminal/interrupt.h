#pragma once
// Ctrl-C while an output is being written: the work stops at the next step of its progress, destructors remove what is
// unfinished, and the program ends with the customary 128 + signal. A second Ctrl-C ends it at once.

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace bitloom {

/// Thrown out of the work; the program's outermost function knows it.
struct Interrupted {
  int signal;
};

/// While one lives and an InterruptGuard with it, a signal ends the process within a tenth of a second with the line
/// that `last_words` returns: for a launcher that sends SIGTERM and, a second later, SIGKILL.
class PromptStop {
 public:
  explicit PromptStop(std::function<std::string()> last_words);
  ~PromptStop();
  PromptStop(const PromptStop&) = delete;
  PromptStop& operator=(const PromptStop&) = delete;

 private:
  void stop_when_noted() const;

  std::function<std::string()> last_words_;
  std::atomic<bool> done_ = false;
  std::thread watch_;
};

/// While one lives, SIGINT and SIGTERM are noted instead of ending the process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// throw Interrupted when a signal was noted.
void stop_if_interrupted();

/// The signal that was noted, 0 for none; with forget_signal() for those whom Ctrl-C stops only in what they do now.
int noted_signal_number();
void forget_signal();

}  // namespace bitloom
