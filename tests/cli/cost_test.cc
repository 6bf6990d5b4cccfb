// What formats cost in hardware, and quality against it.

#include <gtest/gtest.h>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;

// The page on floating-point formats, 6.5: E4M3 at n = 4608 has products of 37 bits, sums of 49, and builds 50.
TEST(Cost, WidthsPartsAndBytes) {
  const json record = run_json({"cost", "--weights", "e4m3", "--acts", "e4m3", "--dot", "4608"});
  EXPECT_EQ(record.at("product_bits"), 37);
  EXPECT_EQ(record.at("exact_sum_bits"), 49);
  EXPECT_EQ(record.at("published_sum_bits"), 50);
  EXPECT_EQ(record.at("word"), "int64");
  EXPECT_FALSE(record.at("fp32_sums_exact"));
  EXPECT_EQ(record.at("bytes").at("weights"), 4608);
  const json& gates = record.at("gates").at("parts");
  EXPECT_EQ(gates.at("multiplier"), 6 * 4 * 4);
  EXPECT_EQ(gates.at("accumulator"), 5 * 49);
  EXPECT_NEAR(record.at("luts").at("misfit_rms").get<double>(), 0.073, 0.001);
}

// 7.6: 1.53 and 2.83 times an INT8 unit.
TEST(Cost, FloatingSumsAreThoseOfTheWhitepaper) {
  for (const auto& [sums, factor] : {std::pair("fp16", 1.53), {"fp32", 2.83}}) {
    const json record = run_json({"cost", "--weights", "e4m3", "--acts", "e4m3", "--acc", sums});
    EXPECT_NEAR(record.at("gates").at("relative_to_int8").get<double>(), factor, 1e-4);
  }
}

TEST(Cost, SaysWhoseFitItIs) {
  const std::string text = run_bitloom({"cost", "--weights", "int4-g128", "--acts", "int8-token", "--figures"}).out;
  EXPECT_NE(text.find("LUTs: our fit to 11 published figures, off by 7.3 %"), std::string::npos) << text;
  EXPECT_NE(text.find("exact sums    19 bits (int32) of 128 products"), std::string::npos) << text;
  EXPECT_NE(text.find("not fitted"), std::string::npos);
}

TEST(Pareto, OfAComparison) {
  const TempDir dir;
  std::vector<std::string> words = {"compare"};
  for (const char* name : {"int4-g32", "int4-g32@int8-token", "int2-g32"}) {
    EXPECT_EQ(run_bitloom({"quantize", "assets/demo", dir.file(name), "--recipe", name}).code, 0);
    words.push_back(dir.file(name));
  }
  for (const char* word : {"--ref", "assets/demo", "--text", "assets/demo/evaluation.txt", "--windows", "3", "-c", "64",
                           "--speed", "0", "--json"})
    words.emplace_back(word);
  words.push_back(dir.file("compare.json"));
  ASSERT_EQ(run_bitloom(words).code, 0);

  const json bytes = run_json({"pareto", dir.file("compare.json"), "--html", dir.file("front.html")});
  ASSERT_EQ(bytes.at("points").size(), 3u);
  EXPECT_EQ(bytes.at("points").at(0).at("model"), "int2-g32");
  for (const json& point : bytes.at("points")) {
    const std::string name = point.at("model");
    EXPECT_EQ(point.at("cost"), read_bytes(dir.file(name) + "/model.safetensors").size()) << name;
  }
  // Of the two that take the same the one of less KL stands.
  const json &one = bytes.at("points").at(1), &other = bytes.at("points").at(2);
  EXPECT_EQ(one.at("front"), one.at("quality") < other.at("quality"));
  EXPECT_EQ(other.at("front"), other.at("quality") < one.at("quality"));
  EXPECT_EQ(bytes.at("left_out").at(0).at("reason"), "no figure \"kl_mean\"");
  const std::string page = read_bytes(dir.file("front.html"));
  EXPECT_NE(page.find("class=\"front\""), std::string::npos);
  EXPECT_NE(page.find("int2-g32"), std::string::npos);

  // Units: two bits with bf16 cost more than four with int8. By hand, 32 products of 4 x 8 bits: 6 * 32 + 5 * 17.
  const json gates = run_json({"pareto", dir.file("compare.json"), "--cost", "gates"});
  EXPECT_EQ(gates.at("points").at(0).at("model"), "int4-g32@int8-token");
  EXPECT_EQ(gates.at("points").at(0).at("activations"), "int8-token");
  EXPECT_EQ(gates.at("points").at(0).at("cost"), 192 + 85);
  for (const json& point : gates.at("points")) EXPECT_FALSE(point.at("front") && point.at("model") == "int2-g32");
}

TEST(Pareto, NamesOfSeveralFilesAreToldApartAndHarmless) {
  const TempDir dir;
  const char* models =
      R"({"models": [{"name": "a", "bytes": 1, "ppl": 9},
                     {"name": "\u001b[2J", "bytes": 2, "ppl": 8, "activations": "\u001b[0m"},
                     {"name": "\u001b[1m", "bytes": 2}]})";
  for (const char* name : {"x.json", "y.json"}) write_bytes(dir.file(name), models);
  const std::vector<std::string> words = {"pareto", dir.file("x.json"), dir.file("y.json"), "--quality", "ppl"};
  const json record = run_json(words);
  std::vector<std::string> names;
  for (const json& point : record.at("points")) names.push_back(point.at("model"));
  EXPECT_EQ(names, (std::vector<std::string>{"a", "y a", "\x1b[2J", "y \x1b[2J"}));
  const Outcome outcome = run_bitloom(words);
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("\\x1b[2J"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("left out: \\x1b[1m"), std::string::npos) << outcome.out;
}

TEST(Pareto, WhatIsNoResultIsRefused) {
  const TempDir dir;
  write_bytes(dir.file("a.json"), "{\"kl_mean\": 1}");
  expect_error(run_bitloom({"pareto", dir.file("a.json")}), 3, {"a.json: neither a record of"});
  write_bytes(dir.file("b.json"), R"({"models": [{"name": "a", "kl_mean": 1}]})");
  expect_error(run_bitloom({"pareto", dir.file("b.json")}), 3, {"no model of", "b.json", "no figure \"bytes\""});
  expect_error(run_bitloom({"pareto", dir.file("none.json")}), 3, {"none.json"});
}

}  // namespace
}  // namespace bitloom::testing
