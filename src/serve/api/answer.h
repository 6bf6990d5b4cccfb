#pragma once
// An answer on its way from the engine's thread to the thread of its client.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/batch/engine.h"

namespace bitloom {

class Answer {
 public:
  struct Event {
    size_t choice;
    std::variant<TextPiece, TextEnd> what;
  };

  /// Asks the engine, for at most so many seconds.
  static std::pair<Admission, std::shared_ptr<Answer>> ask(Engine& engine, std::vector<TextRequest> requests,
                                                           double seconds);
  /// One whose events are known: for tests.
  static std::shared_ptr<Answer> of(size_t choices, std::vector<Event> events);
  ~Answer() { cancel(); }

  size_t choices() const { return choices_; }
  /// The next event; nullopt when none came within the time.
  std::optional<Event> next(std::chrono::milliseconds wait);
  /// The client is gone: the engine ends what still runs.
  void cancel() { *cancelled_ = true; }

 private:
  /// Outlives the answer while the engine holds sinks.
  struct Events {
    std::mutex lock;
    std::condition_variable changed;
    std::deque<Event> list;
    void push(Event event);
  };

  size_t choices_ = 0;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace bitloom
