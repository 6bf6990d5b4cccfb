#pragma once
// What every product of dot_call.h is held to, whatever its matrix. Dot: a random product with members x, y and call.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

namespace bitloom::testing {

/// The same bytes from all at once as from cuts that follow each other; whole and parts are the same product.
template <typename Entry, typename Dot>
void expect_parts_stand_alone(const Entry& entry, Dot& whole, Dot& parts,
                              std::initializer_list<std::pair<int64_t, int64_t>> cuts) {
  entry.kernel(whole.call);
  for (const auto& [first, last] : cuts) {
    parts.call.first = first, parts.call.last = last;
    entry.kernel(parts.call);
  }
  EXPECT_EQ(whole.y, parts.y) << entry.name;
}

/// Zeros give zeros; a value of the one token that is not finite is seen in every row.
template <typename Entry, typename Dot>
void expect_zeros_and_bad_values_pass(const Entry& entry, Dot& dot) {
  for (float& value : dot.x) value = 0;
  entry.kernel(dot.call);
  for (const float value : dot.y) EXPECT_EQ(value, 0) << entry.name;
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    dot.x[17] = bad;
    entry.kernel(dot.call);
    for (const float value : dot.y) EXPECT_FALSE(std::isfinite(value)) << entry.name;
  }
}

}  // namespace bitloom::testing
