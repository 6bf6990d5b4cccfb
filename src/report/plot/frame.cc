#include "report/plot/frame.h"

#include <algorithm>
#include <cmath>

#include "report/numbers.h"

namespace bitloom {
namespace {

constexpr int kDigits = 4;  // significant ones in tables

/// Ends that the axis prescribes are kept exactly: ticks beyond them go.
void cut(Scale& scale, const Axis& axis) {
  if (axis.low) scale.low = *axis.low;
  if (axis.high) scale.high = *axis.high;
  const double slack = 1e-9 * (scale.high - scale.low);
  std::erase_if(scale.ticks,
                [&](const Tick& tick) { return tick.value < scale.low - slack || tick.value > scale.high + slack; });
}

double widest_label(const Scale& scale) {
  double width = 0;
  for (const Tick& tick : scale.ticks) width = std::max(width, text_width(tick.label));
  return width;
}

}  // namespace

void Extent::add(double value) {
  if (!std::isfinite(value) || (axis_.logarithmic && value <= 0)) return;
  low_ = empty_ ? value : std::min(low_, value);
  high_ = empty_ ? value : std::max(high_, value);
  empty_ = false;
}

void Extent::add(const Estimate& estimate) {
  add(estimate.value);
  add(estimate.low);
  add(estimate.high);
}

Scale Extent::scale(int most_ticks) const {
  const double unknown = empty_ ? kUnknown : 0;
  Scale scale = nice_scale(axis_.low.value_or(low_ + unknown), axis_.high.value_or(high_ + unknown), axis_.logarithmic,
                           most_ticks);
  cut(scale, axis_);
  return scale;
}

std::string cell(double value) { return std::isnan(value) ? "-" : format_significant(value, kDigits); }

bool has_interval(const Estimate& estimate) { return std::isfinite(estimate.low) && std::isfinite(estimate.high); }

std::string cell(const Estimate& estimate) {
  if (!has_interval(estimate)) return cell(estimate.value);
  return cell(estimate.value) + " [" + cell(estimate.low) + ", " + cell(estimate.high) + "]";
}

double draw_legend(Drawing& drawing, const std::vector<std::string>& names, int width, double top,
                   const Sample& sample) {
  if (names.size() < 2) return top;
  double x = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = fit_text(names[i], width - 34.0);
    const double needed = 30 + text_width(name);
    if (x > 0 && x + needed > width) {
      x = 0;
      top += kLineHeight + 2;
    }
    sample(drawing, {x, top + kLineHeight / 2}, static_cast<int>(i));
    drawing.text({x + 29, top + kLineHeight / 2 + 4}, name);
    x += needed + 12;
  }
  return top + kLineHeight + 10;
}

Frame draw_frame(Drawing& drawing, const Axis& x_axis, const Axis& y_axis, Scale x, Scale y, int width, double top,
                 double height) {
  drawing.text({0, top + kTextSize}, fit_text(y_axis.title, width), Anchor::kStart, "title");
  const Box area{widest_label(y) + 8, top + 24, width - 12.0, top + 24 + height};
  x.from = area.left, x.to = area.right;
  y.from = area.bottom, y.to = area.top;
  for (const Tick& tick : y.ticks) {
    const double at = y.at(tick.value);
    drawing.line({area.left, at}, {area.right, at}, "grid");
    drawing.text({area.left - 6, at + 4}, tick.label, Anchor::kEnd);
  }
  for (const Tick& tick : x.ticks) {
    const double at = x.at(tick.value);
    drawing.line({at, area.bottom}, {at, area.bottom + 4}, "axis");
    drawing.text({at, area.bottom + 17}, tick.label, Anchor::kMiddle);
  }
  drawing.line({area.left, area.bottom}, {area.right, area.bottom}, "axis");
  drawing.text({area.right, area.bottom + 36}, fit_text(x_axis.title, width), Anchor::kEnd, "title");
  return {area, x, y};
}

double area_height(int width) { return std::clamp(width * 0.5, 190.0, 330.0); }

}  // namespace bitloom
