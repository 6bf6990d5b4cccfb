#include "report/page/page.h"

#include <gmock/gmock.h>

#include <sstream>

#include "report/markup_check.h"
#include "report/page/sample_page.h"

namespace bitloom {
namespace {

using testing::Element;
using ::testing::HasSubstr;
using testing::kHostile;
using ::testing::Not;
using testing::read_markup;

std::string body_of(const std::string& html) {
  const size_t start = html.find("<body>");
  return html.substr(start, html.rfind("<script>") - start);
}

TEST(Page, IsWellFormedWithUniqueIdsAndNothingToLoad) {
  const std::string html = to_html(testing::sample_page());
  const std::vector<Element> elements = read_markup(html);
  std::set<std::string> ids, scripts;
  for (const Element& element : elements) {
    const auto id = element.attributes.find("id");
    if (id != element.attributes.end()) {
      EXPECT_TRUE(ids.insert(id->second).second) << id->second;
    }
    EXPECT_FALSE(element.attributes.contains("src")) << element.name;
    for (const auto& [name, value] : element.attributes) EXPECT_FALSE(name.starts_with("on")) << name;
    EXPECT_NE(element.name, "img");
  }
  for (const Element& element : elements) {
    for (const char* name : {"aria-labelledby", "aria-describedby"}) {
      if (!element.attributes.contains(name)) continue;
      std::istringstream list(element.attributes.at(name));
      for (std::string id; list >> id;) EXPECT_TRUE(ids.contains(id)) << id;
    }
    if (element.name == "a") {
      EXPECT_TRUE(ids.contains(element.attributes.at("href").substr(1)));
    }
  }
  EXPECT_THAT(html, Not(HasSubstr("url(http")));
  EXPECT_THAT(html, Not(HasSubstr("@import")));
}

TEST(Page, SameValuesSameBytes) { EXPECT_EQ(to_html(testing::sample_page()), to_html(testing::sample_page())); }

TEST(Page, EveryTextIsEscaped) {
  Page page{kHostile, kHostile, {}, "", kHostile};
  Passage passage = testing::sample_passage(kHostile, false);
  passage.text = passage.value_title = passage.reference = passage.model = kHostile;
  ScatterPlot scatter{{kHostile, kHostile}, {kHostile}, {kHostile}, {kHostile, kHostile}, {{kHostile, 1, {1}}}, true};
  LinePlot lines{{kHostile, kHostile}, {kHostile}, {kHostile}, {{kHostile, {1}, {{1}}}, {kHostile, {1}, {{1}}}}};
  BarPlot bars{{kHostile, kHostile}, kHostile, {kHostile}, {kHostile}, {{kHostile, {{1}}}, {kHostile, {{1}}}}};
  StripPlot strips{{kHostile, kHostile}, {kHostile}, {kHostile}, {kHostile}, {kHostile}, {{kHostile, {{1}}}}};
  page.sections.push_back({kHostile,
                           {KeyFigures{{{kHostile, kHostile, kHostile}}}, Paragraph{kHostile}, Subtitle{kHostile},
                            Callout{Callout::Kind::kNote, kHostile, {kHostile}}, FactList{{{kHostile, kHostile}}},
                            TableBlock{kHostile, testing::sample_table(), true}, CodeBlock{kHostile, kHostile},
                            Plot(scatter), Plot(lines), Plot(bars), Plot(strips), passage}});
  const std::string html = to_html(page);
  EXPECT_NO_THROW(read_markup(html));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("\x01")));
}

TEST(Page, TableMarksNumbersAndNamesRows) {
  Table table({{"name", Align::kLeft}, {"bits"}});
  table.add({"a", "4.25"});
  const std::string html = to_html({"t", "", {{"s", {TableBlock{"Models", table}}}}, "", ""});
  EXPECT_THAT(html, HasSubstr("<thead><tr><th scope=\"col\">name</th><th scope=\"col\" class=\"n\">bits</th></tr>"));
  EXPECT_THAT(html, HasSubstr("<tr><th scope=\"row\">a</th><td class=\"n\">4.25</td></tr>"));
  EXPECT_THAT(html, HasSubstr("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Models\">"));
}

TEST(Page, PassageColoursByLimitsAndListsTheChoices) {
  Passage passage{"P", "text", "KL, nats", "original", "int4", {0.1, 1}, {}, false};
  passage.tokens = {{"One", kUnknown, {}, {}},
                    {" two", 0.05, {{" two", 0.75}}, {{" three", 0.5}, {"\n", 0.25}}},
                    {"<b>", 0.1, {}, {}},
                    {"\n", 7, {}, {}}};
  const std::string html = body_of(to_html({"t", "", {{"s", {passage}}}, "", ""}));
  EXPECT_THAT(html, HasSubstr("<span>One</span><span> two</span><span class=\"k1\">&lt;b&gt;</span>"
                              "<span class=\"k2\">↵\n</span></div>"));
  EXPECT_THAT(html, HasSubstr("<tr><td>1</td><th scope=\"row\">␣two</th><td>0.0500</td><td><q>␣two</q> 75.0 %</td>"
                              "<td><q>␣three</q> 50.0 %<br><q>↵</q> 25.0 %</td></tr>"));
  EXPECT_THAT(html, HasSubstr("<tr><td>0</td><th scope=\"row\">One</th><td>-</td><td></td><td></td></tr>"));
}

TEST(Page, RecordStaysData) {
  Page page{"t", "", {}, "{\"a\": \"</script>\"}", ""};
  EXPECT_THAT(to_html(page), HasSubstr("id=\"record\">{\"a\": \"\\u003c/script>\"}</script>"));
  page.record.clear();
  EXPECT_THAT(to_html(page), Not(HasSubstr("id=\"record\"")));
}

TEST(Page, SectionsAreListedWhereThereAreManyOfThem) {
  Page page{"t", "", {{"one", {}}, {"two", {}}}, "", ""};
  EXPECT_THAT(to_html(page), Not(HasSubstr("<nav")));
  page.sections.push_back({"three", {}});
  EXPECT_THAT(to_html(page), HasSubstr("<li><a href=\"#s3\">three</a></li>"));
}

}  // namespace
}  // namespace bitloom
