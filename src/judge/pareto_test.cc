#include "judge/pareto.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "base/error.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Of `compare --json`: four models and the original, which has no KL.
Json comparison() {
  const auto model = [](const char* name, const char* format, int bytes, double kl) {
    return Json{
        {"name", name}, {"format", format}, {"bytes", bytes}, {"kl_mean", kl}, {"kl_ci95", {kl - 0.01, kl + 0.01}}};
  };
  Json w4a8 = model("w4a8", "int4-g128", 400, 0.3);
  w4a8["activations"] = "int8-token";
  return {{"models",
           {{{"name", "original"}, {"format", "BF16"}, {"bytes", 1600}},
            model("int4", "int4-g128", 400, 0.2),
            w4a8,
            model("e2m1", "e2m1-g128", 410, 0.35),
            model("nf4", "nf4-g64", 430, 0.1),
            model("mixed", "int4-g128 + 1 more", 500, 0.15)}}};
}

std::vector<std::string> front_of(const ParetoSet& set) {
  std::vector<std::string> names;
  for (const ParetoPoint& point : set.points)
    if (point.front) names.push_back(point.label);
  return names;
}

std::vector<std::string> labels_of(const ParetoSet& set) {
  std::vector<std::string> names;
  for (const ParetoPoint& point : set.points) names.push_back(point.label);
  return names;
}

TEST(Pareto, FrontOfBytes) {
  const ParetoSet set = pareto_set(read_result_rows(comparison(), "a.json"), quality_named("kl_mean", "x"), {});
  EXPECT_THAT(labels_of(set), ElementsAre("int4", "w4a8", "e2m1", "nf4", "mixed"));
  EXPECT_THAT(front_of(set), ElementsAre("int4", "nf4"));
  EXPECT_DOUBLE_EQ(set.points[0].quality.low, 0.19);
  ASSERT_EQ(set.left_out.size(), 1u);
  EXPECT_EQ(set.left_out[0].label, "original");
  EXPECT_EQ(set.left_out[0].reason, "no figure \"kl_mean\"");
}

// A unit of 4-bit integers with int8 is cheaper than one with bf16; sums are of 128 products, between scales. What no
// unit is modelled for is left out and named.
TEST(Pareto, FrontOfGates) {
  ParetoCost cost;
  cost.name = "gates";
  const ParetoSet set = pareto_set(read_result_rows(comparison(), "a.json"), quality_named("kl_mean", "x"), cost);
  EXPECT_THAT(labels_of(set), ElementsAre("w4a8", "e2m1", "int4"));
  EXPECT_THAT(front_of(set), ElementsAre("w4a8", "int4"));
  EXPECT_EQ(set.points[0].activations, "int8-token");
  EXPECT_EQ(set.points[1].activations, "bf16");
  // By hand: 6 * 4 * 8, and 5 for each bit of 8 * 128 * 128 = 2^17 of 18 bits, and a sign.
  EXPECT_DOUBLE_EQ(set.points[0].cost, 192 + 5 * 19);
  std::vector<std::string> reasons;
  for (const LeftOut& row : set.left_out) reasons.push_back(row.reason);
  EXPECT_THAT(reasons, ElementsAre("no figure \"kl_mean\"", HasSubstr("nf4 is a table of levels"),
                                   HasSubstr("weights of several storages: int4-g128 + 1 more")));
}

TEST(Pareto, ActivationsOfWeightOnlyModelsAreChosen) {
  ParetoCost cost;
  cost.name = "lut";
  cost.activations = "int8-token";
  const ParetoSet set = pareto_set(read_result_rows(comparison(), "a.json"), quality_named("kl_mean", "x"), cost);
  EXPECT_EQ(set.points[0].cost, set.points[1].cost);
  EXPECT_THAT(labels_of(set), ElementsAre("int4", "w4a8", "e2m1"));
  EXPECT_THAT(front_of(set), ElementsAre("int4"));
}

