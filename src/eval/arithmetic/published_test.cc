// The paper's released answers scored by this code, against the figures that its authors print.
//
// The files are not ours to pass on. Where a folder holds them (BITLOOM_TOKENIZATION_COUNTS, the `results` of
// github.com/aadityasingh/TokenizationCounts), these tests exist; else there are none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "eval/arithmetic/problem/csv.h"
#include "eval/arithmetic/summary.h"
#include "io/json.h"

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;

std::string folder() {
  const char* path = std::getenv("BITLOOM_TOKENIZATION_COUNTS");
  return path == nullptr ? "" : path;
}

/// cl100k cuts three from the left; behind a separator every chunk is a token.
std::vector<int> token_digits(const std::string& written) {
  std::vector<int> out;
  int digits = 0;
  for (const char c : written + ".") {
    if (c >= '0' && c <= '9') ++digits;
    if (digits == 3 || (digits > 0 && !(c >= '0' && c <= '9'))) out.push_back(std::exchange(digits, 0));
  }
  return out;
}

class Record {
 public:
  Record(const CsvTable& table, const CsvTable::Record& record) : table_(table), record_(record) {}
  std::string operator[](const char* column) const {
    const size_t at = table_.column(column);
    return at == table_.header.size() ? "" : record_.fields[at];
  }

 private:
  const CsvTable& table_;
  const CsvTable::Record& record_;
};

Condition condition_of(const Record& record) {
  const std::string repeat = record["repeat_problem_number_format"];
  if (const std::string spaces = record["num_spaces"]; spaces != "0") return parse_condition("nosep+" + spaces);
  std::string name = record["problem_number_format"];
  if (!repeat.empty()) name += ">" + repeat + ">" + record["answer_number_format"];
  if (repeat.empty() && record["answer_number_format"] != name) name += ">" + record["answer_number_format"];
  return parse_condition(name);
}

Row row_of(const Record& record) {
  const Condition condition = condition_of(record);
  Row row;
  row.exercise = exercise_of({std::stoll(record["num1"]), std::stoll(record["num2"])}, Operation::kAdd);
  row.condition = condition.name;
  row.shots = std::stoi(record["num_shots"]);
  row.reply = record["response"];
  row.answer = read_answer(row.reply, condition.repeat.has_value());
  row.chunks = token_digits(row.answer.written);
  const auto operand = [&](int64_t number) { return token_digits(format_number(number, condition.query)); };
  row.metrics = row_metrics(row.exercise, condition, row.answer,
                            {row.chunks, operand(row.exercise.first), operand(row.exercise.second)});
  return row;
}

/// The rows of a file with the usual system prompt, of one model.
std::vector<CellSummary> cells_of(const std::string& file, const std::string& model = "gpt-3.5-turbo-0301") {
  const std::string path = folder() + "/" + file;
  const CsvTable table = parse_csv(read_text(path), path);
  std::vector<Row> rows;
  for (const CsvTable::Record& fields : table.records) {
    const Record record(table, fields);
    const bool wanted = record["model"] == model && record["system_prompt"] == "You are a helpful assistant." &&
                        !record["problem_number_format"].starts_with("foo");
    if (wanted) rows.push_back(row_of(record));
  }
  return summarise(rows);
}

const CellSummary& cell(const std::vector<CellSummary>& cells, const std::string& condition, int shots) {
  for (const CellSummary& each : cells)
    if (each.condition == condition && each.shots == shots) return each;
  ADD_FAILURE() << "no rows of " << condition << " with " << shots << " shots";
  return cells.front();
}

struct Figure {
  const char* file;
  const char* condition;
  int shots;
  double accuracy;  // as printed, three digits
};

constexpr const char* kComma = "20230407_gpt35_comma_effects.csv";
constexpr const char* kOther = "20230518_gpt_other_delimiters.csv";
constexpr const char* kPairs = "20230519_gpt_comma_effects_io.csv";
constexpr const char* kRepeats = "20230524_gpt_comma_effects_repeat_style_triplets.csv";
constexpr const char* kLengths = "20240125_gpt35_0301_answer_length_effects.csv";

