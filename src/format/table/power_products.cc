#include "format/table/power_products.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/rng.h"
#include "format/table/fitted_table.h"

namespace bitloom {
namespace {

float require_exponent(const TableFormat& format) {
  const auto exponent = exponent_of(format);
  if (!exponent) misuse("\"{}\" is no power grid; products of two grids are looked up for those", format.name);
  return *exponent;
}

int top_of(const TableFormat& format) { return static_cast<int>(format.levels.size()) / 2; }

/// Mean squared error of normal numbers at a clip value, and the codes of the last `n` of them.
double round_normal(const Grid& grid, double clip, std::span<const float> x, std::span<uint8_t> codes) {
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    codes[i] = encode_nearest(grid, static_cast<float>(static_cast<double>(x[i]) / clip), Ties::kEven);
    const double miss = static_cast<double>(x[i]) - clip * static_cast<double>(grid.decode[codes[i]]);
    error += miss * miss;
  }
  return error;
}

std::vector<uint8_t> normal_codes(const TableFormat& format, size_t count) {
  constexpr uint64_t kStream = 0x706f7764;
  Rng rng(0, kStream);
  std::vector<float> x(count);
  for (float& value : x) value = static_cast<float>(rng.normal());
  const Grid grid = TableCodec::grid(format);
  std::vector<uint8_t> codes(count);
  const auto some = std::span(x).first(std::min<size_t>(count, 1 << 14));
  double best = 4, least = round_normal(grid, best, some, codes);
  for (double clip = 3.9; clip > 1; clip -= 0.1) {
    const double error = round_normal(grid, clip, some, codes);
    if (error < least) least = error, best = clip;
  }
  round_normal(grid, best, x, codes);
  return codes;
}

}  // namespace

PowerProducts::PowerProducts(const TableFormat& w, const TableFormat& x)
    : w_top_(top_of(w)), x_top_(top_of(x)), exponent_(static_cast<double>(require_exponent(w))) {
  if (static_cast<double>(require_exponent(x)) != exponent_) {
    misuse("\"{}\" and \"{}\" have two exponents; products are powers of integers where they have one", w.name, x.name);
  }
  const int most = w_top_ * x_top_;
  for (int p = 0; p <= most; ++p) {
    table_.push_back(
        static_cast<int16_t>(std::nearbyint(32767 * std::pow(p / static_cast<double>(most), 1 / exponent_))));
  }
}

double PowerProducts::dot(std::span<const uint8_t> w, std::span<const uint8_t> x) const {
  int64_t sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const int product = (w[i] - w_top_) * (x[i] - x_top_);
    const int64_t value = table_[static_cast<size_t>(std::abs(product))];
    sum += product < 0 ? -value : value;
  }
  return static_cast<double>(sum) / 32767;
}

double PowerProducts::dot_with_output_power(std::span<const uint8_t> w, std::span<const uint8_t> x) const {
  int64_t sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += (w[i] - w_top_) * (x[i] - x_top_);
  const auto total = static_cast<double>(sum);
  return std::copysign(std::pow(std::abs(total) / (w_top_ * x_top_), 1 / exponent_), total);
}

PowerGap power_gap(const TableFormat& format, int64_t terms) {
  constexpr int64_t kSums = 256;  // tells a root mean square to 5 %
  const PowerProducts products(format, format);
  const std::vector<uint8_t> codes = normal_codes(format, static_cast<size_t>(2 * kSums * terms));
  double squares = 0, table = 0, power = 0, cross = 0, power_squares = 0;
  for (int64_t s = 0; s < kSums; ++s) {
    const auto n = static_cast<size_t>(terms), at = static_cast<size_t>(2 * s) * n;
    const std::span w(codes.data() + at, n), x(codes.data() + at + n, n);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      sum += static_cast<double>(format.levels[w[i]]) * static_cast<double>(format.levels[x[i]]);
    }
    const double by_table = products.dot(w, x) - sum, after = products.dot_with_output_power(w, x);
    squares += sum * sum, table += by_table * by_table, power += (after - sum) * (after - sum);
    cross += after * sum, power_squares += after * after;
  }
  const double scaled = power_squares > 0 ? squares - cross * cross / power_squares : squares;
  return {std::sqrt(table / squares), std::sqrt(power / squares), std::sqrt(scaled / squares)};
}

}  // namespace bitloom
