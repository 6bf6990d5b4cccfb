#include "eval/tasks/prompt/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

Record record(const std::string& json) {
  return {std::make_shared<const std::string>("data.jsonl"), 7, parse_json(json, "test")};
}

std::string rendered(const std::string& text, const std::string& json) { return Template(text).render(record(json)); }

TEST(Template, FieldsAndTextAsTheyAre) {
  EXPECT_EQ(rendered("Question: {q}\nAnswer:", R"({"q": "Why? {really} "})"), "Question: Why? {really} \nAnswer:");
  EXPECT_EQ(rendered("{a}{b}", R"({"a": "x", "b": -3})"), "x-3");
  EXPECT_EQ(rendered("", "{}"), "");
  EXPECT_EQ(rendered("{{a}} {a} {{{a}}}", R"({"a": "1"})"), "{a} 1 {1}");
}

TEST(Template, WordsAtTheEnd) {
  const std::string json = R"({"t": "one  two\nthree", "w": "word", "e": "end "})";
  EXPECT_EQ(rendered("{t|last_word}", json), "two\nthree");
  EXPECT_EQ(rendered("{t|before_last_word}", json), "one ");
  EXPECT_EQ(rendered("[{w|before_last_word}|{w|last_word}]", json), "[|word]");
  EXPECT_EQ(rendered("[{e|before_last_word}|{e|last_word}]", json), "[end|]");
}

TEST(Template, WrongOnes) {
  const auto message = [](const std::string& text) {
    return testing::message_of(ErrorKind::kUsage, [&] { Template{text}; });
  };
  EXPECT_EQ(message("a {b"), "'{' at 2 has no partner in 'a {b'; a brace itself is {{ or }}");
  EXPECT_EQ(message("a } b"), "'}' at 2 has no partner in 'a } b'; a brace itself is {{ or }}");
  EXPECT_EQ(message("{}"), "'{}' names no field");
  EXPECT_EQ(message("{a|last_wrod}"),
            "unknown filter 'last_wrod' (did you mean 'last_word'?); allowed: last_word, before_last_word");
  EXPECT_EQ(message("{a|last_word|last_word}"), "'{a|last_word|last_word}' has more than one filter");
}

TEST(Template, OnlyField) {
  EXPECT_EQ(Template("{choices}").only_field(), "choices");
  EXPECT_EQ(Template("{a} ").only_field(), "");
  EXPECT_EQ(Template("{a|last_word}").only_field(), "");
  EXPECT_EQ(Template("").only_field(), "");
}

TEST(Template, Lists) {
  const Record r = record(R"({"list": ["x", "y z"], "a": "one"})");
  EXPECT_THAT(TemplateList(std::string("list")).render(r), ElementsAre("x", "y z"));
  EXPECT_THAT(TemplateList({Template("no"), Template("{a}!")}).render(r), ElementsAre("no", "one!"));
}

TEST(Template, FieldsThatAreMissingOrOfAnotherKind) {
  const auto message = [](const auto& body) { return testing::message_of(ErrorKind::kRefused, body); };
  const Record r = record(R"({"query": "q", "choices": ["x", 3], "gold": 1.5})");
  EXPECT_EQ(message([&] { r.text("qurey"); }),
            "data.jsonl:7: field 'qurey' is missing (did you mean 'query'?); the record has: choices, gold, query");
  EXPECT_EQ(message([&] { r.text("gold"); }), "data.jsonl:7: field 'gold' must be a text or an integer, found number");
  EXPECT_EQ(message([&] { r.texts("query"); }), "data.jsonl:7: field 'query' must be a list of texts, found string");
  EXPECT_EQ(message([&] { r.texts("choices"); }),
            "data.jsonl:7: field 'choices' must be a list of texts, its item 1 is number");
}

}  // namespace
}  // namespace bitloom
