#pragma once
// Sums of products of two power grids of one exponent in integers, as references: what an engine for PowerQuant would
// compute (papers' learned-and-vector page, 4.3). With codes k, q the greatest of each side,
//
//   w x = s sgn(k_w k_x) (|k_w| |k_x| / (q_w q_x))^(1/a)      s the product of the scales
//
// since powers keep products: one look-up of the integer |k_w| |k_x| gives a product. They do not keep sums. So an
// exact engine looks up before it adds; the published form, one power of each output, (sum k_w k_x)^(1/a), is another
// function.

#include <cstdint>
#include <span>
#include <vector>

#include "format/table/table_format.h"

namespace bitloom {

/// The products of two power grids (Error(kUsage) for other tables, or two exponents), in units of s / 32767.
class PowerProducts {
 public:
  PowerProducts(const TableFormat& w, const TableFormat& x);
  /// [q_w q_x + 1]: round(32767 (p / (q_w q_x))^(1/a)).
  const std::vector<int16_t>& table() const { return table_; }

  // Codes [n] as stored, k + q, of each side. Results in units of s.
  /// sum of sgn table[|k_w| |k_x|] / 32767; the sum of integers is exact.
  double dot(std::span<const uint8_t> w, std::span<const uint8_t> x) const;
  /// sgn(S) (|S| / (q_w q_x))^(1/a), S = sum k_w k_x: the power after the sum.
  double dot_with_output_power(std::span<const uint8_t> w, std::span<const uint8_t> x) const;

 private:
  int w_top_, x_top_;  // q of each
  double exponent_;
  std::vector<int16_t> table_;
};

/// What both forms err by on sums of `terms` products of normal numbers rounded to the grid with its least squared
/// error's clip: root mean square of the difference from the sum of products of levels, over that of the sum. For the
/// power after the sum also once a single factor, the best for all sums, is multiplied in.
struct PowerGap {
  double product_table = 0, output_power = 0, output_power_scaled = 0;
};
PowerGap power_gap(const TableFormat& format, int64_t terms);

}  // namespace bitloom
