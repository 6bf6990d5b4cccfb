#include "calibration/python_random.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace bitloom {

// init_genrand, init_by_array and genrand_uint32 of mt19937ar.c.

void PythonRandom::init(uint32_t seed) {
  state_[0] = seed;
  for (uint32_t i = 1; i < kWords; ++i) state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
}

void PythonRandom::init_by_array(const std::vector<uint32_t>& key) {
  init(19650218U);
  size_t i = 1, j = 0;
  const auto mixed = [&](uint32_t factor) { return state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * factor); };
  const auto advance = [&] {
    if (++i < kWords) return;
    state_[0] = state_[kWords - 1];
    i = 1;
  };
  for (size_t k = std::max(kWords, key.size()); k > 0; --k) {
    state_[i] = mixed(1664525U) + key[j] + static_cast<uint32_t>(j);
    advance();
    if (++j == key.size()) j = 0;
  }
  for (size_t k = kWords - 1; k > 0; --k) {
    state_[i] = mixed(1566083941U) - static_cast<uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000U;
}

void PythonRandom::refill() {
  constexpr size_t kOffset = 397;
  for (size_t k = 0; k < kWords; ++k) {
    const uint32_t y = (state_[k] & 0x80000000U) | (state_[(k + 1) % kWords] & 0x7fffffffU);
    state_[k] = state_[(k + kOffset) % kWords] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  index_ = 0;
}

uint32_t PythonRandom::next() {
  if (index_ == kWords) refill();
  uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

PythonRandom::PythonRandom(uint64_t seed) {
  std::vector<uint32_t> key{static_cast<uint32_t>(seed)};
  if (seed >> 32 != 0) key.push_back(static_cast<uint32_t>(seed >> 32));
  init_by_array(key);
}

uint64_t PythonRandom::getrandbits(int k) {
  assert(0 <= k && k <= 64);
  uint64_t bits = 0;
  for (int taken = 0; taken < k; taken += 32) {
    const uint64_t word = next() >> (32 - std::min(32, k - taken));
    bits |= word << taken;
  }
  return bits;
}

uint64_t PythonRandom::randbelow(uint64_t n) {
  assert(n > 0);
  const int width = static_cast<int>(std::bit_width(n));
  uint64_t drawn = getrandbits(width);
  while (drawn >= n) drawn = getrandbits(width);
  return drawn;
}

int64_t PythonRandom::randint(int64_t a, int64_t b) {
  assert(a <= b);
  const uint64_t low = static_cast<uint64_t>(a), width = static_cast<uint64_t>(b) - low + 1;
  return static_cast<int64_t>(low + randbelow(width));
}

double PythonRandom::random() {
  const uint32_t high = next() >> 5, low = next() >> 6;
  return (static_cast<double>(high) * 67108864.0 + static_cast<double>(low)) * 0x1p-53;
}

}  // namespace bitloom
