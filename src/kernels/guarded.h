#pragma once
// For tests and benchmarks: memory that ends where nothing may be read or written. A sanitizer does not see every
// vector or masked load of a kernel; the processor does.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace bitloom::testing {

/// Right before a page without access: a step beyond the last byte kills the test. More than 4 MiB, which are a
/// benchmark's, lie anywhere, by 64 bytes.
template <typename T>
struct GuardedAllocator {
  using value_type = T;

  GuardedAllocator() = default;
  template <typename U>
  GuardedAllocator(const GuardedAllocator<U>&) {}

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > kMost) return static_cast<T*>(::operator new (bytes, std::align_val_t{64}));
    void* at = mmap(nullptr, pages(bytes) + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    std::byte* end = static_cast<std::byte*>(at) + pages(bytes);
    if (mprotect(end, page(), PROT_NONE) != 0) throw std::bad_alloc();
    return reinterpret_cast<T*>(end - bytes);
  }
  void deallocate(T* at, size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > kMost) return ::operator delete (at, std::align_val_t{64});
    munmap(reinterpret_cast<std::byte*>(at) + bytes - pages(bytes), pages(bytes) + page());
  }

  friend bool operator==(const GuardedAllocator&, const GuardedAllocator&) { return true; }

 private:
  static constexpr size_t kMost = size_t{4} << 20;
  static size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  static size_t pages(size_t bytes) { return (bytes + page() - 1) / page() * page(); }
};

/// The guard is behind the capacity: size it at once, do not let it grow.
template <typename T>
using GuardedVector = std::vector<T, GuardedAllocator<T>>;

/// `count` values, each of make().
template <typename T, typename Make>
GuardedVector<T> guarded(int64_t count, Make make) {
  GuardedVector<T> out(static_cast<size_t>(count));
  for (T& value : out) value = make();
  return out;
}

/// The same values.
template <typename T>
GuardedVector<T> guarded(const std::vector<T>& values) {
  return GuardedVector<T>(values.begin(), values.end());
}
inline std::vector<GuardedVector<std::byte>> guarded(const std::vector<std::vector<std::byte>>& parts) {
  std::vector<GuardedVector<std::byte>> out;
  for (const std::vector<std::byte>& part : parts) out.push_back(guarded(part));
  return out;
}

/// Room of `bytes`, by 64 bytes.
inline GuardedVector<std::byte> guarded_scratch(int64_t bytes) {
  return GuardedVector<std::byte>(static_cast<size_t>((bytes + 63) / 64 * 64));
}

}  // namespace bitloom::testing
