#include "cli/terminal/line_editor.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

Typed type(LineEditor& editor, std::string_view bytes) {
  Typed last = Typed::kMore;
  for (const char byte : bytes) last = editor.feed(byte);
  return last;
}

std::string typed(std::string_view bytes) {
  LineEditor editor;
  EXPECT_EQ(type(editor, bytes), Typed::kMore);
  return editor.text();
}

TEST(LineEditor, KeysEditTheText) {
  EXPECT_EQ(typed("hello"), "hello");
  EXPECT_EQ(typed("hellp\x7fo"), "hello");
  EXPECT_EQ(typed("ello\x01h"), "hello");
  EXPECT_EQ(typed("hllo\x1b[D\x1b[D\x1b[De"), "hello");
  EXPECT_EQ(typed("helo\x1b[1~\x1b[C\x1b[Cl"), "hello");
  EXPECT_EQ(typed("hexllo\x1bOH\x1b[C\x1b[C\x1b[3~"), "hello");
  EXPECT_EQ(typed("hello world\x17there"), "hello there");
  EXPECT_EQ(typed("hello \x15you"), "you");
  EXPECT_EQ(typed("hello world\x1b[H\x06\x0b"), "h");
  EXPECT_EQ(typed("a\x1b[1;5Cb\x1b[24~c\x1bxd"), "abcd") << "keys that mean nothing";
  EXPECT_EQ(typed("\x7f\x1b[D\x1b[C\x1b[3~\x17\x15"), "") << "at the ends";
}

TEST(LineEditor, CharactersAreWhole) {
  EXPECT_EQ(typed("a\u00e4\u20ac\x7f"), "a\u00e4");
  EXPECT_EQ(typed("\u00e4\u20ac\x1b[D\x1b[Dx"), "x\u00e4\u20ac");
  EXPECT_EQ(typed("\u00e4\u20ac\x01\x1b[3~"), "\u20ac");
}

TEST(LineEditor, EndsAreTold) {
  LineEditor editor;
  EXPECT_EQ(type(editor, "\x04"), Typed::kEnd);
  EXPECT_EQ(type(editor, "a\x03"), Typed::kInterrupt);
  EXPECT_EQ(type(editor, "\x04"), Typed::kMore) << "deletes where something is typed";
  EXPECT_EQ(type(editor, "b\r"), Typed::kText);
  EXPECT_EQ(editor.text(), "ab");
}

TEST(LineEditor, APasteKeepsItsLines) {
  EXPECT_EQ(typed("x\x1b[200~one\rtwo\nthree\x1b[201~y"), "xone\ntwo\nthreey");
  LineEditor editor;
  EXPECT_EQ(type(editor, "\x1b[200~stop\x03\x04\r\x1b[201~"), Typed::kMore) << "no key in it acts";
  EXPECT_EQ(editor.text(), "stop\x03\x04\n");
  std::string pasted;
  for (int i = 0; i < 20000; ++i) pasted += "a line\r";
  EXPECT_EQ(typed("\x1b[200~" + pasted + "\x1b[201~").size(), pasted.size());
}

TEST(LineEditor, ArrowsRecallWhatWasSent) {
  LineEditor editor;
  for (const char* text : {"one", "two", "two"}) {
    type(editor, text);
    editor.accept();
  }
  type(editor, "thr\x1b[A");
  EXPECT_EQ(editor.text(), "two");
  type(editor, "\x1b[A\x1b[A\x1b[A");
  EXPECT_EQ(editor.text(), "one");
  type(editor, "\x1b[B\x1b[B\x1b[B");
  EXPECT_EQ(editor.text(), "thr");
}

TEST(DrawLine, WrapsBeforeTheLastColumn) {
  const Drawing short_line = draw_line("> ", "hello", 5, 80, 24);
  EXPECT_EQ(short_line.bytes, "> hello\r\x1b[7C");
  EXPECT_EQ(short_line.cursor_row, 0);
  const Drawing wrapped = draw_line("> ", "abcdefghij", 10, 10, 24);
  EXPECT_EQ(wrapped.bytes, "> abcdefg\r\nhij\r\x1b[3C");
  EXPECT_EQ(wrapped.cursor_row, 1);
  const Drawing inside = draw_line("> ", "ab\ncd", 1, 80, 24);
  EXPECT_EQ(inside.bytes, "> ab\r\ncd\x1b[1A\r\x1b[3C");
  EXPECT_EQ(inside.cursor_row, 0);
}

TEST(DrawLine, WideAndControlCharacters) {
  EXPECT_EQ(draw_line("> ", "\u6f22x", 3, 80, 24).bytes, "> \u6f22x\r\x1b[4C");
  EXPECT_EQ(draw_line("> ", "a\x1b[2J\x07", 6, 80, 24).bytes, "> a?[2J?\r\x1b[8C");
}

TEST(DrawLine, OfAHighTextTheCursorsPart) {
  const std::string text = "1\n2\n3\n4\n5\n6";
  EXPECT_EQ(draw_line("> ", text, text.size(), 80, 4).bytes, "4\r\n5\r\n6\r\x1b[1C");
  EXPECT_EQ(draw_line("> ", text, 0, 80, 4).bytes, "> 1\r\n2\r\n3\x1b[2A\r\x1b[2C");
}

}  // namespace
}  // namespace bitloom
