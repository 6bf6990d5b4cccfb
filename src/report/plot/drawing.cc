#include "report/plot/drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "report/html.h"

namespace bitloom {
namespace {

constexpr double kColumnWidth = 6.9;               // of a terminal column at 12 px
constexpr std::string_view kBroad = "MWmw<>=+%@";  // up to two columns wide

struct SeriesStyle {
  const char* marker;  // outline around 0,0
  const char* dashes;  // "" unbroken
  const char* hatch;   // path in a 6 x 6 tile; "" filled
};

constexpr std::array<SeriesStyle, kSeriesColors> kStyles = {{
    {"m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "", ""},
    {"m-3.2-3.2h6.4v6.4h-6.4z", "6 3", "M-1 1l2-2M0 6l6-6M5 7l2-2"},
    {"m0-4.2l4 7h-8z", "2 2.5", "M1.5 1.5h.01M4.5 4.5h.01"},
    {"m0-4.6l4.6 4.6-4.6 4.6-4.6-4.6z", "8 3 2 3", "M-1 5l2 2M0 0l6 6M5-1l2 2"},
    {"m0 4.2l4-7h-8z", "10 4", "M3 0v6"},
    {"m-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z", "4 2 1 2 1 2", "M0 3h6"},
    {"m0-4.4l4.2 3-1.6 5h-5.2l-1.6-5z", "1 3", "M0 3h6M3 0v6"},
    {"m-2-4h4l2 4-2 4h-4l-2-4z", "12 3 3 3", "M0 6l6-6M0 0l6 6"},
}};

int color_of(int series) { return series % kSeriesColors; }
/// The eight after the first eight have their colours with other looks, and so on.
const SeriesStyle& style_of(int series) {
  return kStyles[static_cast<size_t>(series + series / kSeriesColors) % kStyles.size()];
}

std::string points(const std::vector<Place>& places) {
  std::string out;
  for (const Place& place : places)
    out += fmt::format("{}{} {}", out.empty() ? "M" : "L", pixels(place.x), pixels(place.y));
  return out;
}

const char* anchor_name(Anchor anchor) {
  return anchor == Anchor::kEnd ? R"( text-anchor="end")" : anchor == Anchor::kMiddle ? R"( text-anchor="middle")" : "";
}

std::string class_attribute(std::string_view name) { return name.empty() ? "" : fmt::format(R"( class="{}")", name); }

std::string titled(std::string_view element, const std::string& attributes, std::string_view tooltip) {
  if (tooltip.empty()) return fmt::format("<{}{}/>\n", element, attributes);
  return fmt::format("<{}{}><title>{}</title></{}>\n", element, attributes, escape_html(tooltip), element);
}

}  // namespace

std::string pixels(double value) {
  const double tenths = std::round(value * 10);
  if (tenths == 0) return "0";  // never "-0"
  return std::fmod(tenths, 10) == 0 ? fmt::format("{:.0f}", tenths / 10) : fmt::format("{:.1f}", tenths / 10);
}

double text_width(std::string_view text) {
  const auto broad = std::count_if(text.begin(), text.end(), [](char c) { return kBroad.find(c) != kBroad.npos; });
  return kColumnWidth * (static_cast<double>(display_width(text)) + static_cast<double>(broad));
}

std::string fit_text(std::string_view text, double width) {
  return fit_width(text, static_cast<size_t>(std::max(width / kColumnWidth, 1.0)));
}

void Drawing::line(Place from, Place to, std::string_view css_class) {
  body_ += fmt::format(R"(<line{} x1="{}" y1="{}" x2="{}" y2="{}"/>)"
                       "\n",
                       class_attribute(css_class), pixels(from.x), pixels(from.y), pixels(to.x), pixels(to.y));
}

void Drawing::text(Place at, std::string_view text, Anchor anchor, std::string_view css_class) {
  body_ += fmt::format(R"(<text{} x="{}" y="{}"{}>{}</text>)"
                       "\n",
                       class_attribute(css_class), pixels(at.x), pixels(at.y), anchor_name(anchor), escape_html(text));
}

void Drawing::path(const std::vector<Place>& places, int series) {
  const std::string dashes = style_of(series).dashes;
  body_ += fmt::format(R"(<path class="curve s{}"{} d="{}"/>)"
                       "\n",
                       color_of(series), dashes.empty() ? "" : fmt::format(R"( stroke-dasharray="{}")", dashes),
                       points(places));
}

void Drawing::plain_path(const std::vector<Place>& places, std::string_view css_class) {
  body_ += fmt::format(R"(<path{} d="{}"/>)"
                       "\n",
                       class_attribute(css_class), points(places));
}

void Drawing::area(const std::vector<Place>& outline, int series, std::string_view css_class) {
  body_ += fmt::format(R"(<path class="{} s{}" d="{}Z"/>)"
                       "\n",
                       css_class, color_of(series), points(outline));
}

void Drawing::marker(Place at, int series, std::string_view tooltip) {
  const std::string attributes = fmt::format(R"( class="mark s{}" d="M{} {}{}")", color_of(series), pixels(at.x),
                                             pixels(at.y), style_of(series).marker);
  body_ += titled("path", attributes, tooltip);
}

void Drawing::bar(const Box& box, int series, std::string_view tooltip) {
  const std::string place = fmt::format(R"(x="{}" y="{}" width="{}" height="{}")", pixels(box.left), pixels(box.top),
                                        pixels(std::max(box.width(), 0.0)), pixels(box.height()));
  std::string fill;
  if (*style_of(series).hatch != '\0') {
    hatched_.insert(series);
    fill = fmt::format(" style=\"fill:url(#{}h{})\"", id_, series);
  }
  body_ += titled("rect", fmt::format(R"( class="bar s{}" {}{})", color_of(series), place, fill), tooltip);
}

void Drawing::whisker(Place from, Place to) {
  const double dx = from.x == to.x ? 3 : 0, dy = from.x == to.x ? 0 : 3;
  body_ += fmt::format(R"(<path class="whisker" d="M{0} {1}L{2} {3}M{4} {5}L{6} {7}M{8} {9}L{10} {11}"/>)"
                       "\n",
                       pixels(from.x), pixels(from.y), pixels(to.x), pixels(to.y), pixels(from.x - dx),
                       pixels(from.y - dy), pixels(from.x + dx), pixels(from.y + dy), pixels(to.x - dx),
                       pixels(to.y - dy), pixels(to.x + dx), pixels(to.y + dy));
}

void Drawing::sample(Place at, int series, bool line, bool with_marker) {
  if (line) path({at, {at.x + 24, at.y}}, series);
  if (with_marker) marker({at.x + 12, at.y}, series, "");
}

void Drawing::swatch(Place at, int series) { bar({at.x + 6, at.y - 5, at.x + 22, at.y + 5}, series, ""); }

std::string Drawing::contents() const {
  std::string hatchings;
  for (const int series : hatched_) {
    hatchings += fmt::format(R"(<pattern id="{}h{}" class="s{}" width="6" height="6" patternUnits="userSpaceOnUse">)"
                             R"(<rect class="tint" width="6" height="6"/><path class="hatch" d="{}"/></pattern>)"
                             "\n",
                             id_, series, color_of(series), style_of(series).hatch);
  }
  return (hatchings.empty() ? "" : "<defs>\n" + hatchings + "</defs>\n") + body_;
}

}  // namespace bitloom