// Equal points are both on the front: neither is better in one.
TEST(Pareto, EqualPointsStandTogether) {
  const Json twins = {{"models",
                       {{{"name", "a"}, {"bytes", 1}, {"ppl", 9}},
                        {{"name", "b"}, {"bytes", 1}, {"ppl", 9}},
                        {{"name", "c"}, {"bytes", 2}, {"ppl", 9}}}}};
  const ParetoSet set = pareto_set(read_result_rows(twins, "a.json"), quality_named("ppl", "x"), {});
  EXPECT_THAT(front_of(set), ElementsAre("a", "b"));
}

// Of the points that cost the same those of the least quality stand, if no cheaper one is as good.
TEST(Pareto, FrontOfPointsThatCostTheSame) {
  Json models = Json::array();
  for (const auto& [name, bytes, ppl] : {std::tuple("a", 1, 9.0),
                                         {"b", 2, 9.0},
                                         {"c", 2, 9.5},
                                         {"d", 3, 8.0},
                                         {"e", 3, 7.0},
                                         {"f", 3, 7.0},
                                         {"g", 4, 7.5},
                                         {"h", 5, 6.0}})
    models.push_back({{"name", name}, {"bytes", bytes}, {"ppl", ppl}});
  const ParetoSet set = pareto_set(read_result_rows({{"models", models}}, "a.json"), quality_named("ppl", "x"), {});
  EXPECT_THAT(front_of(set), ElementsAre("a", "e", "f", "h"));
}

// NaN has no place in an order, and less than nothing would beat all.
TEST(Pareto, CostsThatAreNoneAreLeftOut) {
  const double inf = std::numeric_limits<double>::infinity();
  Json models = Json::array();
  for (const double bytes : {5.0, std::nan(""), -1.0, 0.0, inf, 3.0})
    models.push_back({{"name", fmt::format("{}", bytes)}, {"bytes", bytes}, {"ppl", 9}, {"ppl_ci95", {8, inf}}});
  const ParetoSet set = pareto_set(read_result_rows({{"models", models}}, "a.json"), quality_named("ppl", "x"), {});
  EXPECT_THAT(labels_of(set), ElementsAre("3", "5"));
  EXPECT_FALSE(std::isfinite(set.points[0].quality.low));
  ASSERT_EQ(set.left_out.size(), 4u);
  EXPECT_EQ(set.left_out[1].reason, "a cost of -1; it is a positive number");
}

TEST(Pareto, UnitsOfDenseModelsAndOfStaticActivations) {
  Json models = Json::array();
  for (const char* format : {"F16", "F8_E4M3", "F8_E5M2"})
    models.push_back({{"name", format}, {"format", format}, {"ppl", 9}, {"activations", "int8-tensor-at[...]"}});
  models.push_back({{"name", "two"}, {"format", "F16"}, {"ppl", 9}, {"activations", "int8-token + 1 more"}});
  ParetoCost cost;
  cost.name = "gates";
  const ParetoSet set = pareto_set(read_result_rows({{"models", models}}, "a.json"), quality_named("ppl", "x"), cost);
  EXPECT_EQ(set.points.size(), 3u);
  ASSERT_EQ(set.left_out.size(), 1u);
  EXPECT_EQ(set.left_out[0].reason, "activations of several formats: int8-token + 1 more");
}

