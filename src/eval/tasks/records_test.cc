#include "eval/tasks/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

class Records : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    testing::write_file(dir_.file(name), text);
    return dir_.file(name);
  }
  static std::string refusal(const std::string& path) {
    return testing::message_of(ErrorKind::kRefused, [&] { read_records(path); });
  }
  testing::TempDir dir_;
};

TEST_F(Records, OfLines) {
  const std::string text = "{\"a\": \"x\"}\r\n\n  \n{\"a\": \"y\", \"b\": 2}";
  const RecordFile file = read_records(write("r.jsonl", text));
  ASSERT_EQ(file.records.size(), 2u);
  EXPECT_EQ(file.sha256, sha256_hex(text));
  EXPECT_EQ(file.records[0].text("a"), "x");
  EXPECT_EQ(file.records[1].text("b"), "2");
  EXPECT_EQ(file.records[1].place(), dir_.file("r.jsonl") + ":4");
  EXPECT_EQ(file.records[1].line(), 4);
}

TEST_F(Records, OfATable) {
  const RecordFile file = read_records(write("r.tsv", "sentence\tlabel\nit is \"good\" . \t1\nbad\t0\n"));
  ASSERT_EQ(file.records.size(), 2u);
  EXPECT_EQ(file.records[0].text("sentence"), "it is \"good\" . ");
  EXPECT_EQ(file.records[1].text("label"), "0");
  EXPECT_EQ(file.records[1].line(), 3);
}

TEST_F(Records, Equality) {
  const RecordFile file = read_records(write("r.jsonl", "{\"a\": 1}\n{\"a\": 1}\n{\"a\": 2}\n"));
  EXPECT_TRUE(file.records[0].same_fields(file.records[1]));
  EXPECT_FALSE(file.records[0].same_fields(file.records[2]));
}

TEST_F(Records, BrokenFiles) {
  const std::string json = write("r.jsonl", "{\"a\": 1}\n{\"a\": \n");
  EXPECT_THAT(refusal(json), HasSubstr(json + ":2"));
  EXPECT_EQ(refusal(write("list.jsonl", "[1]\n")), dir_.file("list.jsonl") + ":1: no JSON object");
  EXPECT_EQ(refusal(write("r.tsv", "a\tb\n1\t2\n1\t2\t3\n")),
            dir_.file("r.tsv") + ":3: 3 columns, the head line has 2");
  EXPECT_EQ(refusal(write("none.tsv", "a\tb\n")), dir_.file("none.tsv") + ": no records");
  EXPECT_THAT(refusal(write("bad.jsonl", "{\"a\": \"\xff\"}\n")), HasSubstr(dir_.file("bad.jsonl")));
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [&] { read_records("r.csv"); }),
            "r.csv: a task's data are a .jsonl or a .tsv file");
}

}  // namespace
}  // namespace bitloom
