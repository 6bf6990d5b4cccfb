#pragma once
// SVG elements, in CSS pixels, y downwards. Colours and fonts are the page's: elements carry classes, and what belongs
// to a series carries "s0" to "s7", which set the colour. Series also differ in marker, dashes and hatching.

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/plot/scale.h"
#include "report/table.h"

namespace bitloom {

inline constexpr int kSeriesColors = 8;
inline constexpr double kTextSize = 12, kLineHeight = 16;

/// Pixels that `text` takes at 12 px: an estimate from above for the usual sans-serif faces.
double text_width(std::string_view text);
/// `text` cut to `width` pixels, "…" at its end.
std::string fit_text(std::string_view text, double width);

struct Place {
  double x = 0, y = 0;
};
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
  double width() const { return right - left; }
  double height() const { return bottom - top; }
};

enum class Anchor { kStart, kMiddle, kEnd };

class Drawing {
 public:
  /// `id` begins the ids of the hatchings.
  explicit Drawing(std::string id) : id_(std::move(id)) {}

  void line(Place from, Place to, std::string_view css_class);
  void text(Place at, std::string_view text, Anchor anchor = Anchor::kStart, std::string_view css_class = "");
  /// A line through the places, dashed as the series is.
  void path(const std::vector<Place>& places, int series);
  /// The same without a series' style.
  void plain_path(const std::vector<Place>& places, std::string_view css_class);
  void area(const std::vector<Place>& outline, int series, std::string_view css_class);
  /// `tooltip` shows when the marker is pointed at.
  void marker(Place at, int series, std::string_view tooltip);
  void bar(const Box& box, int series, std::string_view tooltip);
  /// Horizontal or vertical line with end strokes.
  void whisker(Place from, Place to);
  /// Marker and dash of a series, 28 pixels wide.
  void sample(Place at, int series, bool line, bool marker);
  void swatch(Place at, int series);

  /// The elements drawn, with the hatchings they use.
  std::string contents() const;

 private:
  std::string id_, body_;
  std::set<int> hatched_;  // series whose hatching is used
};

/// "12", "12.5": at most one decimal.
std::string pixels(double value);

}  // namespace bitloom
