#include "hardware/read_bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = int64_t{1} << 18;  // words; 2 MiB

/// Sum of words[0 .. count).
BITLOOM_VECTOR_CLONES uint64_t sum_of(const uint64_t* words, int64_t count) {
  constexpr int64_t kLanes = 32;  // enough independent sums to keep loads in flight at any vector width
  uint64_t lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += words[i + lane];
  uint64_t sum = 0;
  for (; i < count; ++i) sum += words[i];
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

int64_t pieces(int64_t words) { return (words + kPiece - 1) / kPiece; }

}  // namespace

int64_t bandwidth_buffer_bytes() {
  const int64_t cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return std::clamp<int64_t>(4 * cache, int64_t{256} << 20, int64_t{512} << 20);
}

BandwidthProbe::BandwidthProbe(ThreadPool& threads, int64_t bytes)
    : threads_(threads),
      count_(bytes / static_cast<int64_t>(sizeof(uint64_t))),
      words_(std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(count_))) {
  threads_.parallel_for(pieces(count_), [&](int64_t piece) {
    uint64_t* words = words_.get();
    for (int64_t i = piece * kPiece; i < std::min(count_, (piece + 1) * kPiece); ++i)
      words[i] = static_cast<uint64_t>(i);
  });
}

double BandwidthProbe::pass(const std::function<double()>& clock) {
  std::atomic<uint64_t> sum = 0;
  const double start = clock();
  threads_.parallel_for(pieces(count_), [&](int64_t piece) {
    const int64_t begin = piece * kPiece, end = std::min(count_, begin + kPiece);
    sum += sum_of(words_.get() + begin, end - begin);
  });
  const double seconds = clock() - start;
  sum_ = sum;
  return seconds > 0 ? static_cast<double>(bytes()) / seconds : 0;
}

}  // namespace bitloom
