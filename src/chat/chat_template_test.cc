#include "chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

template <typename Body>
std::string refusal(Body body) {
  return testing::message_of(ErrorKind::kRefused, body);
}

// Renders "role:content;" of each message.
const std::string kLoop = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
const std::string kNoSystem = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}";
const std::string kSilent = "{% for m in messages if m.role != 'system' %}{{ m.role }}:{{ m.content }};{% endfor %}";

std::string folded(const std::string& text, const std::vector<ChatMessage>& messages) {
  const ChatTemplate chat(text, "t", {});
  return chat.render(chat.with_system_folded(messages));
}

TEST(ChatTemplate, KnowsWhetherASystemMessageIsRendered) {
  EXPECT_TRUE(ChatTemplate(kLoop, "t", {}).accepts_system());
  EXPECT_FALSE(ChatTemplate(kNoSystem + kLoop, "t", {}).accepts_system());
  EXPECT_FALSE(ChatTemplate(kSilent, "t", {}).accepts_system());
  // A template that bitloom cannot render is no template without a system role.
  EXPECT_EQ(refusal([] { ChatTemplate("{{ 1 | nonsense }}", "t", {}).accepts_system(); }),
            "t: line 1: filter 'nonsense' is not supported");
}

TEST(ChatTemplate, FoldsASystemMessageThatItCannotTake) {
  const std::vector<ChatMessage> chat = {{"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Yes?"}};
  EXPECT_EQ(folded(kLoop, chat), "system:Be brief.;user:Hi;assistant:Yes?;");
  for (const std::string& text : {kNoSystem + kLoop, kSilent}) {
    EXPECT_EQ(folded(text, chat), "user:Be brief.\n\nHi;assistant:Yes?;");
    EXPECT_EQ(folded(text, {{"system", "Be brief."}}), "user:Be brief.;");
    EXPECT_EQ(folded(text, {{"system", "S"}, {"assistant", "A"}}), "user:S;assistant:A;");
    EXPECT_EQ(folded(text, {{"system", ""}, {"user", "Hi"}}), "user:Hi;");
    EXPECT_EQ(folded(text, {{"user", "Hi"}}), "user:Hi;");
  }
}

TEST(ChatTemplate, TellsTheTimeItIsGiven) {
  ChatTemplate chat("{{ strftime_now('%d %b %Y %H') }}", "t", {});
  EXPECT_THAT(chat.render({}), MatchesRegex("[0-9]{2} [A-Z][a-z]{2} 20[0-9]{2} [0-9]{2}"));
  std::tm time{};
  time.tm_year = 99, time.tm_mon = 11, time.tm_mday = 31;
  chat.set_time(time);
  EXPECT_EQ(chat.render({}), "31 Dec 1999 00");
}

TEST(ChatTemplate, RefusesWhatIsNoText) {
  const ChatTemplate chat(kLoop, "t", {});
  EXPECT_EQ(refusal([&] { chat.render({{"user", "ab\xFF"}}); }), "t: a message is no UTF-8 at byte 2");
  EXPECT_EQ(refusal([&] { chat.render({{"us\xC3", ""}}); }), "t: a message is no UTF-8 at byte 2");
  EXPECT_EQ(refusal([] { ChatTemplate("a", "t", {{"bos_token", "<s\xE2>"}}); }), "t: bos_token is no UTF-8 at byte 2");
  EXPECT_EQ(refusal([] { ChatTemplate("a\xFF", "t", {}); }), "t: byte 1 of the template is no UTF-8");
  EXPECT_EQ(refusal([] { ChatTemplate(std::string((1 << 20) + 1, 'x'), "t", {}); }),
            "t: 1048577 bytes of template, at most 1048576");
}

// A byte-level tokenizer that puts <s> before a text.
Tokenizer tokenizer_with_bos() {
  Json document = Json::parse(R"json({
    "added_tokens": [{"id": 3, "content": "<s>", "special": true, "single_word": false, "lstrip": false,
                      "rstrip": false, "normalized": false}],
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})json");
  return Tokenizer::from_json(document, "test");
}

TEST(EncodeChat, AddsNoBeginningOfTextOfItsOwn) {
  const Tokenizer tokenizer = tokenizer_with_bos();
  ASSERT_THAT(tokenizer.encode("<s>ab"), ElementsAre(3, 3, 2));  // what the rule is there for
  EXPECT_THAT(encode_chat(tokenizer, "<s>ab<s>b"), ElementsAre(3, 2, 3, 1));
  EXPECT_THAT(encode_chat(tokenizer, "ab"), ElementsAre(2));
}

}  // namespace
}  // namespace bitloom
