#include "eval/arithmetic/tokens/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "eval/arithmetic/test_tokenizer.h"
#include "eval/arithmetic/tokens/pieces.h"
#include "io/ggml/gguf.h"

namespace bitloom::arithmetic {
namespace {

using ::testing::HasSubstr;

std::vector<Exercise> exercises() {
  std::vector<Exercise> out;
  for (const Problem& problem : generate_problems({.full = true, .count = 100}).problems)
    out.push_back(exercise_of(problem.query, Operation::kAdd));
  return out;
}

std::optional<Refusal> check(const Tokenizer& tokenizer, const std::string& condition, const ChatRenderer& chat = {}) {
  return check_condition(Prompter(tokenizer, chat), parse_condition(condition), exercises());
}

const CutCount& place(const TokenizerProbe& probe, const std::string& name) {
  for (const CutCount& count : probe.places)
    if (count.place == name) return count;
  ADD_FAILURE() << "no place " << name;
  return probe.places.front();
}

TEST(Probe, TellsTheCutsApart) {
  EXPECT_EQ(probe_tokenizer(testing::single_digits(), 0).cut, DigitCut::kSingle);
  EXPECT_EQ(probe_tokenizer(testing::three_from_left(), 0).cut, DigitCut::kThreeFromLeft);
  EXPECT_EQ(probe_tokenizer(testing::three_from_right(), 0).cut, DigitCut::kThreeFromRight);
  EXPECT_EQ(probe_tokenizer(testing::irregular_digits(), 0).cut, DigitCut::kIrregular);
}

TEST(Probe, CountsEveryNumberOnce) {
  const Tokenizer tokenizer = testing::irregular_digits();
  const TokenizerProbe probe = probe_tokenizer(tokenizer, 1);
  for (const CutCount& count : probe.places) {
    EXPECT_EQ(count.numbers, 160) << count.place;  // 2 to 9 digits, twenty each
    EXPECT_EQ(count.single + count.left + count.right + count.irregular + count.merged, count.numbers);
    EXPECT_GT(count.irregular, 0);
    EXPECT_GT(count.single, 0);
  }
  EXPECT_THAT(place(probe, "bare").example, ::testing::AnyOf(HasSubstr("12"), HasSubstr("34")));
}

TEST(Probe, SaysWhereDigitsMerge) {
  const TokenizerProbe probe = probe_tokenizer(testing::merging_digits(), 0);
  EXPECT_EQ(place(probe, "after a blank").cut, DigitCut::kMerged);
  EXPECT_EQ(place(probe, "after a blank").merged, place(probe, "after a blank").numbers);
  EXPECT_EQ(place(probe, "after +").cut, DigitCut::kSingle);
  EXPECT_EQ(probe.cut, DigitCut::kSingle);  // formats without blanks do not care
}

TEST(Check, SingleDigitsCarryEveryFormat) {
  const Tokenizer tokenizer = testing::single_digits();
  for (const std::string& name : number_format_names()) EXPECT_FALSE(check(tokenizer, name)) << name;
  for (const char* name : {"nosep+1", "nosep+2", "comma_r2l>nosep", "nosep>comma_l2r>dec_r2l"})
    EXPECT_FALSE(check(tokenizer, name)) << name;
}

TEST(Check, ThreesCarryEveryFormat) {
  for (const Tokenizer& tokenizer : {testing::three_from_left(), testing::three_from_right()})
    for (const std::string& name : number_format_names()) EXPECT_FALSE(check(tokenizer, name)) << name;
}

TEST(Check, RefusesChunksThatAreCutUnevenly) {
  const auto refusal = check(testing::irregular_digits(), "comma_r2l");
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->condition, "comma_r2l");
  EXPECT_THAT(refusal->reason, HasSubstr("its chunks are not cut alike, see \""));
  EXPECT_THAT(refusal->example, HasSubstr("|,|"));
  EXPECT_FALSE(check(testing::irregular_digits(), "nosep"));  // no chunks to keep
}

TEST(Check, RefusesSeparatorsThatMergeWithDigits) {
  const Tokenizer tokenizer = testing::merging_digits();
  const auto comma = check(tokenizer, "comma_r2l");
  ASSERT_TRUE(comma);
  EXPECT_EQ(comma->reason, "digits merge with other characters in the token \",0\"");
  EXPECT_THAT(comma->example, HasSubstr("|,0|"));
  const auto blank = check(tokenizer, "nosep+1");
  ASSERT_TRUE(blank);
  EXPECT_THAT(blank->reason, HasSubstr("digits merge with other characters in the token \" "));
  EXPECT_TRUE(check(tokenizer, "space_l2r"));
  EXPECT_FALSE(check(tokenizer, "dec_r2l"));
}

// Two blanks are one token here, and "= " ends a question: what stands behind it decides the last tokens.
TEST(Check, RefusesPromptsWhoseLastTokensAReplyChanges) {
  const Tokenizer tokenizer = testing::digit_tokenizer(R"(=\s+(?!\S)|\p{N}|[^\p{N}])", false, {{"=", "Ġ"}});
  const auto refusal = check(tokenizer, "nosep+1");
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, "the prompt's last tokens change when a reply follows");
  EXPECT_FALSE(check(tokenizer, "nosep"));
}

