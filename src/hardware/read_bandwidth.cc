#include "hardware/read_bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/vector_clones.h"

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

int64_t pieces(const std::vector<uint64_t>& words) {
  return (static_cast<int64_t>(words.size()) + kPiece - 1) / kPiece;
}

}  // namespace

int64_t bandwidth_buffer_bytes() {
  const int64_t cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  return std::clamp<int64_t>(4 * cache, int64_t{256} << 20, int64_t{1} << 30);
}

BandwidthProbe::BandwidthProbe(ThreadPool& threads, int64_t bytes)
    : threads_(threads), words_(static_cast<size_t>(bytes) / sizeof(uint64_t)) {
  threads_.parallel_for(pieces(words_), [&](int64_t piece) {
    const auto size = static_cast<int64_t>(words_.size());
    for (int64_t i = piece * kPiece; i < std::min(size, (piece + 1) * kPiece); ++i)
      words_[static_cast<size_t>(i)] = static_cast<uint64_t>(i);
  });
}

double BandwidthProbe::pass(const std::function<double()>& clock) {
  std::atomic<uint64_t> sum = 0;
  const double start = clock();
  threads_.parallel_for(pieces(words_), [&](int64_t piece) {
    const int64_t begin = piece * kPiece, end = std::min(static_cast<int64_t>(words_.size()), begin + kPiece);
    sum += sum_of(words_.data() + begin, end - begin);
  });
  const double seconds = clock() - start;
  sum_ = sum;
  return seconds > 0 ? static_cast<double>(bytes()) / seconds : 0;
}

}  // namespace bitloom
