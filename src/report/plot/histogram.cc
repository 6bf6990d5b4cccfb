#include <algorithm>
#include <cassert>

#include "report/plot/frame.h"

namespace bitloom {
namespace {

/// The outline of the bars, closed along the axis.
std::vector<Place> outline(const HistogramPlot& plot, const HistogramSeries& series, const Frame& frame) {
  std::vector<Place> places;
  const double base = frame.area.bottom;
  for (size_t i = 0; i < series.values.size(); ++i) {
    const double y = frame.y.shows(series.values[i]) ? frame.y.at(series.values[i]) : base;
    if (i == 0) places.push_back({frame.x.at(plot.edges[0]), base});
    places.push_back({frame.x.at(plot.edges[i]), y});
    places.push_back({frame.x.at(plot.edges[i + 1]), y});
  }
  if (!places.empty()) places.push_back({places.back().x, base});
  return places;
}

}  // namespace

Picture draw(const HistogramPlot& plot, int width, const std::string& id) {
  Extent x(plot.x), y(plot.y);
  if (!plot.y.logarithmic) y.add(0.0);
  for (const double edge : plot.edges) x.add(edge);
  std::vector<std::string> names;
  for (const HistogramSeries& series : plot.series) {
    assert(series.values.size() + 1 == plot.edges.size());
    names.push_back(series.name);
    for (const double value : series.values) y.add(value);
  }
  Drawing drawing(id);
  const double top =
      draw_legend(drawing, names, width, 0, [](Drawing& d, Place at, int i) { d.sample(at, i, true, false); });
  const Frame frame = draw_frame(drawing, plot.x, plot.y, x.scale(width < 500 ? 6 : 10), y.scale(6), width, top,
                                 area_height(width) * 0.8);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::vector<Place> places = outline(plot, plot.series[i], frame);
    if (places.empty()) continue;
    drawing.area(places, static_cast<int>(i), "band");
    drawing.path(places, static_cast<int>(i));
  }
  return {drawing.contents(), frame.area.bottom + kBelowFrame};
}

}  // namespace bitloom
