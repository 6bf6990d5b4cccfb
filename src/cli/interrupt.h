#pragma once
// Ctrl-C while an output is being written: the work stops at the next step of its progress, destructors remove what is
// unfinished, and the program ends with the customary 128 + signal. A second Ctrl-C ends it at once.

namespace bitloom {

/// Thrown out of the work; the program's outermost function knows it.
struct Interrupted {
  int signal;
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

}  // namespace bitloom