TEST(Check, InAChatTheTurnsStandApart) {
  const ChatRenderer chat = [](const std::vector<ChatMessage>& messages) {
    std::string text;
    for (const ChatMessage& message : messages) text += "x" + message.content + "x\n";
    return text + "x";
  };
  EXPECT_FALSE(check(testing::three_from_left(), "comma_l2r", chat));
  EXPECT_TRUE(check(testing::merging_digits(), "space_r2l", chat));
}

TEST(Probe, RealTokenizers) {
  BITLOOM_REQUIRE_SHARED("data/tokenizers");
  BITLOOM_REQUIRE_SHARED("models");
  const Tokenizer neox = Tokenizer::from_json(read_json(testing::shared_path("data/tokenizers/gpt-neox.json")), "neox");
  const Tokenizer llama2 = Tokenizer::load(testing::shared_path("data/tokenizers/llama2"));
  EXPECT_EQ(probe_tokenizer(neox, 0).cut, DigitCut::kIrregular);
  EXPECT_EQ(probe_tokenizer(llama2, 0).cut, DigitCut::kSingle);
  EXPECT_EQ(probe_tokenizer(Tokenizer::load(testing::shared_path("models/babyllama-char")), 0).cut, DigitCut::kSingle);
  EXPECT_TRUE(check(neox, "comma_r2l"));
  EXPECT_FALSE(check(neox, "nosep"));
  for (const char* name : {"comma_r2l", "space_l2r", "dollar_r2l", "nosep"}) EXPECT_FALSE(check(llama2, name)) << name;
}

TEST(Probe, SmolLm2CutsSingleDigits) {
  BITLOOM_REQUIRE_SMOLLM2();
  const Tokenizer tokenizer = Tokenizer::from_gguf(GgufFile::open(testing::smollm2_path()));
  EXPECT_EQ(probe_tokenizer(tokenizer, 0).cut, DigitCut::kSingle);
  for (const char* name : {"comma_r2l", "comma_l2r", "space_r2l", "nosep"})
    EXPECT_FALSE(check(tokenizer, name)) << name;
}

TEST(Pieces, DigitsOfEachToken) {
  const Tokenizer tokenizer = testing::three_from_left();
  const std::vector<std::string> pieces = pieces_of_text(tokenizer, "12345,678");
  EXPECT_EQ(show_pieces(pieces), "123|45|,|678");
  const std::vector<DigitToken> tokens = digit_tokens(pieces, 2, 7);  // "345,6"
  ASSERT_EQ(tokens.size(), 3U);
  EXPECT_EQ(tokens[0].digits, 1);
  EXPECT_EQ(tokens[1].digits, 2);
  EXPECT_EQ(tokens[2].digits, 1);
  EXPECT_EQ(tokens[2].piece, 3U);
}

}  // namespace
}  // namespace bitloom::arithmetic
