#pragma once
// The number that a reply gives, and nothing else about it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitloom::arithmetic {

struct Answer {
  bool valid = false;
  std::string written;           // as it stands in the reply: "21,794,867"
  std::string digits;            // without separators and leading zeros: "21794867"
  std::optional<int64_t> value;  // none above 18 digits
  size_t begin = 0, end = 0;     // characters of the reply that hold it
};

/// A number is digits joined by any separators of the study's formats ("1,234", "1 234", "1.2#3"). A reply with exactly
/// one is valid, any other is not: no number, several, or a minus sign before it (no answer here is negative). With
/// `repeats` only what follows the last "=" counts.
Answer read_answer(std::string_view reply, bool repeats);

}  // namespace bitloom::arithmetic
