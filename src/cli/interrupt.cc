#include "cli/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

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

void stop_if_interrupted() {
  if (noted_signal != 0) throw Interrupted{static_cast<int>(noted_signal)};
}

}  // namespace bitloom
