#include "pipeline/allocation/storage_error.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <string>

#include "round/test_matrix.h"

namespace bitloom {
namespace {

/// A line of /proc/self/status in bytes: "VmRSS:", what is resident, or "VmHWM:", the most that ever was.
int64_t status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  std::string word;
  int64_t kibibytes = 0;
  while (file >> word && word != key) {
  }
  file >> kibibytes;
  return 1024 * kibibytes;
}

/// The most that `work` held beside what was held before.
template <typename Work>
int64_t most_held_by(const Work& work) {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // the most begins anew
  const int64_t before = status("VmRSS:");
  work();
  return status("VmHWM:") - before;
}

// Vectors are fitted to whole matrices, of whatever number of rows.
TEST(StorageErrors, TakeTheMemoryThatTheyAnnounce) {
  constexpr int64_t kRows = 4096, kCols = 1024;
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 1);
  for (const char* text : {"int4-g64", "vq2-g1", "vq4-g4", "vq2-g1-s64", "vq4-g4-c1024"}) {
    const RoundingTarget target = parse_target(text);
    const int64_t announced = error_memory(kRows, kCols, target, threads.thread_count());
    const int64_t held = most_held_by([&] { StorageErrors(threads).error(w, target); });
    constexpr int64_t kSlack = int64_t{3} << 20;  // of the allocator, and stacks
    EXPECT_LT(held, announced + kSlack) << text;
    EXPECT_LT(announced, 3 * held + kSlack) << text;
  }
}

}  // namespace
}  // namespace bitloom
