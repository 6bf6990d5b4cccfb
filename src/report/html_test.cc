#include "report/html.h"

#include <gmock/gmock.h>

namespace bitloom {
namespace {

TEST(EscapeHtml, LeavesNoMarkup) {
  EXPECT_EQ(escape_html("<a href=\"x\" b='y'>&amp;</a>"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
  EXPECT_EQ(escape_html("größer 世界 🙂\t\n"), "größer 世界 🙂\t\n");
}

TEST(EscapeHtml, ReplacesWhatHtmlForbids) {
  EXPECT_EQ(escape_html(std::string_view("a\0b\x01\x1b\x7f\r", 7)), "a�b����");
  EXPECT_EQ(escape_html("\xff\xc0\x80\xed\xa0\x80"), "������");               // no UTF-8, overlong, a surrogate
  EXPECT_EQ(escape_html("\xef\xbf\xbe\xef\xb7\x90\xf4\x8f\xbf\xbf"), "���");  // U+FFFE, U+FDD0, U+10FFFF
}

TEST(EscapeHtml, ReplacesWhatReordersItsSurroundings) {
  EXPECT_EQ(escape_html("\u202eabc\u202c \u2066x\u2069"), "�abc� �x�");
  EXPECT_EQ(escape_html("שלום\u200f"), "שלום\u200f");  // letters and marks stay
}

TEST(VisibleToken, ShowsBlanksControlsAndBytes) {
  EXPECT_EQ(visible_token(" the\n"), "␣the↵");
  EXPECT_EQ(visible_token("\t\r\x7f"), "⇥\\x0D\\x7F");
  EXPECT_EQ(visible_token("\xe4\xb8"), "\\xE4\\xB8");
  EXPECT_EQ(visible_token("世"), "世");
}

TEST(EmbedJson, CannotEndItsElement) {
  EXPECT_EQ(embed_json(R"({"a": "</script><!--"})"), R"({"a": "\u003c/script>\u003c!--"})");
}

}  // namespace
}  // namespace bitloom
