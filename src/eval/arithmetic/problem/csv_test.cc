#include "eval/arithmetic/problem/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/arithmetic/problem/problem_file.h"

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::message_of;

TEST(Csv, ReadsQuotesAndLineBreaks) {
  const CsvTable table = parse_csv("a,b,c\n1,\"x,\"\"y\"\"\nz\",\r\n\"\"\"\",,\"\"\n7,8,9", "t.csv");
  EXPECT_THAT(table.header, ElementsAre("a", "b", "c"));
  ASSERT_EQ(table.records.size(), 3U);
  EXPECT_THAT(table.records[0].fields, ElementsAre("1", "x,\"y\"\nz", ""));
  EXPECT_THAT(table.records[1].fields, ElementsAre("\"", "", ""));
  EXPECT_THAT(table.records[2].fields, ElementsAre("7", "8", "9"));
  EXPECT_EQ(table.records[1].line, 4);
  EXPECT_EQ(table.column("b"), 1U);
  EXPECT_EQ(table.column("d"), 3U);
}

TEST(Csv, RefusesBrokenTables) {
  EXPECT_EQ(message_of(ErrorKind::kRefused, [] { parse_csv("", "t.csv"); }),
            "t.csv: empty; a line with the columns' names must stand first");
  EXPECT_EQ(message_of(ErrorKind::kRefused, [] { parse_csv("a,b\n1\n", "t.csv"); }),
            "t.csv:2: 1 fields, the head line has 2");
  EXPECT_EQ(message_of(ErrorKind::kRefused, [] { parse_csv("a\n\"x\ny", "t.csv"); }),
            "t.csv:2: a quote that is not closed");
  EXPECT_EQ(message_of(ErrorKind::kRefused, [] { parse_csv("a\n\"x\"y\n", "t.csv"); }),
            "t.csv:2: text behind a closing quote");
}

class ProblemFile : public ::testing::Test {
 protected:
  std::string write(const std::string& text) {
    const std::string path = dir_.file("problems.csv");
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string message(const std::string& text) {
    const std::string path = write(text);
    std::string what = message_of(ErrorKind::kRefused, [&] { read_problem_file(path); });
    if (what.starts_with(path)) what.erase(0, path.size());
    return what;
  }
  testing::TempDir dir_;
};

TEST_F(ProblemFile, KeepsDistinctProblemsWithTheirLongestShots) {
  const std::string path = write(
      ",problem_index,num1,num2,response,shots\n"
      "0,0,7086157,6448923,x,3190460+8192017=11382477\n"
      "1,1,12,34,\"a, b\",\n"
      "2,0,7086157,6448923,y,\"1+2=3,40+50=90\"\n"
      "3,0,6448923,7086157,y,1+2=3\n");
  const ProblemSet set = read_problem_file(path);
  ASSERT_EQ(set.problems.size(), 3U);
  EXPECT_EQ(set.problems[0].query, (Addends{7086157, 6448923}));
  EXPECT_THAT(set.problems[0].shots, ElementsAre(Addends{1, 2}, Addends{40, 50}));
  EXPECT_EQ(set.problems[1].query, (Addends{12, 34}));
  EXPECT_THAT(set.problems[1].shots, IsEmpty());
  EXPECT_EQ(set.problems[2].index, 2);
  EXPECT_EQ(set.description, path + ", 3 problems");
  EXPECT_EQ(read_problem_file(path, 2).problems.size(), 2U);
}

TEST_F(ProblemFile, ShotsMayBeAbsent) {
  const ProblemSet set = read_problem_file(write("num2,num1\n5,6\n"));
  EXPECT_EQ(set.problems.at(0).query, (Addends{6, 5}));
}

TEST_F(ProblemFile, RefusesBadValuesByPlace) {
  EXPECT_EQ(message("num1,x\n1,2\n"), ": no column num2; num1, num2 and shots are read");
  EXPECT_EQ(message("num1,num2\n1,2\n3,x\n"), ":3: num2: \"x\" is no number of 1 to 17 digits");
  EXPECT_EQ(message("num1,num2\n-1,2\n"), ":2: num1: \"-1\" is no number of 1 to 17 digits");
  EXPECT_EQ(message("num1,num2\n1,02\n"), ":2: num2: \"02\" is no number of 1 to 17 digits");
  EXPECT_EQ(message("num1,num2\n1,123456789012345678\n"),
            ":2: num2: \"123456789012345678\" is no number of 1 to 17 digits");
  EXPECT_EQ(message("num1,num2,shots\n1,2,3+4\n"), ":2: shots: \"3+4\" is not of the form a+b=c");
  EXPECT_EQ(message("num1,num2,shots\n1,2,3+4=8\n"), ":2: shots: \"3+4=8\" is wrong: the sum is 7");
}

}  // namespace
}  // namespace bitloom::arithmetic
