#include "hardware/read_bandwidth.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

// Words 0 .. n-1: their sum is n (n - 1) / 2, whatever the pieces and threads; n is no multiple of a piece or a lane.
TEST(BandwidthProbe, ReadsEveryWord) {
  constexpr uint64_t kWords = (1 << 18) * 3 + 77;
  for (const int count : {1, 3}) {
    ThreadPool threads(count);
    BandwidthProbe probe(threads, static_cast<int64_t>(kWords * 8));
    EXPECT_EQ(probe.bytes(), static_cast<int64_t>(kWords * 8));
    double time = 0;
    probe.pass([&] { return time += 1; });
    EXPECT_EQ(probe.sum(), kWords * (kWords - 1) / 2);
  }
}

TEST(BandwidthProbe, RateIsBytesOverSeconds) {
  ThreadPool threads(1);
  BandwidthProbe probe(threads, 8000);
  double time = 10;
  EXPECT_DOUBLE_EQ(probe.pass([&] { return time += 0.25; }), 32000);
  EXPECT_EQ(probe.pass([&] { return time; }), 0) << "a clock that stands still says nothing";
}

TEST(BandwidthProbe, BufferIsBeyondCaches) {
  EXPECT_GE(bandwidth_buffer_bytes(), int64_t{256} << 20);
  EXPECT_LE(bandwidth_buffer_bytes(), int64_t{512} << 20);
}

}  // namespace
}  // namespace bitloom
