#include "base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

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

// True on a thread that is running a loop body: a loop started there runs serially.
thread_local bool inside_loop = false;

}  // namespace

struct ThreadPool::State {
  using Body = std::function<void(int64_t, int)>;

  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable start, finished;
  const Body* body = nullptr;
  int64_t n = 0;
  std::atomic<int64_t> next{0};
  int running = 0;    // workers that have not finished the current loop
  uint64_t loop = 0;  // number of the current loop
  bool stopping = false;
  std::exception_ptr error;
  std::mutex one_loop;  // loops of different callers run one after the other

  void run_iterations(int thread) {
    inside_loop = true;
    try {
      for (int64_t i; (i = next.fetch_add(1)) < n;) (*body)(i, thread);
    } catch (...) {
      next.store(n);
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
    inside_loop = false;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    start.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        start.wait(lock, [&] { return stopping || loop != seen; });
        if (stopping) return;
        seen = loop;
      }
      run_iterations(thread);
      const std::lock_guard lock(mutex);
      if (--running == 0) finished.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int count) : state_(std::make_unique<State>()) {
  if (count <= 0) count = usable_processors();
  const SignalsBlocked blocked;
  try {
    for (int thread = 1; thread < count; ++thread) {
      state_->workers.emplace_back([state = state_.get(), thread] { state->work(thread); });
    }
  } catch (const std::system_error& error) {
    const size_t started = state_->workers.size() + 1;
    state_->stop();
    fail(ErrorKind::kFailed, "cannot start more than {} of {} threads: {}", started, count, error.what());
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

int ThreadPool::thread_count() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::parallel_for(int64_t n, const std::function<void(int64_t)>& body) {
  parallel_for_thread(n, [&](int64_t i, int) { body(i); });
}

void ThreadPool::parallel_for_thread(int64_t n, const std::function<void(int64_t, int)>& body) {
  if (inside_loop || n <= 1 || state_->workers.empty()) {
    for (int64_t i = 0; i < n; ++i) body(i, 0);
    return;
  }
  State& state = *state_;
  const std::lock_guard only(state.one_loop);
  {
    const std::lock_guard lock(state.mutex);
    state.body = &body;
    state.n = n;
    state.next.store(0);
    state.error = nullptr;
    state.running = static_cast<int>(state.workers.size());
    ++state.loop;
  }
  state.start.notify_all();
  state.run_iterations(0);
  std::unique_lock lock(state.mutex);
  state.finished.wait(lock, [&] { return state.running == 0; });
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace bitloom
