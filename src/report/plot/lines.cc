#include <algorithm>
#include <cassert>

#include "report/plot/frame.h"

namespace bitloom {
namespace {

constexpr size_t kFewPoints = 40;  // more get a marker only now and then

void draw_band(Drawing& drawing, const Curve& curve, const Frame& frame, int series) {
  std::vector<Place> upper, lower;
  for (size_t i = 0; i < curve.x.size(); ++i) {
    if (!has_interval(curve.y[i]) || !frame.x.shows(curve.x[i]) || !frame.y.shows(curve.y[i].high)) continue;
    const double at = frame.x.at(curve.x[i]);
    upper.push_back({at, frame.y.at(curve.y[i].high)});
    lower.push_back({at, frame.y.shows(curve.y[i].low) ? frame.y.at(curve.y[i].low) : frame.area.bottom});
  }
  if (upper.size() < 2) return;
  upper.insert(upper.end(), lower.rbegin(), lower.rend());
  drawing.area(upper, series, "band");
}

void draw_curve(Drawing& drawing, const Curve& curve, const Frame& frame, int series) {
  std::vector<Place> run;
  const auto flush = [&] {
    if (run.size() > 1) drawing.path(run, series);
    run.clear();
  };
  const size_t every = curve.x.size() <= kFewPoints ? 1 : (curve.x.size() + 7) / 8;
  std::vector<Place> marks;
  for (size_t i = 0; i < curve.x.size(); ++i) {
    if (!frame.x.shows(curve.x[i]) || !frame.y.shows(curve.y[i].value)) {
      flush();
      continue;
    }
    run.push_back({frame.x.at(curve.x[i]), frame.y.at(curve.y[i].value)});
    if (i % every == 0) marks.push_back(run.back());
  }
  flush();
  for (const Place& mark : marks) drawing.marker(mark, series, "");
}

}  // namespace

Picture draw(const LinePlot& plot, int width, const std::string& id) {
  Extent x(plot.x), y(plot.y);
  std::vector<std::string> names;
  for (const Curve& curve : plot.curves) {
    assert(curve.x.size() == curve.y.size());
    names.push_back(curve.name);
    for (const double value : curve.x) x.add(value);
    for (const Estimate& estimate : curve.y) y.add(estimate);
  }
  Drawing drawing(id);
  const double top =
      draw_legend(drawing, names, width, 0, [](Drawing& d, Place at, int i) { d.sample(at, i, true, true); });
  const double height = area_height(width);
  const Frame frame =
      draw_frame(drawing, plot.x, plot.y, x.scale(width < 500 ? 6 : 10), y.scale(7), width, top, height);
  for (size_t i = 0; i < names.size(); ++i) draw_band(drawing, plot.curves[i], frame, static_cast<int>(i));
  for (size_t i = 0; i < names.size(); ++i) draw_curve(drawing, plot.curves[i], frame, static_cast<int>(i));
  return {drawing.contents(), frame.area.bottom + kBelowFrame};
}

}  // namespace bitloom
