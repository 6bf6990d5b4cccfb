#pragma once
// The threads of a server's connections, made as they are needed.

#include <httplib.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitloom {

/// Where no further thread can be made, connections wait for those that there are.
class ConnectionThreads : public httplib::TaskQueue {
 public:
  using Start = std::function<std::thread(std::function<void()>)>;

  /// Makes the first thread: std::system_error where there can be none. `start` makes threads.
  explicit ConnectionThreads(
      int64_t most, Start start = [](std::function<void()> run) { return std::thread(std::move(run)); });
  ~ConnectionThreads() override { shutdown(); }

  void enqueue(std::function<void()> job) override;
  /// Returns when all jobs are done.
  void shutdown() override;

 private:
  void work();

  size_t most_, free_ = 0;
  Start start_;
  bool ending_ = false;
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
};

}  // namespace bitloom
