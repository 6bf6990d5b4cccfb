#include "api/own_thread.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/signals_blocked.h"

namespace bitloom {
namespace {

template <typename Body>
std::thread start_without_signals(const Body& body) {
  const SignalsBlocked blocked;
  return std::thread(body);
}

/// What the two threads tell each other. One of them runs at a time: the other waits.
struct Exchange {
  std::mutex mutex;
  std::condition_variable changed;
  const std::string* asked = nullptr;  // waits for its answer
  bool done = false;
  std::exception_ptr of_answer, of_work;

  void ask(const std::string& text) {
    std::unique_lock lock(mutex);
    asked = &text;
    changed.notify_one();
    changed.wait(lock, [&] { return asked == nullptr; });
    if (of_answer) std::rethrow_exception(of_answer);
  }

  void finish() {
    const std::lock_guard lock(mutex);
    done = true;
    changed.notify_one();
  }

  void answer_until_done(const TextHook& answer) {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return done || asked != nullptr; });
      if (done) return;
      try {
        answer(*asked);
      } catch (...) {
        of_answer = std::current_exception();
      }
      asked = nullptr;
      changed.notify_one();
    }
  }
};

}  // namespace

void run_on_own_thread(const std::function<void(const TextHook& ask)>& work, const TextHook& answer) {
  Exchange exchange;
  const TextHook ask = [&](const std::string& text) { exchange.ask(text); };
  std::thread thread = start_without_signals([&] {
    try {
      work(ask);
    } catch (...) {
      exchange.of_work = std::current_exception();
    }
    exchange.finish();
  });
  exchange.answer_until_done(answer);
  thread.join();
  if (exchange.of_work) std::rethrow_exception(exchange.of_work);
}

}  // namespace bitloom
