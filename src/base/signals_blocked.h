#pragma once
// Threads that no signal handler runs on.

#include <pthread.h>

#include <csignal>

namespace bitloom {

/// Signals stay with the threads that were there before: while one lives, threads that are started block them all.
/// oneDNN's sgemm runs with the stack pointer inside a heap buffer of its own, where a handler's frame would overwrite
/// what lies below.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace bitloom
