#include "suite/tables/tables.h"

#include <gmock/gmock.h>

#include "suite/tables/values.h"
#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json kl_record(double kl, double low, double high, double ppl) {
  return {{"kl_mean", kl}, {"kl_ci95", {low, high}}, {"ppl", ppl}, {"tokens", 510}, {"seconds", 3.5}};
}

/// The small suite's eight cells with results.
class Tables : public ::testing::Test {
 protected:
  Tables() : suite_(small_suite()), plan_(plan_of(suite_)), cells_(plan_.cells.size()) {
    for (size_t i = 0; i < plan_.cells.size(); ++i) plan_.cells[i].key = "key" + std::to_string(i);
    set(0, {{"saved", "cell:demo/original/reference"}});
    set(1, {{"ppl", 19.4}, {"seconds", 1.5}});
    set(2, {{"bits_true", 8.07}, {"times", {{"rounding", 2}}}});
    set(3, kl_record(0.00034, 0.00032, 0.00036, 19.43));
    set(4, {{"ppl", 19.43}});
    set(5, {{"bits_true", 4.5}});
    set(6, kl_record(0.0654, 0.0634, 0.0674, 20.2));
    set(7, {{"ppl", 20.2}});
  }

  void set(size_t cell, Json record) {
    cells_[cell].result = CellResult{std::move(record), 2.0 + static_cast<double>(cell)};
  }
  SuiteOutcome outcome() const { return {suite_, plan_, cells_}; }

  Suite suite_;
  Plan plan_;
  std::vector<CellOutcome> cells_;
};

TEST_F(Tables, OneLinePerRecipe) {
  const std::vector<RenderedTable> tables = render_tables(outcome());
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_EQ(tables[0].markdown,
            "On assets/demo/evaluation.txt, 510 tokens.\n\n"
            "| recipe | bits | KL | perplexity |\n"
            "|---|--:|--:|--:|\n"
            "| original | - | - | 19.40 |\n"
            "| int8-row | 8.07 | 0.000340 ± 0.000020 | 19.43 |\n"
            "| four | 4.50 | 0.065 ± 0.002 | 20.20 |\n");
  EXPECT_EQ(tables[0].missing + tables[0].failed, 0u);
}

// Worked by hand: the differences are .1, .1, .1, .3 with mean .15 and standard error .05; t of 3 degrees is 3.182.
TEST_F(Tables, PairsAreComparedWindowByWindow) {
  suite_ = parse_suite(
      std::string(kSmallSuite) + "pairs: {value: kl.kl_windows, bits: quantize.bits_true, of: [[four, int8-row]]}\n",
      "suites/small.yaml");
  const auto set_windows = [&](size_t cell, std::vector<double> windows) {
    Json record = kl_record(0.1, 0, 1, 20);
    record["kl_windows"] = std::move(windows);
    set(cell, record);
  };
  set_windows(3, {.1, .2, .3, .4});
  set_windows(6, {.2, .3, .4, .7});
  const std::vector<RenderedTable> tables = render_tables(outcome());
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[1].name, "pairs");
  EXPECT_THAT(tables[1].markdown, HasSubstr("| four (4.50) | int8-row (8.07) | 0.15 ± 0.16 | no difference shown |"));
  set_windows(6, {.2, .3, .4, .5});
  EXPECT_THAT(render_tables(outcome())[1].markdown, HasSubstr("| more |"));
  set_windows(6, {.05, .16, .24, .36});
  EXPECT_THAT(render_tables(outcome())[1].markdown, HasSubstr("| less |"));
  set_windows(6, {.05, .16, .24});
  EXPECT_THAT(refusal([&] { render_tables(outcome()); }), HasSubstr("has 3 values of 'four' and 4 of 'int8-row'"));
  cells_[6] = {};
  EXPECT_EQ(render_tables(outcome())[1].missing, 1u);
}

// A column goes on to its next source only where the recipe skips the first, never because it failed.
TEST_F(Tables, WhatIsNotThereIsShown) {
  cells_[6] = {std::nullopt, "out of memory"};
  cells_[2] = {};
  const RenderedTable table = render_tables(outcome())[0];
  EXPECT_THAT(table.markdown, HasSubstr("| int8-row | ... | 0.000340 ± 0.000020 | 19.43 |"));
  EXPECT_THAT(table.markdown, HasSubstr("| four | 4.50 | failed | failed |"));
  EXPECT_EQ(table.missing, 1u);
  EXPECT_EQ(table.failed, 2u);
}

TEST_F(Tables, RowsCanBeChosen) {
  suite_.tables[0].rows = {"f*", "original"};
  suite_.tables[0].columns[0].text = "`{steps}` of {model}";
  const std::string markdown = render_tables(outcome())[0].markdown;
  EXPECT_THAT(markdown, HasSubstr("| `int4-g32` of demo | 4.50 |"));
  EXPECT_THAT(markdown, HasSubstr("| `original` of demo |"));
  EXPECT_EQ(markdown.find("int8-row"), std::string::npos);
}

