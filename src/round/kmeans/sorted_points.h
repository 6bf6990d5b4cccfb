#pragma once
// Numbers on a line in ascending order, each with a mass, and the sums from which the squared error of any run of them
// is known at once:
//
//   cost(i, j) = sum over t in [i, j) of m_t (x_t - mean)^2 = Q - S^2 / M,   M = sum m, S = sum m x, Q = sum m x^2
//
// Prefix sums are kept in double, of values less their common mean: in fp32 they cancel from some 4096 values on
// (papers' column-wise page, 7.4).

#include <cstdint>
#include <span>
#include <vector>

namespace bitloom {

/// order [n]: places of the values in ascending order, equal ones in the order of their places. No NaN. `scratch` only
/// grows; passing it again saves allocations.
void sort_places(std::span<const float> values, std::vector<uint32_t>& order, std::vector<uint64_t>& scratch);

class SortedPoints {
 public:
  /// Sums of the points before one.
  struct Sums {
    double mass = 0, first = 0, second = 0;  // sum m, sum m (x - shift), sum m (x - shift)^2
  };

  /// `ascending` is referred to and must outlive the points. `masses` >= 0; empty: 1 each.
  explicit SortedPoints(std::span<const float> ascending, std::span<const float> masses = {});

  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  double value(int64_t i) const { return static_cast<double>(values_[static_cast<size_t>(i)]); }
  const Sums& sums(int64_t i) const { return sums_[static_cast<size_t>(i)]; }
  double cost(int64_t first, int64_t last) const { return cost(sums(first), sums(last)); }
  static double cost(const Sums& a, const Sums& b) {
    const double mass = b.mass - a.mass, sum = b.first - a.first;
    const double error = b.second - a.second - (mass > 0 ? sum * sum / mass : 0);
    return error > 0 ? error : 0;
  }
  /// Of a run without mass: the value where it begins, or the last one. Of no points at all: 0.
  double mean(int64_t first, int64_t last) const;
  /// The first point above `bound`.
  int64_t first_above(double bound) const;

 private:
  std::span<const float> values_;
  std::vector<Sums> sums_;  // of the first i points
  double shift_ = 0;
};

/// Points for a table of few levels that cost no sort: values within 8 mean distances of the mean are gathered into 64
/// bins for each level (512 at least), of which each is one point, at its mean; values beyond are points of their own.
/// Where bins would be more than half of the values, or hold them in fewer than 8 points a level, so are all. The best
/// table for such points errs by at most 0.5 % more than that for the values (exact_kmeans_test.cc), and errors of two
/// numbers of levels differ as theirs do: both lack what is spread within bins.
class GatheredPoints {
 public:
  /// Of finite values [n] with masses [n] (empty: 1 each) those that are not left out (1; empty: none is).
  void gather(std::span<const float> x, std::span<const float> masses, std::span<const uint8_t> left_out,
              int64_t levels);
  /// Ascending, with their masses.
  std::span<const float> values() const { return values_; }
  std::span<const float> masses() const { return masses_; }

 private:
  struct Point {
    float value, mass;
  };
  struct Bin {
    double mass, first;  // sum m, sum m x
  };
  void take_all();
  void add_sorted(std::vector<Point>& points);

  std::vector<float> values_, masses_;
  std::vector<Point> counted_;    // values that are not left out
  std::vector<float> x_;          // theirs alone
  std::vector<uint16_t> places_;  // by value: its bin
  std::vector<Bin> bins_;
  std::vector<Point> below_, above_;
};

}  // namespace bitloom
