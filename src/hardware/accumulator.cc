#include "hardware/accumulator.h"

#include <bit>
#include <cassert>

namespace bitloom {
namespace {

/// Bits of a b n for a, b below 2^32: the product of two of them fits 64 bits, that with n may not.
int bits_of_product(uint64_t a, uint64_t b, uint64_t n) {
  const uint64_t product = a * b, low = (product & 0xffffffff) * n, high = (product >> 32) * n + (low >> 32);
  return high > 0 ? 32 + std::bit_width(high) : std::bit_width(low);
}

/// ceil(log2 n).
int log2_up(int64_t n) { return std::bit_width(static_cast<uint64_t>(n) - 1); }

int share(const Operand& a) { return a.is_integer() ? a.significand : (1 << a.exponent) + a.significand - 2; }

}  // namespace

int exact_sum_bits(const Operand& a, const Operand& b, int64_t terms) {
  assert(terms >= 1 && terms < int64_t{1} << 31);
  return bits_of_product(a.top, b.top, static_cast<uint64_t>(terms)) + a.shift + b.shift + 1;
}

int product_bits(const Operand& a, const Operand& b) { return exact_sum_bits(a, b, 1); }

int published_sum_bits(const Operand& a, const Operand& b, int64_t terms) {
  return share(a) + share(b) + log2_up(terms) + 1;
}

}  // namespace bitloom
