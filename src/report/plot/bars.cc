#include <algorithm>
#include <cassert>
#include <cmath>

#include "report/numbers.h"
#include "report/plot/frame.h"

namespace bitloom {
namespace {

constexpr double kPitch = 15, kThickness = 11, kGap = 9;  // of bars, and between groups

struct Layout {
  Scale scale;
  Box area;
  double label_width = 0;
};

Extent extent_of(const BarPlot& plot) {
  Extent extent(plot.value);
  if (!plot.value.logarithmic) extent.add(0.0);
  for (const BarSeries& series : plot.series) {
    assert(series.values.size() == plot.categories.size());
    for (const Estimate& estimate : series.values) extent.add(estimate);
  }
  return extent;
}

/// Room for the names at the left and for a figure behind the longest bar.
Layout layout_of(const BarPlot& plot, int width, double top) {
  Layout layout;
  for (const std::string& name : plot.categories) layout.label_width = std::max(layout.label_width, text_width(name));
  layout.label_width = std::min(layout.label_width, width * 0.36);
  const double group = static_cast<double>(plot.series.size()) * kPitch + kGap;
  layout.area = {layout.label_width + 8, top, width - text_width("0.00000"),
                 top + group * static_cast<double>(plot.categories.size()) + 2};
  layout.scale = extent_of(plot).scale(width < 500 ? 4 : 8);
  layout.scale.from = layout.area.left;
  layout.scale.to = layout.area.right;
  return layout;
}

void draw_axis(Drawing& drawing, const BarPlot& plot, const Layout& layout, int width) {
  const Box& area = layout.area;
  for (const Tick& tick : layout.scale.ticks) {
    const double at = layout.scale.at(tick.value);
    drawing.line({at, area.top}, {at, area.bottom}, "grid");
    drawing.text({at, area.bottom + 15}, tick.label, Anchor::kMiddle);
  }
  drawing.text({static_cast<double>(width), area.bottom + 34}, fit_text(plot.value.title, width), Anchor::kEnd,
               "title");
}

void draw_bar(Drawing& drawing, const Scale& scale, const Estimate& estimate, double y, int series,
              const std::string& tooltip) {
  if (!scale.shows(estimate.value)) {
    drawing.text({scale.from + 4, y + kThickness - 1}, "-");
    return;
  }
  const double base = scale.at(scale.logarithmic ? scale.low : 0.0), end = scale.at(estimate.value);
  drawing.bar({std::min(base, end), y, std::max(base, end), y + kThickness}, series, tooltip);
  double right = std::max(base, end);
  if (has_interval(estimate)) {
    const double low = scale.shows(estimate.low) ? estimate.low : scale.low;
    right = std::max(right, scale.at(estimate.high));
    drawing.whisker({scale.at(low), y + kThickness / 2}, {scale.at(estimate.high), y + kThickness / 2});
  }
  drawing.text({right + 5, y + kThickness - 1}, format_significant(estimate.value, 3), Anchor::kStart, "figure");
}

}  // namespace

Picture draw(const BarPlot& plot, int width, const std::string& id) {
  std::vector<std::string> names;
  for (const BarSeries& series : plot.series) names.push_back(series.name);
  Drawing drawing(id);
  double top = draw_legend(drawing, names, width, 0, [](Drawing& d, Place at, int i) { d.swatch(at, i); });
  drawing.text({0, top + kTextSize}, fit_text(plot.category_title, width), Anchor::kStart, "title");
  const Layout layout = layout_of(plot, width, top + 20);
  draw_axis(drawing, plot, layout, width);
  double y = layout.area.top + kGap / 2 + 1;
  for (size_t i = 0; i < plot.categories.size(); ++i) {
    const double middle = y + (static_cast<double>(names.size()) * kPitch - (kPitch - kThickness)) / 2;
    drawing.text({layout.label_width, middle + 4}, fit_text(plot.categories[i], layout.label_width), Anchor::kEnd);
    for (size_t s = 0; s < names.size(); ++s) {
      const Estimate& value = plot.series[s].values[i];
      const std::string series_name = names.size() > 1 ? ", " + names[s] : "";
      draw_bar(drawing, layout.scale, value, y, static_cast<int>(s),
               plot.categories[i] + series_name + ": " + cell(value));
      y += kPitch;
    }
    y += kGap;
  }
  drawing.line({layout.area.left, layout.area.top}, {layout.area.left, layout.area.bottom}, "axis");
  return {drawing.contents(), layout.area.bottom + 40};
}

}  // namespace bitloom
