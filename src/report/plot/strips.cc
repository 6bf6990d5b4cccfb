#include <algorithm>
#include <cassert>
#include <cmath>

#include "report/plot/frame.h"

namespace bitloom {
namespace {

constexpr double kNameHeight = 17, kPanelHeight = 52, kPanelGap = 10;

Extent extent_of(const StripPlot& plot) {
  Extent extent(plot.y);
  for (const StripSeries& series : plot.series) {
    assert(series.values.size() == plot.rows.size());
    for (const std::vector<double>& row : series.values) {
      assert(row.size() == plot.columns.size());
      for (const double value : row) extent.add(value);
    }
  }
  return extent;
}

double column_at(const Box& area, size_t column, size_t columns) {
  return area.left + area.width() * (static_cast<double>(column) + 0.5) / static_cast<double>(columns);
}

void draw_row(Drawing& drawing, const StripPlot& plot, size_t row, const Scale& y, const Box& area) {
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const std::vector<double>& values = plot.series[s].values[row];
    std::vector<Place> places;
    for (size_t i = 0; i < values.size(); ++i) {
      if (y.shows(values[i])) places.push_back({column_at(area, i, values.size()), y.at(values[i])});
    }
    if (places.size() > 1) drawing.path(places, static_cast<int>(s));
    for (size_t i = 0; i < values.size(); ++i) {
      if (!y.shows(values[i])) continue;
      const std::string tooltip = plot.rows[row] + " " + plot.columns[i] + ", " + plot.series[s].name + ": ";
      drawing.marker({column_at(area, i, values.size()), y.at(values[i])}, static_cast<int>(s),
                     tooltip + cell(values[i]));
    }
  }
}

void draw_columns(Drawing& drawing, const StripPlot& plot, const Box& area) {
  size_t widest = 1;
  for (const std::string& name : plot.columns) widest = std::max(widest, display_width(name));
  const double room = area.width() / static_cast<double>(std::max<size_t>(plot.columns.size(), 1));
  const double needed = text_width(std::string(widest + 1, '0'));
  size_t every = static_cast<size_t>(std::ceil(needed / room));
  if (every > 2) every = (every + 4) / 5 * 5;
  for (size_t i = 0; i < plot.columns.size(); i += every) {
    drawing.text({column_at(area, i, plot.columns.size()), area.bottom + 15}, plot.columns[i], Anchor::kMiddle);
  }
}

}  // namespace

Picture draw(const StripPlot& plot, int width, const std::string& id) {
  std::vector<std::string> names;
  for (const StripSeries& series : plot.series) names.push_back(series.name);
  Drawing drawing(id);
  double top = draw_legend(drawing, names, width, 0, [](Drawing& d, Place at, int i) { d.sample(at, i, true, true); });
  drawing.text({0, top + kTextSize}, fit_text(plot.y.title, width), Anchor::kStart, "title");
  top += 22;
  Scale y = extent_of(plot).scale(6);
  double left = 0;
  for (const Tick& tick : y.ticks) left = std::max(left, text_width(tick.label));
  Box area{left + 8, top, width - 4.0, top};
  for (size_t row = 0; row < plot.rows.size(); ++row) {
    area.top = top + kNameHeight;
    area.bottom = area.top + kPanelHeight;
    y.from = area.bottom, y.to = area.top;
    drawing.text({area.left, top + kTextSize}, fit_text(plot.rows[row], area.width()), Anchor::kStart, "label");
    for (const Tick& tick : y.ticks) {
      const double at = y.at(tick.value);
      drawing.line({area.left, at}, {area.right, at}, "grid");
      if (&tick == &y.ticks.front() || &tick == &y.ticks.back()) {
        drawing.text({area.left - 6, at + 4}, tick.label, Anchor::kEnd);
      }
    }
    draw_row(drawing, plot, row, y, area);
    top = area.bottom + kPanelGap;
  }
  draw_columns(drawing, plot, area);
  drawing.text({area.right, area.bottom + 34}, fit_text(plot.x.title, width), Anchor::kEnd, "title");
  return {drawing.contents(), area.bottom + 40};
}

}  // namespace bitloom
