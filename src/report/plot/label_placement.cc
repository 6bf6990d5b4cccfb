#include "report/plot/label_placement.h"

#include <algorithm>
#include <limits>

namespace bitloom {
namespace {

constexpr double kReach = 8;  // from a marker's middle to its label

Box box_of(const PlacedLabel& label) {
  const double width = text_width(label.text);
  const double share = label.anchor == Anchor::kStart ? 0 : label.anchor == Anchor::kMiddle ? 0.5 : 1;
  const double left = label.at.x - share * width;
  return {left, label.at.y - kTextSize, left + width, label.at.y + 3};
}

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  return width > 0 && height > 0 ? width * height : 0;
}

double outside(const Box& box, const Box& area) { return box.width() * box.height() - overlap(box, area); }

std::vector<PlacedLabel> candidates(Place point, const std::string& text) {
  std::vector<PlacedLabel> out;
  for (const double lines : {-0.55, 0.0, 0.8, -1.4, 1.6}) {
    const double y = point.y + 4 + lines * kLineHeight;
    out.push_back({{point.x + kReach, y}, Anchor::kStart, text});
    out.push_back({{point.x - kReach, y}, Anchor::kEnd, text});
    if (lines != 0) out.push_back({{point.x, y}, Anchor::kMiddle, text});
  }
  return out;
}

}  // namespace

std::vector<PlacedLabel> place_labels(const std::vector<Place>& points, const std::vector<std::string>& labels,
                                      const Box& area) {
  std::vector<Box> taken;
  taken.reserve(points.size() + labels.size());
  for (const Place& point : points) taken.push_back({point.x - 5, point.y - 5, point.x + 5, point.y + 5});
  std::vector<PlacedLabel> placed;
  for (size_t i = 0; i < points.size(); ++i) {
    PlacedLabel best;
    double least = std::numeric_limits<double>::infinity();
    for (const PlacedLabel& candidate : candidates(points[i], fit_text(labels[i], area.width() * 0.6))) {
      const Box box = box_of(candidate);
      double cost = 2 * outside(box, area);
      for (const Box& other : taken) cost += overlap(box, other);
      if (cost >= least) continue;
      least = cost;
      best = candidate;
    }
    taken.push_back(box_of(best));
    placed.push_back(std::move(best));
  }
  return placed;
}

}  // namespace bitloom
