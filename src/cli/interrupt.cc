#include "cli/interrupt.h"

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

}  // namespace

InterruptGuard::InterruptGuard() {
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

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

}  // namespace bitloom
