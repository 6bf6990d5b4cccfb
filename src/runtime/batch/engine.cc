#include "runtime/batch/engine.h"

#include <chrono>
#include <csignal>
#include <exception>
#include <utility>

#include "base/error.h"

namespace bitloom {

Engine::Engine(Decoder& decoder, const Tokenizer& tokenizer, ThreadPool& threads, const BatchLimits& limits,
               int64_t queue)
    : batcher_(decoder, tokenizer, threads, limits),
      sequences_(limits.sequences),
      queue_(queue),
      counts_(batcher_.counts()) {
  // Signals are for others: a handler must not run on the stack of a product (interrupt.cc).
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Engine::~Engine() {
  close(0);
  thread_.join();
}

Admission Engine::submit(std::vector<std::pair<TextRequest, TextSink>> requests) {
  for (const auto& [request, sink] : requests) batcher_.check(request);
  if (std::cmp_greater(requests.size(), sequences_ + queue_))
    misuse("{} answers at once: {} can run and {} wait", requests.size(), sequences_, queue_);
  {
    const std::lock_guard guard(lock_);
    if (closing_) return Admission::kClosing;
    const auto waiting = static_cast<int64_t>(inbox_.size() + requests.size()) + counts_.waiting;
    if (waiting > queue_ + sequences_ - counts_.running) return Admission::kFull;
    for (auto& request : requests) inbox_.push_back(std::move(request));
  }
  changed_.notify_all();
  return Admission::kAccepted;
}

void Engine::close(double seconds) {
  std::unique_lock guard(lock_);
  closing_ = true;
  changed_.notify_all();
  const auto ended = [this] { return ended_; };
  if (changed_.wait_for(guard, std::chrono::duration<double>(seconds), ended)) return;
  cut_ = true;
  changed_.notify_all();
  changed_.wait(guard, ended);
}

BatchCounts Engine::counts() const {
  const std::lock_guard guard(lock_);
  BatchCounts counts = counts_;
  counts.waiting += static_cast<int64_t>(inbox_.size());
  return counts;
}

/// Counts are as they are before a client hears of its end, so that it finds its own answer counted.
TextSink Engine::counted(TextSink sink) {
  sink.on_end = [this, on_end = std::move(sink.on_end)](const TextEnd& end) {
    {
      const std::lock_guard guard(lock_);
      counts_ = batcher_.counts();
    }
    if (on_end) on_end(end);
  };
  return sink;
}

/// Waits for something to do; false when there will be nothing any more.
bool Engine::take_inbox() {
  std::unique_lock guard(lock_);
  counts_ = batcher_.counts();
  changed_.wait(guard, [this] { return !inbox_.empty() || !batcher_.idle() || closing_; });
  for (auto& [request, sink] : inbox_) batcher_.add(std::move(request), counted(std::move(sink)));
  inbox_.clear();
  counts_ = batcher_.counts();
  const bool cut = cut_;
  guard.unlock();
  if (cut) batcher_.end_all(EndReason::kClosed);
  return !batcher_.idle();
}

void Engine::work() {
  while (take_inbox()) {
    try {
      batcher_.step();
    } catch (const std::exception& error) {
      batcher_.end_all(EndReason::kFailed, error.what());
    }
  }
  const std::lock_guard guard(lock_);
  ended_ = true;
  counts_ = batcher_.counts();
  changed_.notify_all();
}

}  // namespace bitloom
