#pragma once
// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// The i-th number of a stream is a pure function of (seed, stream, i), so results do not depend on who draws first.

#include <array>
#include <cstdint>

namespace bitloom {

/// The Philox4x32-10 block function.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class Rng {
 public:
  /// `stream` separates uses of one seed; choose a constant per use.
  Rng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  /// Uniform in [0, 1), 24 random bits.
  float uniform() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }
  /// Uniform in [0, 1), 53 random bits.
  double uniform_double();
  /// Standard normal (Box-Muller).
  double normal();

 private:
  uint64_t seed_, stream_, block_ = 0;
  std::array<uint32_t, 4> buffer_{};
  int left_ = 0;
};

}  // namespace bitloom
