#pragma once
// CPython's random.Random, so that selections of published scripts ("seed 0") can be made again: the Mersenne Twister
// MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998) seeded by init_by_array, and the methods of Lib/random.py and
// Modules/_randommodule.c that draw integers. Nothing else in bitloom uses it: base/rng.h is the house's generator.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bitloom {

class PythonRandom {
 public:
  /// random.seed(seed): init_by_array of the integer's 32-bit words, least significant first; [0] for 0.
  explicit PythonRandom(uint64_t seed);

  /// getrandbits(k), 0 <= k <= 64: words of 32 bits, least significant first; of the last the highest bits.
  uint64_t getrandbits(int k);
  /// _randbelow(n), n >= 1: getrandbits(bit length of n) until the result is less than n.
  uint64_t randbelow(uint64_t n);
  /// randint(a, b): uniform on a .. b, both included; a <= b, fewer than 2^64 numbers.
  int64_t randint(int64_t a, int64_t b);
  /// random(): [0, 1), 53 bits of two words.
  double random();
  /// shuffle(list): i from the last index down to 1 changes places with randbelow(i + 1).
  template <typename T>
  void shuffle(std::vector<T>& list) {
    for (size_t i = list.size(); i-- > 1;) std::swap(list[i], list[randbelow(i + 1)]);
  }

 private:
  static constexpr size_t kWords = 624;
  void init(uint32_t seed);
  void init_by_array(const std::vector<uint32_t>& key);
  void refill();
  uint32_t next();

  std::array<uint32_t, kWords> state_{};
  size_t index_ = kWords;
};

}  // namespace bitloom
