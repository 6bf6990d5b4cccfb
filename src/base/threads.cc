#include "base/threads.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/signals_blocked.h"

namespace bitloom {
namespace {

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

// True on a thread that is running a loop body: a loop started there runs serially.
thread_local bool inside_loop = false;

/// Tells the processor that this is a wait: it costs less power, and the other thread of the core runs on.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Looks at `done` for a while, 0.1 to 0.3 ms: the loops of a decode step follow each other faster than a sleeping
/// thread wakes up, and what one thread does between them (a rotation of some thousand channels) may take 0.1 ms;
/// longer waits must not burn a core. Whether it came true.
template <typename Done>
bool spin_until(const Done& done) {
  constexpr int kLooks = 6000;
  for (int i = 0; i < kLooks; ++i) {
    if (done()) return true;
    pause();
  }
  return done();
}

}  // namespace

// A loop is open from its start until the caller finds no iteration left. Workers enter an open loop and leave it; the
// caller waits for those inside, not for those that have not woken up. All orders are sequentially consistent: a worker
// enters, then looks whether the loop is open, and the caller closes it, then looks who is inside, so that one of the
// two sees the other. The same holds of going to sleep and of the start of a loop.
struct ThreadPool::State {
  using Body = std::function<void(int64_t, int)>;

  std::vector<std::thread> workers;
  std::mutex mutex;  // of the two conditions and of `error`
  std::condition_variable start, finished;
  const Body* body = nullptr;  // this and n: written while no loop is open, read inside one
  int64_t n = 0;
  std::atomic<int64_t> next{0};
  std::atomic<bool> open{false};
  std::atomic<int> inside{0};     // workers that have entered
  std::atomic<uint64_t> loop{0};  // number of the current loop
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stopping{false};
  std::exception_ptr error;
  int64_t failed = 0;   // the iteration that it is of
  std::mutex one_loop;  // loops of different callers run one after the other

  void run_iterations(int thread) {
    inside_loop = true;
    int64_t i = 0;
    try {
      while ((i = next.fetch_add(1)) < n) (*body)(i, thread);
    } catch (...) {
      next.store(n);  // those before i have been taken, and may throw yet
      const std::lock_guard lock(mutex);
      if (!error || i < failed) error = std::current_exception(), failed = i;
    }
    inside_loop = false;
  }

  void wake_workers() {
    if (sleepers.load() == 0) return;
    { const std::lock_guard lock(mutex); }  // who is about to sleep sleeps, and hears it
    start.notify_all();
  }

  void stop() {
    stopping.store(true);
    wake_workers();
    for (std::thread& worker : workers) worker.join();
  }

  void wait_for_loop_after(uint64_t seen) {
    const auto called = [&] { return stopping.load() || loop.load() != seen; };
    if (spin_until(called)) return;
    std::unique_lock lock(mutex);
    ++sleepers;
    start.wait(lock, called);
    --sleepers;
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      wait_for_loop_after(seen);
      if (stopping.load()) return;
      seen = loop.load();
      ++inside;
      if (open.load()) run_iterations(thread);
      if (--inside > 0 || !caller_sleeps.load()) continue;
      { const std::lock_guard lock(mutex); }
      finished.notify_one();
    }
  }

  void wait_for_workers() {
    const auto all_left = [&] { return inside.load() == 0; };
    if (spin_until(all_left)) return;
    std::unique_lock lock(mutex);
    caller_sleeps.store(true);
    finished.wait(lock, all_left);
    caller_sleeps.store(false);
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
  state.body = &body;
  state.n = n;
  state.next.store(0);
  state.error = nullptr;
  state.open.store(true);
  ++state.loop;
  state.wake_workers();
  state.run_iterations(0);
  state.open.store(false);
  state.wait_for_workers();
  if (state.error) std::rethrow_exception(state.error);
}

}  // namespace bitloom
