#include "cli/terminal/interrupt.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <utility>

namespace bitloom {
namespace {

// The one variable outside a function: a signal handler can reach nothing else.
volatile std::sig_atomic_t noted_signal = 0;

void note(int signal) {
  if (noted_signal != 0) _exit(128 + signal);
  noted_signal = signal;
}

/// The handler gets a stack of its own: oneDNN's sgemm runs with the stack pointer inside a heap buffer, where a
/// handler's frame would overwrite what lies below. (The threads of a pool block signals altogether.)
void handle_on_own_stack() {
  alignas(16) static char stack[1 << 16];
  stack_t own = {};
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  ::sigaltstack(&own, nullptr);
  struct sigaction action = {};
  action.sa_handler = note;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() { handle_on_own_stack(); }

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

PromptStop::PromptStop(std::function<std::string()> last_words) : last_words_(std::move(last_words)) {
  watch_ = std::thread([this] {
    while (!done_) {
      stop_when_noted();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
}

PromptStop::~PromptStop() {
  done_ = true;
  watch_.join();
  if (std::uncaught_exceptions() > 0) stop_when_noted();
}

void PromptStop::stop_when_noted() const {
  if (noted_signal == 0) return;
  const std::string line = last_words_() + "\n";
  const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  _exit(written < 0 ? 1 : 128 + static_cast<int>(noted_signal));
}

void stop_if_interrupted() {
  if (noted_signal != 0) throw Interrupted{static_cast<int>(noted_signal)};
}

int noted_signal_number() { return static_cast<int>(noted_signal); }

void forget_signal() { noted_signal = 0; }

}  // namespace bitloom