TEST_F(Tables, JsonHoldsNoTimes) {
  const Json results = results_json(outcome());
  EXPECT_EQ(results.at("suite"), "small");
  EXPECT_EQ(results.at("files").at("text"), "assets/demo/evaluation.txt");
  const Json& rows = results.at("rows");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].at("results").at("kl").at("kl_mean"), 0.00034);
  EXPECT_FALSE(rows[1].at("results").at("kl").contains("seconds"));
  EXPECT_FALSE(rows[1].at("results").at("quantize").contains("times"));
  EXPECT_EQ(results.at("tables")[0].at("rows")[0], Json::parse(R"(["original", null, null, 19.4])"));

  const Json times = times_json(outcome());
  EXPECT_EQ(times.at("cells").at("demo/int8-row/kl").at("seconds"), 5);
  EXPECT_EQ(times.at("cells").at("demo/int8-row/kl").at("result"), Json::parse(R"({"seconds": 3.5})"));
  EXPECT_EQ(times.at("cells").at("demo/int8-row/quantize").at("result"), Json::parse(R"({"times": {"rounding": 2}})"));
}

TEST_F(Tables, ColumnsAreCheckedAgainstResults) {
  check_columns(suite_, plan_.cells[6], cells_[6].result->record);
  suite_.tables[0].columns[2].values = {"kl.kl_meen"};
  EXPECT_THAT(
      refusal([&] { check_columns(suite_, plan_.cells[6], cells_[6].result->record); }),
      HasSubstr("suites/small.yaml:18:9: column 'KL': the result of 'kl' has no 'kl_meen' (did you mean 'kl_mean'?)"));
  suite_.tables[0].columns[2].values = {"kl.kl_mean"};
  suite_.tables[0].columns[2].interval = "kl.tokens";
  EXPECT_THAT(refusal([&] { check_columns(suite_, plan_.cells[6], cells_[6].result->record); }),
              HasSubstr("column 'KL': an interval must be [low, high], found 510"));
  suite_.tables[0].columns[2].interval = "";
  suite_.tables[0].columns[2].values = {"kl.kl_ci95"};
  suite_.tables[0].columns[2].as = "bits";
  EXPECT_THAT(refusal([&] { check_columns(suite_, plan_.cells[6], cells_[6].result->record); }),
              HasSubstr("[0.0634,0.0674] is no number, which 'bits' needs"));
}

TEST(Values, PathsIntoRecords) {
  const Json record = Json::parse(R"({"a": {"b": [1, {"c": "x"}]}, "n": null})");
  EXPECT_EQ(*find_value(record, "a.b.0"), 1);
  EXPECT_EQ(*find_value(record, "a.b.1.c"), "x");
  EXPECT_EQ(find_value(record, "a.b.2"), nullptr);
  EXPECT_EQ(find_value(record, "a.c"), nullptr);
  EXPECT_EQ(find_value(record, "n.x"), nullptr);
  EXPECT_EQ(parse_value_path("kl.a.b").evaluation, "kl");
  EXPECT_EQ(parse_value_path("kl.a.b").key, "a.b");
  for (const std::string bad : {"kl", ".x", "kl."}) EXPECT_THROW(parse_value_path(bad), Error) << bad;
}

TEST(Values, TextIsReplacedAtAnyDepth) {
  const Json record = Json::parse(R"({"a": ["x/y x/y", 1], "b": {"c": "z"}})");
  EXPECT_EQ(with_text_replaced(record, "x/y", "w"), Json::parse(R"({"a": ["w w", 1], "b": {"c": "z"}})"));
}

TEST(Values, AsTablesWriteThem) {
  EXPECT_EQ(format_value(0.633, "percent"), "63.3 %");
  EXPECT_EQ(format_value(4.5, "bits"), "4.50");
  EXPECT_EQ(format_value(6291456, "mib"), "6.00");
  EXPECT_EQ(format_value(510, "text"), "510");
  EXPECT_EQ(format_value(0.123456, "text"), "0.1235");
  EXPECT_EQ(format_value("gptq", "text"), "gptq");
  EXPECT_EQ(format_value(true, "text"), "true");
  EXPECT_EQ(format_value(nullptr, "bits"), "-");
  EXPECT_EQ(format_value(0.5, Json::parse("[0.4, 0.6]"), "text"), "0.50 ± 0.10");
  EXPECT_THROW(format_value(0.5, Json::parse("[0.4]"), "text"), Error);
}

TEST(Values, TimesAreToldByTheirNames) {
  for (const std::string key : {"seconds", "prompt_seconds", "tokens_per_second", "times", "read_bandwidth"})
    EXPECT_TRUE(is_time(key)) << key;
  for (const std::string key : {"second_moment", "tokens", "kl_mean", "sometimes"}) EXPECT_FALSE(is_time(key)) << key;
  const Json record = Json::parse(R"({"a": [{"seconds": 1, "x": 2}], "seconds": 3, "b": {"y": 4}})");
  EXPECT_EQ(without_times(record), Json::parse(R"({"a": [{"x": 2}], "b": {"y": 4}})"));
  EXPECT_EQ(times_of(record), Json::parse(R"({"a": {"0": {"seconds": 1}}, "seconds": 3})"));
  EXPECT_TRUE(times_of(Json::parse(R"({"x": 1})")).is_null());
}

}  // namespace
}  // namespace bitloom::testing
