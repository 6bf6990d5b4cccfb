#pragma once
// Sets of code points, for the set operations of regex classes that PCRE2 lacks.

#include <string>
#include <utility>
#include <vector>

namespace bitloom {

class CodeSet {
 public:
  CodeSet() = default;
  /// The members of a class in PCRE2's syntax ("[\p{L}_]").
  explicit CodeSet(const std::string& pcre2_class);

  CodeSet complement() const;
  CodeSet united_with(const CodeSet& other) const;
  CodeSet intersected_with(const CodeSet& other) const;

  /// The inside of a PCRE2 class with these members; "" when there are none.
  std::string inside_of_class() const;

 private:
  using Ranges = std::vector<std::pair<char32_t, char32_t>>;  // [first, last], rising, none next to another
  explicit CodeSet(Ranges ranges) : ranges_(std::move(ranges)) {}

  Ranges ranges_;
};

}  // namespace bitloom
