#include "io/json.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "base/test_data.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;
using testing::TempDir;

std::string refusal(const std::string& text) {
  return message_of(ErrorKind::kRefused, [&] { parse_json(text, "f.json"); });
}

TEST(Json, ParsesEveryKindOfValue) {
  const std::string text = R"( {"a": [1, -2, 3.5, true, false, null, "x\u00e9\n"], "b": {"c": {}, "d": []}, "": 0,
                                "big": 18446744073709551615} )";
  EXPECT_EQ(parse_json(text, "f.json"), Json::parse(text));
  EXPECT_EQ(parse_json("17", "f.json"), Json(17));
  EXPECT_TRUE(parse_json("18446744073709551615", "f.json").is_number_unsigned());
}

TEST(Json, RefusesDuplicateKeysInTheSameObjectOnly) {
  EXPECT_EQ(refusal(R"({"a": 1, "b": {"x": 1}, "a": 2})"), R"(f.json: duplicate key "a" before byte 27)");
  EXPECT_EQ(refusal(R"([{"k": 1, "\u006b": 2}])"), R"(f.json: duplicate key "k" before byte 18)");
  EXPECT_NO_THROW(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "f.json"));
}

TEST(Json, RefusesDeepNesting) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(100), "f.json"));
  EXPECT_EQ(refusal(nested(101)), "f.json: nested deeper than 100 levels at byte 101");
  EXPECT_EQ(refusal(std::string(1'000'000, '[')), "f.json: nested deeper than 100 levels at byte 101");
  std::string objects;
  for (int i = 0; i < 101; ++i) objects += R"({"a":)";
  EXPECT_THAT(refusal(objects), HasSubstr("nested deeper than 100 levels"));
}

TEST(Json, BrokenTextNamesTheByte) {
  EXPECT_THAT(refusal(R"({"a": 1,, })"), StartsWith("f.json: not valid JSON at byte 9: parse error at line 1"));
  EXPECT_THAT(refusal(R"({"a": [1, 2)"), StartsWith("f.json: not valid JSON at byte 12: "));
  EXPECT_THAT(refusal(""), StartsWith("f.json: not valid JSON at byte 1: "));
  EXPECT_THAT(refusal("{} x"), StartsWith("f.json: not valid JSON at byte 4: "));
  EXPECT_THAT(refusal("[NaNs]"), StartsWith("f.json: not valid JSON at byte 2: "));
  EXPECT_THAT(refusal("[1NaN]"), StartsWith("f.json: not valid JSON at byte 3: "));
  EXPECT_THAT(refusal("[Infinity,, NaN]"), StartsWith("f.json: not valid JSON at byte 11: "));
  EXPECT_THAT(refusal("{NaN: 1}"), StartsWith("f.json: not valid JSON at byte "));
  EXPECT_THAT(refusal("[1e999]"), StartsWith("f.json: not valid JSON at byte "));
  EXPECT_THAT(refusal("\"\xff\""), HasSubstr("ill-formed UTF-8"));
}

TEST(Json, ReadsPythonsNumbersThatAreNotFinite) {
  const Json json =
      parse_json(R"({"a": [0.5, Infinity,-Infinity, 2.5], "N\"aN": "Infinity \\", "n": NaN, "z": 0e0})", "f");
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(json["a"], Json({0.5, infinity, -infinity, 2.5}));
  EXPECT_EQ(json["N\"aN"], "Infinity \\");
  EXPECT_TRUE(std::isnan(json["n"].get<double>()));
  EXPECT_EQ(json["z"], 0.0);
  EXPECT_EQ(parse_json("-Infinity", "f"), Json(-infinity));
}

TEST(Json, ReadsFiles) {
  const TempDir dir;
  testing::write_file(dir.file("x.json"), R"({"a": 1})");
  EXPECT_EQ(read_json(dir.file("x.json")).at("a"), 1);
  testing::write_file(dir.file("y.json"), "nope");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { read_json(dir.file("y.json")); }),
              StartsWith(dir.file("y.json") + ": not valid JSON at byte 2"));
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { read_json(dir.file("absent")); }),
            dir.file("absent") + ": cannot open: No such file or directory");
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { read_text(dir.path()); }),
            dir.path() + ": cannot read: Is a directory");
}

TEST(Json, RefusesHugeFilesBeforeReadingThem) {
  const TempDir dir;
  testing::write_file(dir.file("x.json"), "{}");
  ASSERT_EQ(::truncate(dir.file("x.json").c_str(), int64_t{1} << 40), 0);  // sparse
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { read_json(dir.file("x.json")); }),
            dir.file("x.json") + ": 1099511627776 bytes of JSON are more than the 536870912 that are read");
}

TEST(Json, ReadsWholeFilesOfAnySize) {
  const TempDir dir;
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += std::to_string(i);
  testing::write_file(dir.file("x"), content);
  EXPECT_EQ(read_text(dir.file("x")), content);
}

TEST(Json, DumpsSortedAndIndented) {
  EXPECT_EQ(dump_json({{"b", 1}, {"a", {1, 2}}}), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": 1\n}\n");
  EXPECT_THAT(message_of(ErrorKind::kFailed, [] { dump_json("\xff"); }), HasSubstr("invalid UTF-8"));
}

}  // namespace
}  // namespace bitloom
