#pragma once
// Ends a text that grows at the first of a few texts, of which nothing is given out.

#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

class StopFilter {
 public:
  /// None of `stops` is empty.
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// What can be given out now: all up to what may be the beginning of a stop. Nothing after one was found.
  std::string push(std::string_view text);
  /// The rest, when no more comes.
  std::string finish();
  bool found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace bitloom
