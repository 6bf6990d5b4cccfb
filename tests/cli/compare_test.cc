// Many models against one reference: the same figures as `eval kl` and `eval ppl` give one by one.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/test_data.h"
#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr const char* kText = "assets/demo/evaluation.txt";

/// The demo model at four and at two bits.
struct Models {
  Models() {
    for (const char* name : {"int4-g32", "int2-g32"})
      EXPECT_EQ(run_bitloom({"quantize", "assets/demo", dir.file(name), "--recipe", name}).code, 0);
  }
  TempDir dir;
  std::string four = dir.file("int4-g32"), two = dir.file("int2-g32");
};

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

const Words kShort = {"--text", kText, "--windows", "3", "-c", "64"};

// Of the demo's tokenizer every such character is several tokens.
TEST(Compare, PassagesOfThePageShowWholeCharacters) {
  const Models models;
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += "Once upon a time \u4E2D\u6587\u5B57 and \U0001F600\U0001F43B \u043B\u0435\u0441. ";
  write_file(dir.file("text.txt"), text);
  const Outcome out = run_bitloom({"compare", models.four, "--ref", "assets/demo", "--text", dir.file("text.txt"), "-c",
                                   "64", "--windows", "3", "--html", dir.file("page.html")});
  ASSERT_EQ(out.code, 0) << out.err;
  const std::string page = run_shell("cat " + dir.file("page.html")).out;
  EXPECT_NE(page.find(">\U0001F600</span>"), page.npos);
  EXPECT_EQ(page.find("\uFFFD</span>"), page.npos);
}

TEST(Compare, FiguresAreThoseOfTheOtherVerbs) {
  const Models models;
  const auto all = run_json(Words{"compare", models.four, models.two, "--ref", "assets/demo"} + kShort);
  ASSERT_EQ(all.at("models").size(), 3u);
  EXPECT_EQ(all.at("models")[0].at("name"), "demo");
  EXPECT_FALSE(all.at("models")[0].contains("kl_mean"));
  for (const auto& [path, row] : {std::pair(models.four, all.at("models")[1]), {models.two, all.at("models")[2]}}) {
    const auto kl = run_json(Words{"eval", "kl", path, "--ref", "assets/demo"} + kShort);
    for (const char* key : {"kl_mean", "kl_ci95", "kl_p999", "kl_max", "top1", "nll"})
      EXPECT_EQ(row.at(key), kl.at(key)) << key;
    EXPECT_EQ(row.at("ppl"), run_json(Words{"eval", "ppl", path} + kShort).at("ppl"));
    EXPECT_EQ(all.at("models")[0].at("ppl"), kl.at("ppl_ref"));
    EXPECT_EQ(row.at("worst").size(), 5u);
    EXPECT_GT(row.at("worst")[0].at("kl_mean"), row.at("kl_mean"));
    EXPECT_GT(row.at("tokens_per_second"), 0);
    EXPECT_EQ(row.at("kl_by_position").front().at("first"), 1);
    EXPECT_EQ(row.at("kl_by_position").back().at("last"), 63);
  }
  EXPECT_EQ(all.at("models")[1].at("format"), "int4-g32");
  EXPECT_EQ(all.at("models")[1].at("bits_true"), 4.5);
  EXPECT_LT(all.at("models")[1].at("kl_mean"), all.at("models")[2].at("kl_mean"));
}

TEST(Compare, AModelAgainstItselfIsAtZero) {
  const auto out = run_json(Words{"compare", "assets/demo", "--ref", "assets/demo", "--speed", "0"} + kShort);
  EXPECT_EQ(out.at("models")[1].at("kl_max"), 0);
  EXPECT_EQ(out.at("models")[1].at("top1"), 1);
}

