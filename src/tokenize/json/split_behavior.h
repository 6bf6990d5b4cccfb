#pragma once
// What happens to delimiters when text is split (SplitDelimiterBehavior of the tokenizers package).

#include <cstddef>

#include "tokenize/json/json_node.h"
#include "tokenize/text/function_ref.h"

namespace bitloom {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

SplitBehavior parse_split_behavior(const JsonNode& node);

/// Takes consecutive parts of a text, each a match of the delimiter or not, and gives out the pieces:
///   removed               matches vanish
///   isolated              each part alone
///   merged with previous  the first match of a run joins the part before it
///   merged with next      the last match of a run joins the part behind it
///   contiguous            neighbours of the same kind join
class SplitCollector {
 public:
  /// Borrows `piece`, which must have a name.
  template <typename Piece>
  SplitCollector(SplitBehavior behavior, const Piece& piece) : behavior_(behavior), piece_(piece) {}

  template <typename Piece>
  SplitCollector(SplitBehavior behavior, const Piece&& piece) = delete;

  void add(size_t begin, size_t end, bool match);
  void finish();

 private:
  bool joins(bool match) const;

  SplitBehavior behavior_;
  FunctionRef<void(size_t begin, size_t end)> piece_;
  bool pending_ = false;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool previous_match_ = false;
};

}  // namespace bitloom
