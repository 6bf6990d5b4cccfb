#include "io/text_data.h"

#include <gmock/gmock.h>

#include "base/test_data.h"
#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::golden;
using testing::message_of;
using ::testing::StartsWith;
using testing::TempDir;

std::string read_as(const std::string& text, const std::string& format) {
  const TempDir dir;
  testing::write_file(dir.file("t"), text);
  try {
    return read_text_data(dir.file("t"), parse_text_format(format));
  } catch (const Error& error) {  // the path is a random one
    throw Error(error.kind(), std::string(error.what()).substr(dir.path().size() + 1));
  }
}

std::string refusal(const std::string& text, const std::string& format) {
  return message_of(ErrorKind::kRefused, [&] { read_as(text, format); });
}

TEST(TextFormat, SpellsItself) {
  for (const char* text : {"plain", "hf-rows", "jsonl:text", "jsonl:a:b"}) {
    EXPECT_EQ(to_string(parse_text_format(text)), text);
  }
  EXPECT_EQ(parse_text_format("jsonl:a:b").field, "a:b");
  for (const std::string text : {"", "jsonl", "jsonl:", "Plain"}) {
    EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { parse_text_format(text); }),
              "unknown text format '" + text + "', allowed: plain, hf-rows, jsonl:FIELD");
  }
}

TEST(TextData, PlainIsTheBytes) { EXPECT_EQ(read_as(" a\r\n\n\xEF\xBB\xBFü ", "plain"), " a\r\n\n\xEF\xBB\xBFü "); }

TEST(TextData, HfRowsJoinsAsPythonDoes) {
  EXPECT_EQ(read_text_data(golden("io/rows.txt"), parse_text_format("hf-rows")),
            read_text(golden("io/rows_joined.txt")));
  EXPECT_EQ(read_as("a\n\nb", "hf-rows"), "a\n\n\n\n\nb");
}

TEST(TextData, JsonlJoinsAField) {
  EXPECT_EQ(read_as("{\"t\": \"a\\n\"}\n\n{\"u\": 1, \"t\": \"\"}\r\n{\"t\": \"é\"}", "jsonl:t"), "a\n\n\n\n\né");
}

TEST(TextData, RefusesWithFileAndLine) {
  EXPECT_EQ(refusal("ok\nbad \xC0\xAF\n", "plain"), "t: line 2: invalid UTF-8 (byte 0xc0 at offset 7)");
  EXPECT_EQ(refusal("", "plain"), "t: no text in it (read as plain)");
  EXPECT_EQ(refusal("\n", "jsonl:t"), "t: no text in it (read as jsonl:t)");
  EXPECT_EQ(refusal("{\"t\": \"a\"}\n[1]\n", "jsonl:t"), "t: line 2: array, expected a JSON object");
  EXPECT_EQ(refusal("{\"t\": \"a\"}\n{\"u\": 1}\n", "jsonl:t"), "t: line 2: no field \"t\"");
  EXPECT_EQ(refusal("{\"t\": 5}\n", "jsonl:t"), "t: line 1: field \"t\" is number, expected a string");
  EXPECT_THAT(refusal("{\"t\": \"a\"}\n\n{\"t\": \n", "jsonl:t"), StartsWith("t: line 3: not valid JSON at byte "));
}

TEST(TextData, JsonLinesAreNotPlainText) {
  const std::string said =
      "t: line 1 is a JSON object, but the file is read as plain text; give the format jsonl:FIELD (fields with "
      "texts: ";
  EXPECT_EQ(refusal("{\"id\": 1, \"t\": \"a\", \"u\": \"b\"}\n\n{\"t\": \"b\"}\n", "plain"), said + "t, u)");
  EXPECT_EQ(refusal("{\"t\": \"a\"}", "plain"), said + "t)");
  // Text that only looks like it.
  for (const char* text :
       {"{\"t\": \"a\"}\n{ int x; }\n", "{\n  \"t\": \"a\"\n}\n", "{1}\n", "{\"t\": \"a\"}\nwords\n", "{\"t\": 1}\n"})
    EXPECT_EQ(split_documents(text, {}, "t"), std::vector<std::string>{text});
}

std::vector<std::string> documents(const std::string& text, const std::string& format) {
  return split_documents(text, parse_text_format(format), "t");
}

TEST(SplitDocuments, PlainAtSeparatorLines) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(documents("one\n\ntwo\n", "plain"), Texts{"one\n\ntwo\n"});
  EXPECT_EQ(documents("a\nb\n<|endoftext|>\nc\n\n<|endoftext|>\nd", "plain"), (Texts{"a\nb", "c\n", "d"}));
  EXPECT_EQ(documents("a\r\n<|endoftext|>\r\nb\r\n<|endoftext|>", "plain"), (Texts{"a", "b"}));
  EXPECT_EQ(documents("<|endoftext|>\n\n<|endoftext|>\na\n \n<|endoftext|>\n \n", "plain"), Texts{"a\n "});
  // Only a whole line separates.
  EXPECT_EQ(documents("a <|endoftext|>\n<|endoftext|> b", "plain"), Texts{"a <|endoftext|>\n<|endoftext|> b"});
}

TEST(SplitDocuments, RowsAreOneDocumentAndObjectsOneEach) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(documents("a\n\nb", "hf-rows"), Texts{"a\n\n\n\n\nb"});
  EXPECT_EQ(documents("{\"t\": \"a\"}\n\n{\"t\": \"\"}\n{\"t\": \"b\\nc\"}\n", "jsonl:t"), (Texts{"a", "", "b\nc"}));
}

TEST(SplitDocuments, RefusesAsTheWholeTextIsRefused) {
  const auto refused = [](const std::string& text, const std::string& format) {
    return message_of(ErrorKind::kRefused, [&] { documents(text, format); });
  };
  EXPECT_EQ(refused("ok\nbad \xC0\xAF\n", "plain"), "t: line 2: invalid UTF-8 (byte 0xc0 at offset 7)");
  EXPECT_EQ(refused("{\"t\": \"a\"}\n{\"u\": 1}\n", "jsonl:t"), "t: line 2: no field \"t\"");
  EXPECT_EQ(refused("", "plain"), "t: no text in it (read as plain)");
  EXPECT_EQ(refused("<|endoftext|>\n \n", "plain"), "t: no text in it (read as plain)");
  EXPECT_EQ(refused("{\"t\": \"\"}", "jsonl:t"), "t: no text in it (read as jsonl:t)");
}

TEST(ReadTextOrXz, UnpacksByName) {
  const TempDir dir;
  testing::write_file(dir.file("t.txt"), "text");
  EXPECT_EQ(read_text_or_xz(dir.file("t.txt")), "text");
  EXPECT_EQ(read_text_or_xz("assets/calibration/mixed.txt.xz").size(), 1977268u);
  testing::write_file(dir.file("t.xz"), "text");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { read_text_or_xz(dir.file("t.xz")); }),
              StartsWith(dir.file("t.xz") + ": "));
}

}  // namespace
}  // namespace bitloom
