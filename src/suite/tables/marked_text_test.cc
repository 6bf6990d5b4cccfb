#include "suite/tables/marked_text.h"

#include <gmock/gmock.h>

#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

using ::testing::HasSubstr;

std::vector<RenderedTable> tables() { return {{"all", "| a |\n"}, {"short", "| b |\n"}}; }

std::string fill(const std::string& text) { return fill_marked_parts(text, "README.md", "suites/x.yaml", tables()); }

TEST(MarkedText, PartsAreReplacedAndTheRestStays) {
  const std::string before =
      "# Title\n<!-- suites/x.yaml -->\nold\n<!-- end -->\ntext\n<!-- suites/other.yaml -->\nkept\n<!-- end -->\n"
      "<!-- suites/x.yaml short -->\n<!-- end -->";
  const std::string after =
      "# Title\n<!-- suites/x.yaml -->\n\n| a |\n\n<!-- end -->\ntext\n<!-- suites/other.yaml -->\nkept\n<!-- end -->\n"
      "<!-- suites/x.yaml short -->\n\n| b |\n\n<!-- end -->";
  EXPECT_EQ(fill(before), after);
  EXPECT_EQ(fill(after), after) << "the same again";
}

TEST(MarkedText, OrdinaryCommentsAreNoMarks) {
  const std::string text = "<!-- note -->\n<!-- suites/x.yaml -->\n<!-- end -->\n<!-- end -->\n";
  EXPECT_EQ(fill(text), "<!-- note -->\n<!-- suites/x.yaml -->\n\n| a |\n\n<!-- end -->\n<!-- end -->\n");
}

TEST(MarkedText, MistakesNameTheirLine) {
  EXPECT_THAT(refusal([] { fill("a\n<!-- suites/x.yaml shrot -->\n<!-- end -->\n"); }),
              HasSubstr("README.md:2: the suite has no table 'shrot' (did you mean 'short'?)"));
  EXPECT_THAT(refusal([] { fill("<!-- suites/x.yaml -->\n"); }), HasSubstr("README.md:1: the part is not closed"));
  EXPECT_THAT(refusal([] { fill("<!-- suites/x.yaml -->\n<!-- suites/y.yaml -->\n<!-- end -->\n"); }),
              HasSubstr("README.md:1: the part is not closed"));
  EXPECT_THAT(refusal([] { fill("nothing\n"); }), HasSubstr("README.md: no line <!-- suites/x.yaml -->"));
}

TEST(MarkedText, AnUnfinishedTableIsNotWritten) {
  std::vector<RenderedTable> unfinished = tables();
  unfinished[0].missing = 2;
  EXPECT_THAT(refusal([&] { fill_marked_parts("<!-- x.yaml -->\n<!-- end -->", "R", "x.yaml", unfinished); }),
              HasSubstr("R:1: the table is left as it is: 2 of its values are not there yet"));
}

}  // namespace
}  // namespace bitloom::testing