/// A suite of three recipes. The second's matrices lie half in int4, half in int8, of 100 and 300 weights; beside its
/// own results stand those of the model it was made from. The third failed.
Json suite() {
  const auto tensor = [](const char* storage, int rows) {
    return Json{{"name", "m"}, {"storage", storage}, {"shape", {rows, 10}}};
  };
  const Json a8 = {{"steps", {{{"activations", "int8-token"}}}}};
  const Json info = {{"model", "models/m"}, {"bytes", 990}, {"file_bytes", 1000}};
  const Json ppl = {{"model", "models/m"}, {"ppl", 9.0}, {"ppl_ci95", {8.0, 10.0}}};
  return {{"suite", "s"},
          {"rows",
           {{{"model", "m"},
             {"recipe", "original"},
             {"format", ""},
             {"results", {{"info", info}, {"kl", {{"kl_mean", 0.0}}}, {"ppl", ppl}}}},
            {{"model", "m"},
             {"recipe", "gptq"},
             {"format", "int4-row"},
             {"results",
              {{"info", info},
               {"kl", {{"model", "out"}, {"kl_mean", 0.1}, {"kl_ci95", {0.05, 0.15}}, {"ppl", 9.5}}},
               {"more", nullptr},
               {"ppl", ppl},
               {"quantize",
                {{"model", "models/m"},
                 {"bytes", 77},
                 {"recipe", a8},
                 {"tensors", Json::array({tensor("int4-row", 10), tensor("int8-row", 30)})}}}}}},
            {{"model", "m"},
             {"recipe", "hqq"},
             {"format", ""},
             {"results", {{"info", info}, {"ppl", ppl}, {"quantize", nullptr}}}}}}};
}

TEST(Pareto, RowsOfASuite) {
  const std::vector<ResultRow> rows = read_result_rows(suite(), "results.json");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].label, "gptq int4-row");
  EXPECT_EQ(rows[1].activations, "int8-token");
  ParetoCost cost;
  cost.name = "gates";
  cost.dot = 1;
  const ParetoSet set = pareto_set(rows, quality_named("kl_mean", "x"), cost);
  ASSERT_EQ(set.points.size(), 1u);
  EXPECT_EQ(set.left_out[0].reason, "its storage is not recorded");
  // 6 * 4 * 8 + 5 * 12 of a quarter (8 * 128 of 11 bits), 6 * 8 * 8 + 5 * 16 of three quarters (2^14 of 15 bits).
  EXPECT_DOUBLE_EQ(set.points[0].cost, 0.25 * (192 + 60) + 0.75 * (384 + 80));
  EXPECT_DOUBLE_EQ(set.points[0].quality.high, 0.15);
}

TEST(Pareto, FiguresOfASuiteAreThoseOfTheQuantizedModel) {
  const ParetoSet set = pareto_set(read_result_rows(suite(), "results.json"), quality_named("ppl", "x"), {});
  EXPECT_THAT(labels_of(set), ElementsAre("gptq int4-row", "original"));
  EXPECT_EQ(set.points[0].cost, 77);
  EXPECT_EQ(set.points[0].quality.value, 9.5);
  EXPECT_FALSE(std::isfinite(set.points[0].quality.low));
  EXPECT_EQ(set.points[1].cost, 1000);
  EXPECT_EQ(set.points[1].quality.high, 10);
  ASSERT_EQ(set.left_out.size(), 1u);
  EXPECT_EQ(set.left_out[0].label, "hqq");
}

TEST(Pareto, OtherRecordsAreRefused) {
  const auto message = [](const Json& record) -> std::string {
    try {
      read_result_rows(record, "x.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(Json::array()), HasSubstr("x.json: neither a record of 'bitloom compare --json'"));
  EXPECT_THAT(message({{"kl_mean", 1}}), HasSubstr("x.json: neither"));
  EXPECT_THAT(message({{"models", {1}}}), HasSubstr("x.json: its entries are not those"));
  EXPECT_THAT(message({{"models", {{{"name", "a"}, {"format", 4}}}}}), HasSubstr("x.json: its entries"));
  EXPECT_THAT(message({{"rows", {{{"model", "m"}}}}}), HasSubstr("x.json: its entries"));
}

TEST(Pareto, QualitiesAreThoseOfWhichLessIsBetter) {
  EXPECT_EQ(quality_named("ppl", "x").interval, "ppl_ci95");
  EXPECT_THROW(quality_named("top1", "x"), Error);
}

}  // namespace
}  // namespace bitloom