TEST(Compare, TableAndPageAndRecordTellTheSame) {
  const Models models;
  const Outcome out = run_bitloom(Words{"compare", models.four, models.two, "--ref", "assets/demo", "--html",
                                        models.dir.file("page.html"), "--json", models.dir.file("out.json")} +
                                  kShort);
  ASSERT_EQ(out.code, 0) << out.err;
  const auto record = nlohmann::json::parse(read_bytes(models.dir.file("out.json")));
  const std::string page = read_bytes(models.dir.file("page.html"));
  for (const char* part : {"int4-g32", "int2-g32", "same top-1", "KL to original", "99.9 %", "64, bos auto"})
    EXPECT_NE(out.out.find(part), std::string::npos) << part << "\n" << out.out;
  for (const char* part : {"What the bytes buy", "MiB of the whole model", "KL by place in the window",
                           "Error of the weights", "Worst passages"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(record.at("models").size(), 3u);
  EXPECT_LT(page.size(), 1000000u);
}

TEST(Compare, TasksArePairedWithTheReferenceItemByItem) {
  const Models models;
  const Words tasks = {"--tasks", "story_endings", "--limit", "20"};
  const auto out = run_json(Words{"compare", models.two, "--ref", "assets/demo", "--arithmetic", "1", "--speed", "0"} +
                            tasks + kShort);
  const auto &original = out.at("models")[0].at("tasks"), &ours = out.at("models")[1].at("tasks");
  ASSERT_EQ(ours.size(), 4u);
  EXPECT_EQ(ours[3].at("task"), "addition 1");
  EXPECT_EQ(ours[3].at("items"), 20);
  const auto alone = run_json(Words{"eval", "tasks", models.two} + tasks).at("tasks")[0];
  EXPECT_EQ(alone.at("task"), "story_endings");
  for (size_t i = 0; i < 3; ++i) {
    const auto& skill = ours[i];
    EXPECT_EQ(skill.at("value"), alone.at("metrics").at(skill.at("metric").get<std::string>()).at("value"));
    EXPECT_FALSE(original[i].contains("p_value"));
    // Of the same 20 items, lost and won are what the difference is made of.
    const double difference = skill.at("value").get<double>() - original[i].at("value").get<double>();
    EXPECT_NEAR(skill.at("difference").get<double>(), difference, 1e-12);
    EXPECT_NEAR((skill.at("won").get<double>() - skill.at("lost").get<double>()) / 20, difference, 1e-12);
  }
}

TEST(Compare, ASavedReferenceStandsForTheModel) {
  const Models models;
  const std::string file = models.dir.file("demo.ref");
  const auto direct = run_json(Words{"compare", models.four, "--ref", "assets/demo"} + kShort).at("models")[1];
  ASSERT_EQ(run_bitloom(Words{"eval", "kl", "assets/demo", "--save-ref", file, "--ref-size", "200K"} + kShort).code, 0);
  EXPECT_LE(fs::file_size(file), 200u * 1024);
  const auto row = run_json(Words{"compare", models.four, "--ref", file} + kShort).at("models")[0];
  EXPECT_EQ(row.at("top1"), direct.at("top1"));
  const double bound = row.at("kl_sketch_bound").get<double>(), mean = direct.at("kl_mean").get<double>();
  EXPECT_NEAR(row.at("kl_mean").get<double>(), mean, bound);
  EXPECT_LT(bound, 0.1 * mean);
  EXPECT_LE(row.at("kl_certain").get<double>(), mean);
}

TEST(Compare, ReferencesOfOtherTextsAndTokenizersAreRefused) {
  const TempDir dir;
  const std::string file = dir.file("demo.ref");
  ASSERT_EQ(run_bitloom(Words{"eval", "kl", "assets/demo", "--save-ref", file, "--ref-size", "200K"} + kShort).code, 0);
  write_bytes(dir.file("other.txt"), std::string(4000, 'a') + " other text");
  expect_error(run_bitloom({"compare", "assets/demo", "--ref", file, "--text", dir.file("other.txt"), "-c", "64"}), 3,
               {file, "made with text", "asked for with"});
  expect_error(run_bitloom({"compare", "assets/demo", "--ref", file, "--text", kText, "-c", "32"}), 3,
               {file, "made on other windows", "context 64", "context 32"});
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  expect_error(run_bitloom(Words{"compare", shared_path("models/stories260K"), "--ref", file} + kShort), 3,
               {file, "made with tokenizer", "asked for with"});
}

TEST(Compare, OtherTokenizersAreRefusedAndComparedByTheByte) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  const std::string other = shared_path("models/stories260K");
  expect_error(run_bitloom(Words{"compare", other, "--ref", "assets/demo"} + kShort), 3,
               {other, "vocabulary of 512", "assets/demo has 4096", "--per-byte"});
  const TempDir dir;
  write_bytes(dir.file("text"), read_bytes(kText).substr(0, 2000));
  const Words words = {"--text", dir.file("text"), "-c", "64"};
  const auto out = run_json(Words{"compare", "assets/demo", other, "--per-byte"} + words);
  ASSERT_EQ(out.at("models").size(), 2u);
  for (const auto& row : out.at("models")) {
    const auto alone =
        run_json(Words{"eval", "ppl", row.at("model").get<std::string>(), "--protocol", "rolling"} + words);
    EXPECT_EQ(row.at("bits_per_byte"), alone.at("bits_per_byte"));
    EXPECT_FALSE(row.contains("kl_mean"));
  }
}

TEST(Compare, ATextShorterThanAWindowIsRefused) {
  const TempDir dir;
  write_bytes(dir.file("text"), "Once upon a time");
  expect_error(run_bitloom({"compare", "assets/demo", "--ref", "assets/demo", "--text", dir.file("text"), "-c", "64"}),
               3, {"fewer than one window of 64"});
}

TEST(Compare, APageThatCannotBeWrittenIsToldBeforeTheWork) {
  expect_error(
      run_bitloom(Words{"compare", "assets/demo", "--ref", "assets/demo", "--html", "/proc/no/page.html"} + kShort), 1,
      {"/proc/no/page.html", "cannot write the page"});
}

}  // namespace
}  // namespace bitloom::testing
