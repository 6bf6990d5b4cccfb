#include "report/plot/plot.h"

#include <gmock/gmock.h>

#include <regex>

#include "report/markup_check.h"
#include "report/page/sample_page.h"
#include "report/plot/drawing.h"
#include "report/plot/label_placement.h"

namespace bitloom {
namespace {

using testing::Element;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::read_markup;

size_t count_of(const std::vector<Element>& elements, const std::string& name, const std::string& css_class) {
  return static_cast<size_t>(std::count_if(elements.begin(), elements.end(), [&](const Element& element) {
    const auto at = element.attributes.find("class");
    return element.name == name && at != element.attributes.end() && (at->second + " ").starts_with(css_class + " ");
  }));
}

/// "M0 5L10 5" -> {{0, 5}, {10, 5}}.
std::vector<std::pair<double, double>> places_of(const std::string& path) {
  std::vector<std::pair<double, double>> out;
  static const std::regex kPlace("[ML]([-0-9.]+) ([-0-9.]+)");
  for (std::sregex_iterator it(path.begin(), path.end(), kPlace), end; it != end; ++it) {
    out.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return out;
}

std::string attribute(const std::vector<Element>& elements, const std::string& css_class, const std::string& name,
                      size_t which = 0) {
  for (const Element& element : elements) {
    const auto at = element.attributes.find("class");
    if (at == element.attributes.end() || !(at->second + " ").starts_with(css_class + " ")) continue;
    if (which-- == 0) return element.attributes.at(name);
  }
  return "";
}

TEST(Plot, EveryKindIsAWellFormedNamedPicture) {
  const std::vector<Plot> plots = {testing::sample_scatter(), testing::sample_lines(), testing::sample_bars(),
                                   testing::sample_histogram(), testing::sample_strips()};
  for (const Plot& plot : plots) {
    for (const int width : {350, 720}) {
      const std::string svg = to_svg(plot, width, "id");
      const std::vector<Element> elements = read_markup(svg);
      EXPECT_EQ(elements[0].name, "svg");
      EXPECT_EQ(elements[0].attributes.at("role"), "img");
      EXPECT_EQ(elements[0].attributes.at("aria-labelledby"), "idt idd");
      EXPECT_THAT(svg, HasSubstr("<title id=\"idt\">" + caption_of(plot).title + "</title>"));
      EXPECT_THAT(svg, Not(HasSubstr("nan")));
      EXPECT_EQ(svg, to_svg(plot, width, "id"));
    }
    EXPECT_GT(data_of(plot).rows(), 0u);
  }
}

TEST(Plot, EmptyPlotsAreDrawn) {
  for (const Plot& plot :
       {Plot(ScatterPlot{}), Plot(LinePlot{}), Plot(BarPlot{}), Plot(HistogramPlot{}), Plot(StripPlot{})}) {
    EXPECT_NO_THROW(read_markup(to_svg(plot, 350, "x")));
    EXPECT_EQ(data_of(plot).rows(), 0u);
  }
}

// 0, 10 x 0, 10 on a plot area whose corners the axis line tells: points lie where they should.
TEST(Scatter, PlacesPointsAndTheFrontOfThoseNotBeaten) {
  ScatterPlot plot{{"t", "d"}, {"x"}, {"y"}, {}, {}, true};
  plot.points = {{"a", 0, {10}}, {"beaten", 5, {9}}, {"b", 4, {4}}, {"c", 10, {0}}, {"unknown", kUnknown, {1}}};
  const std::vector<Element> elements = read_markup(to_svg(plot, 400, "s"));
  EXPECT_EQ(count_of(elements, "path", "mark"), 4u);
  const auto front = places_of(attribute(elements, "front", "d"));
  // a, step, b, step, c, and on to the right edge.
  ASSERT_EQ(front.size(), 6u);
  const double left = front[0].first, right = front[4].first, top = front[0].second, bottom = front[4].second;
  EXPECT_NEAR(front[2].first, left + 0.4 * (right - left), 0.11);
  EXPECT_NEAR(front[2].second, bottom + 0.4 * (top - bottom), 0.11);
  EXPECT_DOUBLE_EQ(front[1].first, front[2].first);
  EXPECT_DOUBLE_EQ(front[1].second, top);
  EXPECT_DOUBLE_EQ(front[5].second, bottom);
}

TEST(Scatter, LogarithmicAxisLeavesOutZeroAndTheTableKeepsIt) {
  ScatterPlot plot{{"t", "d"}, {"x"}, {"y", true}, {}, {}, false};
  plot.points = {{"zero", 1, {0}}, {"a", 2, {0.1, -0.1, 0.2}}};
  EXPECT_EQ(count_of(read_markup(to_svg(plot, 400, "s")), "path", "mark"), 1u);
  EXPECT_THAT(data_of(plot).to_markdown(), HasSubstr("| zero | 1.000 | 0.000 |"));
  EXPECT_THAT(data_of(plot).to_markdown(), HasSubstr("0.1000 [-0.1000, 0.2000]"));
}

TEST(Lines, BreakWhereAValueIsUnknown) {
  LinePlot plot{{"t", "d"}, {"x"}, {"y"}, {{"one", {0, 1, 2, 3, 4}, {{1}, {2}, {}, {4}, {5}}}, {"two", {5}, {{1}}}}};
  const std::vector<Element> elements = read_markup(to_svg(plot, 400, "l"));
  // Two samples in the legend, two runs of the first curve, a point alone.
  EXPECT_EQ(count_of(elements, "path", "curve"), 4u);
  EXPECT_EQ(count_of(elements, "path", "mark"), 2u + 4u + 1u);
  EXPECT_EQ(count_of(elements, "path", "band"), 0u);
  EXPECT_EQ(data_of(plot).to_markdown(),
            "| x | one | two |\n|--:|--:|--:|\n| 0.000 | 1.000 | - |\n| 1.000 | 2.000 | - |\n| 2.000 | - | - |\n"
            "| 3.000 | 4.000 | - |\n| 4.000 | 5.000 | - |\n| 5.000 | - | 1.000 |\n");
}

TEST(Bars, LengthsAreInProportionFromZero) {
  BarPlot plot{{"t", "d"}, "c", {"v"}, {"a", "b", "c"}, {{"", {{0.25}, {0.5}, {-0.25}}}}};
  const std::vector<Element> elements = read_markup(to_svg(plot, 400, "b"));
  ASSERT_EQ(count_of(elements, "rect", "bar"), 3u);
  const double a = std::stod(attribute(elements, "bar", "width", 0)),
               b = std::stod(attribute(elements, "bar", "width", 1));
  const double c = std::stod(attribute(elements, "bar", "width", 2));
  EXPECT_NEAR(b, 2 * a, 0.2);
  EXPECT_NEAR(c, a, 0.2);
  EXPECT_NEAR(std::stod(attribute(elements, "bar", "x", 2)) + c, std::stod(attribute(elements, "bar", "x", 0)), 0.2);
}

TEST(Series, DifferInMarkerAndDashesBesidesColour) {
  std::set<std::string> looks, with_colors;
  for (int s = 0; s < 24; ++s) {
    Drawing drawing("d");
    drawing.sample({0, 0}, s, true, true);
    drawing.swatch({0, 0}, s);
    const std::string plain = std::regex_replace(drawing.contents(), std::regex("dh[0-9]+"), "");
    with_colors.insert(plain);
    if (s < kSeriesColors) looks.insert(std::regex_replace(plain, std::regex("s[0-9]"), ""));
  }
  EXPECT_EQ(looks.size(), static_cast<size_t>(kSeriesColors));
  EXPECT_EQ(with_colors.size(), 24u);
}

TEST(Histogram, OutlineStepsAtTheEdges) {
  HistogramPlot plot{{"t", "d"}, {"x"}, {"y"}, {0, 1, 4}, {{"", {2, 1}}}};
  const auto places = places_of(attribute(read_markup(to_svg(plot, 400, "h")), "curve", "d"));
  ASSERT_EQ(places.size(), 6u);
  const double width = places[5].first - places[0].first;
  EXPECT_NEAR(places[2].first - places[0].first, width / 4, 0.11);
  EXPECT_NEAR(places[0].second - places[1].second, 2 * (places[0].second - places[3].second), 0.2);
  EXPECT_THAT(data_of(plot).to_markdown(), HasSubstr("| 1.000 to 4.000 | 1.000 |"));
}

TEST(Strips, OneMarkForEachKnownValue) {
  const StripPlot plot = testing::sample_strips();
  const std::vector<Element> elements = read_markup(to_svg(plot, 720, "p"));
  EXPECT_EQ(count_of(elements, "path", "mark"), 2u + 2 * 2 * 30 - 1);
  EXPECT_EQ(data_of(plot).rows(), 60u);
}

TEST(Labels, StayInsideAndApart) {
  std::vector<Place> points;
  std::vector<std::string> labels;
  for (int i = 0; i < 6; ++i) {
    points.push_back({60.0 + 55 * i, 60.0 + 9 * (i % 3)});
    labels.push_back("label " + std::to_string(i));
  }
  const Box area{0, 0, 400, 200};
  std::vector<Box> boxes;
  for (const PlacedLabel& label : place_labels(points, labels, area)) {
    const double width = text_width(label.text);
    const double left = label.at.x - (label.anchor == Anchor::kEnd      ? width
                                      : label.anchor == Anchor::kMiddle ? width / 2
                                                                        : 0);
    const Box box{left, label.at.y - 10, left + width, label.at.y};
    EXPECT_GE(box.left, area.left);
    EXPECT_LE(box.right, area.right);
    for (const Box& other : boxes) {
      EXPECT_FALSE(box.left < other.right && other.left < box.right && box.top < other.bottom &&
                   other.top < box.bottom);
    }
    boxes.push_back(box);
  }
}

// Advances of DejaVu Sans, the broadest of the usual faces, in em.
TEST(TextWidth, IsEnoughForABroadFace) {
  EXPECT_GE(text_width("nosep>nosep>nosep"), kTextSize * (3 * (0.634 + 0.612 + 0.521 + 0.615 + 0.635) + 2 * 0.838));
  EXPECT_GE(text_width("mmww"), kTextSize * (2 * 0.974 + 2 * 0.818));
}

TEST(Pixels, AtMostOneDecimal) {
  EXPECT_THAT((std::vector<std::string>{pixels(12), pixels(12.34), pixels(-0.01), pixels(-3.06)}),
              ElementsAre("12", "12.3", "0", "-3.1"));
}

}  // namespace
}  // namespace bitloom
