#include <algorithm>
#include <cmath>

#include "report/plot/frame.h"
#include "report/plot/label_placement.h"

namespace bitloom {
namespace {

/// Points that no other beats in both coordinates, by rising x.
std::vector<const ScatterPoint*> pareto_front(const ScatterPlot& plot) {
  std::vector<const ScatterPoint*> order, front;
  for (const ScatterPoint& point : plot.points) {
    if (std::isfinite(point.x) && std::isfinite(point.y.value)) order.push_back(&point);
  }
  std::sort(order.begin(), order.end(), [](const ScatterPoint* a, const ScatterPoint* b) {
    return a->x != b->x ? a->x < b->x : a->y.value < b->y.value;
  });
  for (const ScatterPoint* point : order) {
    if (front.empty() || point->y.value < front.back()->y.value) front.push_back(point);
  }
  return front;
}

/// A step: each point holds to the right until the next.
void draw_front(Drawing& drawing, const ScatterPlot& plot, const Frame& frame) {
  std::vector<Place> places;
  for (const ScatterPoint* point : pareto_front(plot)) {
    if (!frame.x.shows(point->x) || !frame.y.shows(point->y.value)) continue;
    const Place place{frame.x.at(point->x), frame.y.at(point->y.value)};
    if (!places.empty()) places.push_back({place.x, places.back().y});
    places.push_back(place);
  }
  if (places.empty()) return;
  places.push_back({frame.area.right, places.back().y});
  drawing.plain_path(places, "front");
}

void draw_points(Drawing& drawing, const ScatterPlot& plot, const Frame& frame) {
  std::vector<Place> places;
  std::vector<std::string> labels;
  for (const ScatterPoint& point : plot.points) {
    if (!frame.x.shows(point.x) || !frame.y.shows(point.y.value)) continue;
    const Place place{frame.x.at(point.x), frame.y.at(point.y.value)};
    if (has_interval(point.y)) {
      // An end that a logarithmic axis cannot show lies at the axis.
      const double low = frame.y.shows(point.y.low) ? point.y.low : frame.y.low;
      drawing.whisker({place.x, frame.y.at(low)}, {place.x, frame.y.at(point.y.high)});
    }
    drawing.marker(place, point.group, point.label + ": " + cell(point.x) + ", " + cell(point.y));
    places.push_back(place);
    labels.push_back(point.label);
  }
  for (const PlacedLabel& label : place_labels(places, labels, frame.area)) {
    drawing.text(label.at, label.text, label.anchor, "label");
  }
}

}  // namespace

Picture draw(const ScatterPlot& plot, int width, const std::string& id) {
  Extent x(plot.x), y(plot.y);
  for (const ScatterPoint& point : plot.points) {
    x.add(point.x);
    y.add(point.y);
  }
  Drawing drawing(id);
  const double top =
      draw_legend(drawing, plot.groups, width, 0, [](Drawing& d, Place at, int i) { d.sample(at, i, false, true); });
  const double height = area_height(width);
  const Frame frame =
      draw_frame(drawing, plot.x, plot.y, x.scale(width < 500 ? 6 : 10), y.scale(7), width, top, height);
  if (plot.pareto) draw_front(drawing, plot, frame);
  draw_points(drawing, plot, frame);
  return {drawing.contents(), frame.area.bottom + kBelowFrame};
}

}  // namespace bitloom
