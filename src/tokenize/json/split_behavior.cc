#include "tokenize/json/split_behavior.h"

namespace bitloom {
namespace {

struct Row {
  std::string_view name;
  SplitBehavior behavior;
};

constexpr Row kRows[] = {
    {"Removed", SplitBehavior::kRemoved},
    {"Isolated", SplitBehavior::kIsolated},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
    {"Contiguous", SplitBehavior::kContiguous},
};

}  // namespace

SplitBehavior parse_split_behavior(const JsonNode& node) {
  std::string names;
  for (const Row& row : kRows) {
    if (row.name == node.text()) return row.behavior;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  node.reject(fmt::format("is '{}' (supported: {})", node.text(), names));
}

bool SplitCollector::joins(bool match) const {
  switch (behavior_) {
    case SplitBehavior::kMergedWithPrevious:
      return match && !previous_match_;
    case SplitBehavior::kMergedWithNext:
      return !match && previous_match_;
    case SplitBehavior::kContiguous:
      return match == previous_match_;
    default:
      return false;
  }
}

void SplitCollector::add(size_t begin, size_t end, bool match) {
  if (behavior_ == SplitBehavior::kIsolated || behavior_ == SplitBehavior::kRemoved) {
    if (behavior_ == SplitBehavior::kIsolated || !match) piece_(begin, end);
    return;
  }
  if (pending_ && joins(match)) {
    end_ = end;
  } else {
    if (pending_) piece_(begin_, end_);
    begin_ = begin;
    end_ = end;
    pending_ = true;
  }
  previous_match_ = match;
}

void SplitCollector::finish() {
  if (pending_) piece_(begin_, end_);
  pending_ = false;
}

}  // namespace bitloom
