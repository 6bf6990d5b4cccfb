#pragma once
// Plots as values: what is drawn is a struct, drawing it is a function of the struct and a width.
//
// Goals: a picture that states its units and its uncertainty, that is told apart without colour (markers, dashes), that
// is readable at any width because it is laid out for that width, and whose numbers stand beside it as a table. The
// same value gives the same bytes.
// Non-goals: interaction beyond a tooltip, general graphics, knowledge of models or of evaluations.
//
// Values that are not finite are left out, as are those below or at zero on a logarithmic axis; a line has a gap there.
// The table shows all of them.

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "report/table.h"

namespace bitloom {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct Axis {
  std::string title;  // with its unit: "true bits per weight", "KL divergence, nats"
  bool logarithmic = false;
  std::optional<double> low = {}, high = {};  // ends of the axis where the data's own are not wanted
};

/// What every plot has: the heading above it, and one or two sentences on what it shows, for all readers.
struct Caption {
  std::string title, text;
};

/// A measured value with the ends of its interval, where it has one.
struct Estimate {
  double value = kUnknown;
  double low = kUnknown, high = kUnknown;
};

/// Labelled points, each with an interval in y. With `pareto` a stepped line joins the points that no other beats in
/// both coordinates (less is better in both).
struct ScatterPoint {
  std::string label;
  double x = kUnknown;
  Estimate y;
  int group = 0;  // decides colour and marker, index in ScatterPlot::groups
};
struct ScatterPlot {
  Caption caption;
  Axis x, y;
  std::vector<std::string> groups;  // names for the legend; one or none: no legend
  std::vector<ScatterPoint> points;
  bool pareto = false;
};

/// Curves over x; where estimates have intervals, a band.
struct Curve {
  std::string name;
  std::vector<double> x;
  std::vector<Estimate> y;  // as many as x
};
struct LinePlot {
  Caption caption;
  Axis x, y;
  std::vector<Curve> curves;
};

/// Horizontal bars: one group of bars for each category, one bar in it for each series.
struct BarSeries {
  std::string name;
  std::vector<Estimate> values;  // one per category
};
struct BarPlot {
  Caption caption;
  std::string category_title;  // "format", "digit from the left"
  Axis value;
  std::vector<std::string> categories;
  std::vector<BarSeries> series;
};

/// Counts or shares between edges. One series is filled, several are outlined.
struct HistogramSeries {
  std::string name;
  std::vector<double> values;  // one less than edges
};
struct HistogramPlot {
  Caption caption;
  Axis x, y;
  std::vector<double> edges;  // rising
  std::vector<HistogramSeries> series;
};

/// Small multiples below each other on shared axes: a row for each kind of layer, x the layer's place in the model.
struct StripSeries {
  std::string name;
  std::vector<std::vector<double>> values;  // [row][column]
};
struct StripPlot {
  Caption caption;
  Axis x, y;                         // x: title only
  std::vector<std::string> rows;     // names of the rows
  std::vector<std::string> columns;  // names of the columns, in order: "0", "1" ...
  std::vector<StripSeries> series;
};

using Plot = std::variant<ScatterPlot, LinePlot, BarPlot, HistogramPlot, StripPlot>;

const Caption& caption_of(const Plot& plot);

/// An <svg> element `width` CSS pixels wide with text of 12 px; its height follows from its contents. `id` begins the
/// ids inside it and must be unique on the page. Colours are the page's CSS variables.
std::string to_svg(const Plot& plot, int width, const std::string& id);

/// Colours and lines of plots, by light and dark; made part of the program when it is built.
extern const std::string_view kPlotStyle;
/// The same as a file of its own, which brings its colours, a background and the caption's title.
std::string svg_file(const Plot& plot, int width);

/// The plot's numbers.
Table data_of(const Plot& plot);

}  // namespace bitloom
