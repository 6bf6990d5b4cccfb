#pragma once
// What the kinds of plots share: axes, legend, extent of the data.

#include <functional>
#include <string>
#include <vector>

#include "report/plot/drawing.h"
#include "report/plot/plot.h"
#include "report/plot/scale.h"

namespace bitloom {

/// Collects what an axis must hold.
class Extent {
 public:
  explicit Extent(const Axis& axis) : axis_(axis) {}
  /// What the axis cannot show is passed over.
  void add(double value);
  void add(const Estimate& estimate);
  /// With the ends that the axis prescribes.
  Scale scale(int most_ticks) const;

 private:
  const Axis& axis_;
  bool empty_ = true;
  double low_ = 0, high_ = 0;
};

/// A cell of a plot's table: "0.0312", "0.0312 [0.0300, 0.0330]", "-".
std::string cell(double value);
std::string cell(const Estimate& estimate);
/// "low to high" as a tooltip: "int4: 4.5, 0.03".
bool has_interval(const Estimate& estimate);

/// Draws the names with their samples in as many lines as they need from y = `top` on; returns the y below them.
/// Nothing where there is one name or none.
using Sample = std::function<void(Drawing&, Place, int)>;
double draw_legend(Drawing& drawing, const std::vector<std::string>& names, int width, double top,
                   const Sample& sample);

/// A plot area with grid lines, tick labels and titles: y's above, x's below. The scales' pixels are set.
struct Frame {
  Box area;
  Scale x, y;
};
/// `top`: where the frame begins; `height`: of the plot area.
Frame draw_frame(Drawing& drawing, const Axis& x_axis, const Axis& y_axis, Scale x, Scale y, int width, double top,
                 double height);
/// Pixels below the plot area that a frame takes.
inline constexpr double kBelowFrame = 42;

/// Height of the plot area for a width.
double area_height(int width);

/// A picture and its height.
struct Picture {
  std::string contents;
  double height = 0;
};

Picture draw(const ScatterPlot& plot, int width, const std::string& id);
Picture draw(const LinePlot& plot, int width, const std::string& id);
Picture draw(const BarPlot& plot, int width, const std::string& id);
Picture draw(const HistogramPlot& plot, int width, const std::string& id);
Picture draw(const StripPlot& plot, int width, const std::string& id);

}  // namespace bitloom
