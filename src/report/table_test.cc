#include "report/table.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("é"), 1u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);  // e + combining acute
  EXPECT_EQ(display_width("日本"), 4u);       // two wide characters
  EXPECT_EQ(display_width("🙂"), 2u);
  EXPECT_EQ(display_width("a\xff\xfe"), 3u);  // broken bytes show as one replacement each
  EXPECT_EQ(display_width("\xe6\x97"), 2u);   // a truncated character
  EXPECT_EQ(display_width(""), 0u);
}

TEST(FitWidth, CutsBetweenCharacters) {
  EXPECT_EQ(fit_width("model.layers.3", 20), "model.layers.3");
  EXPECT_EQ(fit_width("model.layers.3", 14), "model.layers.3");
  EXPECT_EQ(fit_width("model.layers.3", 6), "model…");
  EXPECT_EQ(fit_width("日本語", 4), "日…");  // "日本…" would need 5
  EXPECT_EQ(fit_width("日本語", 1), "…");
  EXPECT_EQ(fit_width("abc", 0), "");
}

Table example() {
  Table table({{"format", Align::kLeft}, {"bits"}, {"note", Align::kLeft}});
  table.add({"int4-g32", "4.50", "é|x"});
  table.add({"日本", "16.00"});
  return table;
}

TEST(Table, AlignsAndLeavesNoTrailingBlanks) {
  EXPECT_EQ(example().to_text(),
            "format     bits  note\n"
            "--------  -----  ----\n"
            "int4-g32   4.50  é|x\n"
            "日本      16.00\n");
}

TEST(Table, BoldHeadOnlyOnRequest) {
  EXPECT_EQ(example().to_text().find('\x1b'), std::string::npos);
  EXPECT_EQ(example().to_text(true).substr(0, 4), "\x1b[1m");
}

TEST(Table, MarkdownEscapesBars) {
  EXPECT_EQ(example().to_markdown(),
            "| format | bits | note |\n"
            "|---|--:|---|\n"
            "| int4-g32 | 4.50 | é\\|x |\n"
            "| 日本 | 16.00 |  |\n");
}

TEST(Facts, ValuesLineUp) {
  EXPECT_EQ(facts_text({{"nll", "2.68"}, {"perplexity", "14.62"}, {"größe", ""}}),
            "nll         2.68\nperplexity  14.62\ngröße\n");
}

TEST(Table, WithoutRowsIsItsHead) {
  const Table table({{"a"}, {"b"}});
  EXPECT_EQ(table.to_text(), "a  b\n-  -\n");
  EXPECT_EQ(table.rows(), 0u);
}

}  // namespace
}  // namespace bitloom
