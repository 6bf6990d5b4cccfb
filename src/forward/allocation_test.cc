// Attention and passes take their memory once: a step of decoding asks for none.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/memory/dense_matrix.h"
#include "forward/attention/attention.h"
#include "linalg/gemm.h"

namespace {
std::atomic<int64_t> allocations{0};

void* counted(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

// Never inlined: the compiler would take malloc and delete, or new and free, for a pair that does not match.
[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace bitloom {
namespace {

TEST(Allocation, IsCounted) {
  const int64_t before = allocations;
  const auto one = std::make_unique<int>(1);
  EXPECT_GT(allocations, before);
}

void expect_no_allocations_of_steps(int64_t dim) {
  constexpr int64_t kHeads = 4, kKvHeads = 2, kCapacity = 300;
  std::vector<float> q(static_cast<size_t>(kHeads * dim), 0.5f), kv(static_cast<size_t>(kKvHeads * dim), 0.25f);
  std::vector<float> keys(static_cast<size_t>(kCapacity * kKvHeads * dim), 0.125f), values(keys), out(q.size());
  const std::vector<KvRows> page = {
      {reinterpret_cast<std::byte*>(keys.data()), reinterpret_cast<std::byte*>(values.data())}};
  for (const int count : {1, 2}) {
    ThreadPool threads(count);
    AttentionScratch scratch;
    Pass pass;
    AttentionCall call;
    call.pass = &pass;
    call.q = {q.data(), kHeads * dim, dim};
    call.k = call.v = {kv.data(), kKvHeads * dim, dim};
    call.heads = kHeads, call.kv_heads = kKvHeads, call.head_dim = dim;
    call.out = out.data();
    const auto step = [&](int64_t position) {
      const KvRun kept{page, 0, position + 1};
      pass.clear();
      pass.add(1, position, position + 1, {&kept, 1});
      attention(call, scratch, threads);
    };
    step(kCapacity - 1);
    const int64_t before = allocations;
    for (int64_t position = 100; position < 120; ++position) step(position);
    EXPECT_EQ(allocations, before) << count << " threads, heads of " << dim;
  }
}

TEST(Allocation, AStepOverACacheMakesNone) { expect_no_allocations_of_steps(8); }
TEST(Allocation, NorDoesOneOfWideHeads) { expect_no_allocations_of_steps(600); }

TEST(Allocation, AMatrixWithoutAKernelIsDecodedIntoWhatIsThere) {
  constexpr int64_t kRows = 200, kCols = 96;
  const std::vector<float> weights(kRows * kCols, 0.5f), x(kCols, 0.25f);
  const DenseMatrix w(kRows, kCols, weights);
  std::vector<float> y(kRows);
  for (const int count : {1, 2}) {
    ThreadPool threads(count);
    TileScratch scratch;
    const auto decoded = [&] { linear(x.data(), kCols, 1, w, nullptr, y.data(), kRows, scratch, threads); };
    // Which thread takes which tile is not fixed: all have had one when every buffer has its size.
    const auto ready = [&] {
      return std::all_of(scratch.tiles.begin(), scratch.tiles.end(), [](const auto& tile) { return !tile.empty(); });
    };
    decoded();
    for (int i = 0; i < 10000 && !ready(); ++i) decoded();
    ASSERT_TRUE(ready());
    // The library's products take memory of their own.
    const auto taken_by = [](const auto& product) {
      const int64_t before = allocations;
      for (int i = 0; i < 20; ++i) product();
      return allocations - before;
    };
    const auto dense = [&] {
      linear_dense(x.data(), kCols, 1, weights.data(), kRows, kCols, nullptr, y.data(), kRows, threads);
    };
    dense();
    EXPECT_EQ(taken_by(decoded), taken_by(dense)) << count << " threads";
  }
}

}  // namespace
}  // namespace bitloom
