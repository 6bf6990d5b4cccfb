#include "suite/tables/plots.h"

#include <gmock/gmock.h>

#include "suite/check_suite.h"
#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kPlot = R"(plots:
  - name: small
    title: KL over bits
    text: What each recipe loses.
    groups: {rows of eight bits: ["int8*"]}
    x: {title: bits, value: quantize.bits_true}
    y: {title: KL, value: kl.kl_mean, interval: kl.kl_ci95, logarithmic: true}
)";

std::string with_plot(const std::string& plot = kPlot) { return kSmallSuite + plot; }
Suite read(const std::string& text) { return parse_suite(text, "suites/small.yaml"); }

class Plots : public ::testing::Test {
 protected:
  Plots() : suite_(read(with_plot())), plan_(plan_of(suite_)), cells_(plan_.cells.size()) {
    set("int8-row", 8.07, 0.00034);
    set("four", 4.5, 0.0654);
  }
  void set(const std::string& recipe, double bits, const Json& kl) {
    for (const PlanRow& row : plan_.rows) {
      if (row.recipe.name != recipe) continue;
      cells_[row.cells.at("quantize")].result = CellResult{{{"bits_true", bits}}, 1};
      cells_[row.cells.at("kl")].result = CellResult{{{"kl_mean", kl}, {"kl_ci95", {0.0003, 0.07}}}, 1};
    }
  }
  std::vector<RenderedPlot> plots() const { return render_plots({suite_, plan_, cells_}); }

  Suite suite_;
  Plan plan_;
  std::vector<CellOutcome> cells_;
};

TEST_F(Plots, APointForEachRecipeThatHasBothValues) {
  ASSERT_EQ(plots().size(), 1U);
  const ScatterPlot plot = plots()[0].plot;
  EXPECT_EQ(plots()[0].name, "small");
  EXPECT_EQ(plot.caption.title, "KL over bits");
  EXPECT_THAT(plot.groups, ElementsAre("rows of eight bits", "other"));
  ASSERT_EQ(plot.points.size(), 2U);  // the model as it is was not quantized
  EXPECT_EQ(plot.points[0].label, "int8-row");
  EXPECT_EQ(plot.points[0].group, 0);
  EXPECT_EQ(plot.points[1].group, 1);
  EXPECT_EQ(plot.points[1].x, 4.5);
  EXPECT_EQ(plot.points[1].y.value, 0.0654);
  EXPECT_EQ(plot.points[1].y.high, 0.07);
  EXPECT_TRUE(plot.y.logarithmic);
  EXPECT_FALSE(plot.x.logarithmic);
}

TEST_F(Plots, AxesMayHaveAUnit) {
  suite_.plots[0].y.unit = 0.01;
  const ScatterPlot plot = plots()[0].plot;
  EXPECT_DOUBLE_EQ(plot.points[1].y.value, 6.54);
  EXPECT_DOUBLE_EQ(plot.points[1].y.high, 7);
  EXPECT_EQ(plot.points[1].x, 4.5);
}

TEST_F(Plots, AFileThatStandsAlone) {
  const std::string svg = svg_file(plots()[0].plot, 700);
  EXPECT_THAT(svg, HasSubstr("--s0"));
  EXPECT_THAT(svg, HasSubstr("xmlns=\"http://www.w3.org/2000/svg\""));
}

TEST_F(Plots, AValueThatIsNoNumberIsRefused) {
  set("four", 4.5, "much");
  EXPECT_THAT(refusal([&] { plots(); }), HasSubstr("'kl.kl_mean' is no number: \"much\""));
}

TEST(ParsePlots, RefusesWhatMeansNothing) {
  const auto refused = [](const std::string& from, const std::string& to) {
    return refusal([&] { check_suite(read(with_plot(edited(kPlot, from, to)))); });
  };
  EXPECT_THAT(refused("quantize.bits_true", "quantise.bits"), HasSubstr("there is no evaluation 'quantise'"));
  EXPECT_THAT(refused("int8*", "int9*"), HasSubstr("'groups' names 'int9*', which is no recipe"));
  EXPECT_THAT(refused("name: small", "name: ../small"), HasSubstr("is no name of a plot"));
  EXPECT_THAT(refused("logarithmic: true", "logarithmic: yes"), HasSubstr("allowed: true, false"));
  EXPECT_THAT(refused("    x: {title: bits, value: quantize.bits_true}\n", ""), HasSubstr("lacks the key 'x'"));
  EXPECT_THAT(refused("plots:", "pairs: {value: kl.kl_windows, of: [[four, five]]}\nplots:"),
              HasSubstr("'pairs' names 'five', which is no recipe"));
  EXPECT_THAT(refused("plots:", "pairs: {value: kl.kl_windows, of: [[four]]}\nplots:"),
              HasSubstr("each of 'of' is two recipes, found 1"));
  EXPECT_THAT(refused("text: What each", "words: What each"), HasSubstr("unknown key 'words'"));
}

}  // namespace
}  // namespace bitloom::testing