const std::vector<Figure> kFigures = {
    {kComma, "comma_r2l", 1, .956},
    {kComma, "comma_r2l", 2, .978},
    {kComma, "comma_r2l", 4, .967},
    {kComma, "comma_r2l", 8, .978},
    {kComma, "nosep", 8, .744},
    {kComma, "nosep+1", 8, .756},
    {kComma, "nosep+2", 8, .767},
    {kComma, "space_r2l", 8, .967},
    {kComma, "comma_l2r", 8, .278},
    {kComma, "space_l2r", 8, .278},
    {kOther, "dec_r2l", 8, .989},
    {kOther, "dollar_r2l", 8, .978},
    {kOther, "hashtag_r2l", 8, .956},
    {kOther, "dec_l2r", 8, .300},
    {kOther, "dollar_l2r", 8, .311},
    {kOther, "hashtag_l2r", 8, .289},
    {kPairs, "comma_r2l>nosep", 1, .976},
    {kPairs, "comma_r2l>nosep", 2, .956},
    {kPairs, "comma_r2l>nosep", 4, .656},
    {kPairs, "comma_r2l>nosep", 8, .578},
    {kPairs, "nosep>comma_r2l", 1, .548},
    {kPairs, "nosep>comma_r2l", 8, .589},
    {kPairs, "comma_r2l>space_r2l", 1, .964},
    {kPairs, "comma_r2l>space_r2l", 8, .989},
    {kRepeats, "comma_r2l>comma_r2l>comma_r2l", 8, .989},
    {kRepeats, "nosep>comma_r2l>comma_r2l", 8, .967},
    {kRepeats, "nosep>nosep>nosep", 8, .711},
    {kRepeats, "comma_r2l>nosep>nosep", 8, .678},
    {kRepeats, "nosep>comma_r2l>nosep", 8, .689},
    {kRepeats, "comma_r2l>nosep>comma_r2l", 8, .600},
};

class Published : public ::testing::TestWithParam<Figure> {};

TEST_P(Published, Accuracy) {
  const Figure& figure = GetParam();
  EXPECT_NEAR(cell(cells_of(figure.file), figure.condition, figure.shots).all.tally.accuracy(), figure.accuracy, 5e-4)
      << figure.file << " " << figure.condition << ", " << figure.shots << " shots";
}

class PublishedLengths : public ::testing::TestWithParam<const char*> {};

TEST_P(PublishedLengths, ControlledProblems) {
  const std::vector<CellSummary> cells = cells_of(GetParam());
  const CellSummary &nosep = cell(cells, "nosep", 8), &comma = cell(cells, "comma_r2l", 8);
  EXPECT_EQ(nosep.match.tally.rows, 900);
  EXPECT_EQ(nosep.match.tally.correct, 844);
  EXPECT_EQ(nosep.mismatch.tally.rows, 400);
  EXPECT_EQ(nosep.mismatch.tally.correct, 33);
  EXPECT_NEAR(comma.match.tally.accuracy(), .979, 5e-4);
  EXPECT_NEAR(comma.mismatch.tally.accuracy(), .985, 5e-4);
  std::map<std::array<int, 3>, int64_t> right;
  for (const auto& [s, tally] : nosep.by_signature)
    right[{std::min(s[0], s[1]), std::max(s[0], s[1]), s[2]}] += tally.correct;
  const std::map<std::array<int, 3>, int64_t> printed = {{{7, 7, 7}, 95}, {{7, 7, 8}, 5},   {{7, 8, 8}, 188},
                                                         {{7, 8, 9}, 20}, {{7, 9, 9}, 177}, {{8, 8, 8}, 98},
                                                         {{8, 8, 9}, 8},  {{8, 9, 9}, 189}, {{9, 9, 9}, 97}};
  EXPECT_EQ(right, printed);
}

TEST_P(PublishedLengths, TheFourthDigit) {
  const std::vector<CellSummary> cells = cells_of(GetParam());
  const GroupSummary& mismatch = cell(cells, "nosep", 8).mismatch;
  EXPECT_EQ(mismatch.digits.at(3).wrong, 365);  // .9125 of 400
  EXPECT_THAT(mismatch.digits[3].sizes, ElementsAre(80, 62, 56, 50, 31, 32, 16, 25, 13));
  std::vector<int64_t> wrong;
  for (const DigitErrors& digit : mismatch.digits) wrong.push_back(digit.wrong);
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 365, 1, 3, 1, 0, 0));
}

TEST_P(PublishedLengths, OffByOne) {
  const std::vector<CellSummary> cells = cells_of(GetParam());
  const GroupSummary& nosep = cell(cells, "nosep", 8).match;
  EXPECT_EQ(nosep.off_by_one, 53);
  EXPECT_EQ(nosep.off_by_one_at_chunk_end, 51);
  const GroupSummary& comma = cell(cells, "comma_r2l", 8).all;
  EXPECT_EQ(comma.off_by_one, 24);
  EXPECT_EQ(comma.off_by_one_at_chunk_end, 24);
}

std::vector<Figure> present(const std::vector<Figure>& all) {
  std::vector<Figure> out;
  for (const Figure& figure : all)
    if (!folder().empty() && std::filesystem::exists(folder() + "/" + figure.file)) out.push_back(figure);
  return out;
}

std::vector<const char*> present_lengths() {
  if (folder().empty() || !std::filesystem::exists(folder() + "/" + kLengths)) return {};
  return {kLengths};
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Published);
INSTANTIATE_TEST_SUITE_P(Figures, Published, ::testing::ValuesIn(present(kFigures)));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PublishedLengths);
INSTANTIATE_TEST_SUITE_P(Figures, PublishedLengths, ::testing::ValuesIn(present_lengths()));

}  // namespace
}  // namespace bitloom::arithmetic
