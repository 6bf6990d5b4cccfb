#pragma once
// How wide the sums of a dot product get: fixed-point ("Kulisch") accumulators that lose nothing (papers'
// floating-point page, 6.5). The least bit is the product of the two operands' least steps; scales are applied outside.

#include <cstdint>

#include "hardware/operand.h"

namespace bitloom {

/// Bits, sign included, of the largest product.
int product_bits(const Operand& a, const Operand& b);

/// Bits, sign included, that the sum of `terms` >= 1 products needs at worst: the least w with
///   terms max|a| max|b| <= 2^(w-1) - 1.
int exact_sum_bits(const Operand& a, const Operand& b, int64_t terms);

/// The width that the paper of the minifloats on FPGAs builds (2311.12359), never less than the one above:
///   r_a + r_b + ceil(log2 n) + 1  of integers of r bits,  2^ea + ma + 2^eb + mb + ceil(log2 n) - 1  of minifloats;
/// of one of each, r of the integer stands for 2^e + m - 1.
int published_sum_bits(const Operand& a, const Operand& b, int64_t terms);

/// Of fp32 and fp16: a sum whose exact width is at most one more than the significand is the same in any order, up to a
/// power of two.
inline constexpr int kFp32SumBits = 25, kFp16SumBits = 12;

}  // namespace bitloom
