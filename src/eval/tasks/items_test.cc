#include "eval/tasks/items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<Record> records(const std::vector<std::string>& lines) {
  const auto file = std::make_shared<const std::string>("d.jsonl");
  std::vector<Record> result;
  result.reserve(lines.size());
  for (const std::string& line : lines)
    result.emplace_back(file, static_cast<int64_t>(result.size()) + 1, parse_json(line, "test"));
  return result;
}

Task task(const std::string& kind, const std::string& more) {
  return parse_task("version: 1\ndescription: d\nsource: s\ndata: d.jsonl\nkind: " + kind + "\n" + more, "t.yaml");
}

const char* const kChoices = "context: \"Q {q}\\nA\"\nchoices: \"{c}\"\ngold: \"{g}\"\n";

TEST(Items, Choices) {
  const auto rows =
      records({R"({"q": "x", "c": ["no", "yes"], "g": 1})", R"({"q": "y", "c": ["a", "b", "c"], "g": "0"})"});
  const std::vector<Item> items = make_items(task("choices", kChoices), rows, 0, 0, plain_style());
  ASSERT_EQ(items.size(), 2u);
  EXPECT_THAT(items[0].prompts, ElementsAre("Q x\nA"));
  EXPECT_THAT(items[0].continuations, ElementsAre("no", "yes"));
  EXPECT_EQ(items[0].gold, 1);
  EXPECT_EQ(items[0].place, "d.jsonl:1");
  EXPECT_EQ(items[1].index, 1);
  EXPECT_EQ(items[1].line, 2);
  EXPECT_EQ(items[1].gold, 0);
  EXPECT_EQ(make_items(task("choices", kChoices), rows, 1, 0, plain_style()).size(), 1u);
}

TEST(Items, ContextsTargetsAndGeneration) {
  const auto rows = records({R"({"o": ["A is", "B is"], "t": "here.", "g": 1, "w": "so"})"});
  const Item contexts =
      make_items(task("contexts", "contexts: \"{o}\"\ntarget: \"{t}\"\ngold: \"{g}\"\n"), rows, 0, 0, plain_style())[0];
  EXPECT_THAT(contexts.prompts, ElementsAre("A is", "B is"));
  EXPECT_THAT(contexts.continuations, ElementsAre("here."));
  EXPECT_EQ(contexts.gold, 1);
  const Item target = make_items(task("target", "context: c\ntarget: \"{t}\"\n"), rows, 0, 0, plain_style())[0];
  EXPECT_THAT(target.prompts, ElementsAre("c"));
  EXPECT_THAT(target.continuations, ElementsAre("here."));
  EXPECT_EQ(target.gold, -1);
  const Item generated = make_items(task("generate", "context: c\ntarget: \"{t}\"\nextract: [{pattern: x}]\n"), rows, 0,
                                    0, plain_style())[0];
  EXPECT_THAT(generated.prompts, ElementsAre("c"));
  EXPECT_THAT(generated.continuations, ElementsAre());
  EXPECT_EQ(generated.target, "here.");
}

// Records 0 and 2 are equal: neither may see the other as a shot, which would give its answer away.
TEST(Items, ShotsAreTheFirstOtherRecords) {
  const auto rows = records({R"({"q": "x", "c": ["no", "yes"], "g": 1})", R"({"q": "y", "c": ["a", "b"], "g": 0})",
                             R"({"q": "x", "c": ["no", "yes"], "g": 1})", R"({"q": "z", "c": ["k", "l"], "g": 0})"});
  const Task t = task("choices", std::string(kChoices) + "shots: {preamble: \"Go.\\n\", separator: \" | \"}\n");
  const std::vector<Item> items = make_items(t, rows, 0, 2, plain_style());
  EXPECT_THAT(items[0].prompts, ElementsAre("Go.\nQ y\nA a | Q z\nA k | Q x\nA"));
  EXPECT_THAT(items[1].prompts, ElementsAre("Go.\nQ x\nA yes | Q x\nA yes | Q y\nA"));
  EXPECT_EQ(items[2].prompts, items[0].prompts);
  EXPECT_THAT(items[3].prompts, ElementsAre("Go.\nQ x\nA yes | Q y\nA a | Q z\nA"));
  EXPECT_THAT((std::vector<int64_t>{items[0].shot_set, items[1].shot_set, items[2].shot_set, items[3].shot_set}),
              ElementsAre(0, 1, 0, 2));
}

TEST(Items, ShotsOfTheOtherKinds) {
  const auto rows = records({R"({"o": ["A is", "B is"], "t": "here", "g": 1, "w": "as I see"})",
                             R"({"o": ["C is", "D is"], "t": "there", "g": 0, "w": "so"})"});
  const auto prompts = [&](const Task& t) { return make_items(t, rows, 0, 1, plain_style())[1].prompts; };
  EXPECT_THAT(prompts(task("contexts", "contexts: \"{o}\"\ntarget: \"{t}\"\ngold: \"{g}\"\n")),
              ElementsAre("B is here\n\nC is", "B is here\n\nD is"));
  EXPECT_THAT(prompts(task("target", "context: \"{g}\"\ntarget: \"{t}\"\ndelimiter: \"=\"\n")),
              ElementsAre("1=here\n\n0"));
  EXPECT_THAT(
      prompts(task("generate", "context: \"{g}\"\ntarget: \"{t}\"\nshot: \"{w} {t}\"\nextract: [{pattern: x}]\n")),
      ElementsAre("1 as I see here\n\n0"));
}

TEST(Items, BrokenRecords) {
  const auto message = [](const std::string& kind, const std::string& more, const std::string& line, int64_t shots) {
    const auto rows = records({R"({"q": "x", "c": ["no", "yes"], "g": 1, "t": "t"})", line});
    return testing::message_of(ErrorKind::kRefused,
                               [&] { make_items(task(kind, more), rows, 0, shots, plain_style()); });
  };
  EXPECT_EQ(message("choices", kChoices, R"({"q": "x", "c": ["no", ""], "g": 1})", 0), "d.jsonl:2: choice 1 is empty");
  EXPECT_EQ(message("choices", kChoices, R"({"q": "x", "c": [], "g": 1})", 0), "d.jsonl:2: no choices");
  EXPECT_EQ(message("choices", kChoices, R"({"q": "x", "c": ["no", "yes"], "g": 2})", 0),
            "d.jsonl:2: gold is '2', must be a number from 0 to 1");
  EXPECT_EQ(message("choices", kChoices, R"({"q": "x", "c": ["no", "yes"], "g": "yes"})", 0),
            "d.jsonl:2: gold is 'yes', must be a number from 0 to 1");
  EXPECT_EQ(message("choices", kChoices, R"({"q": "x", "c": ["no", "yes"]})", 0),
            "d.jsonl:2: field 'g' is missing (did you mean 'c'?); the record has: c, q");
  EXPECT_EQ(message("target", "context: \"{q}\"\ntarget: \"{t}\"\n", R"({"q": "x", "t": ""})", 0),
            "d.jsonl:2: the target is empty");
  EXPECT_EQ(message("choices", kChoices, R"({"q": "y", "c": ["no", "yes"], "g": 0})", 2),
            "d.jsonl:1: 2 shots for this record, the file has only 1 others");
}

}  // namespace
}  // namespace bitloom
