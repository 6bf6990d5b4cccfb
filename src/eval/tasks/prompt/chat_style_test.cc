#include "eval/tasks/prompt/chat_style.h"

#include <gtest/gtest.h>

#include "io/json.h"

namespace bitloom {
namespace {

const char* const kTemplate =
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

std::vector<Item> items_of(const PromptStyle& style, int64_t shots) {
  const auto file = std::make_shared<const std::string>("d.jsonl");
  const std::vector<Record> records = {{file, 1, parse_json(R"({"q": "x", "c": ["no", "yes"], "g": 1})", "t")},
                                       {file, 2, parse_json(R"({"q": "y", "c": ["a", "b"], "g": 0})", "t")}};
  const Task task = parse_task(
      "version: 1\ndescription: d\nsource: s\ndata: d.jsonl\nkind: choices\ncontext: \"Q {q}\"\nchoices: \"{c}\"\n"
      "gold: \"{g}\"\nshots: {preamble: \"Be brief.\"}\n",
      "t.yaml");
  return make_items(task, records, 0, shots, style);
}

TEST(ChatStyle, ShotsAreTurns) {
  const PromptStyle style = chat_style(ChatTemplate(kTemplate, "t", {}));
  EXPECT_EQ(items_of(style, 1).at(0).prompts.at(0),
            "<system>Be brief.</><user>Q y</><assistant>a</><user>Q x</><assistant>");
  EXPECT_EQ(items_of(style, 0).at(1).prompts.at(0), "<system>Be brief.</><user>Q y</><assistant>");
  EXPECT_FALSE(style.delimiter);
  EXPECT_FALSE(style.add_special);
}

TEST(ChatStyle, TheDateStandsStill) {
  const PromptStyle style = chat_style(ChatTemplate("{{ strftime_now('%A %d %B %Y') }}", "t", {}));
  EXPECT_EQ(items_of(style, 0).at(0).prompts.at(0), "Friday 26 July 2024");
}

}  // namespace
}  // namespace bitloom
