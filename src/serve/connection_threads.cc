#include "serve/connection_threads.h"

#include <system_error>

namespace bitloom {

ConnectionThreads::ConnectionThreads(int64_t most, Start start)
    : most_(static_cast<size_t>(most)), start_(std::move(start)) {
  threads_.push_back(start_([this] { work(); }));
}

void ConnectionThreads::enqueue(std::function<void()> job) {
  const std::lock_guard guard(lock_);
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  if (free_ >= jobs_.size() || threads_.size() >= most_) return;
  try {
    threads_.push_back(start_([this] { work(); }));
  } catch (const std::system_error&) {
    // The job waits for a thread that there is.
  }
}

void ConnectionThreads::shutdown() {
  {
    const std::lock_guard guard(lock_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ConnectionThreads::work() {
  std::unique_lock guard(lock_);
  while (true) {
    ++free_;
    changed_.wait(guard, [this] { return !jobs_.empty() || ending_; });
    --free_;
    if (jobs_.empty()) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    guard.unlock();
    job();
    guard.lock();
  }
}

}  // namespace bitloom
