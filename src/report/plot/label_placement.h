#pragma once
// Where labels of points go so that they can be read.

#include <string>
#include <vector>

#include "report/plot/drawing.h"

namespace bitloom {

struct PlacedLabel {
  Place at;
  Anchor anchor = Anchor::kStart;
  std::string text;
};

/// For each point the first of right, left, below, above (then farther away) where its label lies inside `area` and
/// meets neither a marker nor a label placed before; where there is none, the one that overlaps least.
std::vector<PlacedLabel> place_labels(const std::vector<Place>& points, const std::vector<std::string>& labels,
                                      const Box& area);

}  // namespace bitloom
