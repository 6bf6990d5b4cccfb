#include "report/page/page.h"

#include <fmt/format.h>

#include "report/html.h"
#include "report/page/page_parts.h"

namespace bitloom {
namespace {

/// Turns blocks into HTML and numbers what needs an id.
class Writer {
 public:
  std::string operator()(const KeyFigures& block) const {
    std::string out;
    for (const KeyFigure& figure : block.figures) {
      out += fmt::format("<div><dt>{}</dt><dd><b>{}</b> <span>{}</span></dd></div>\n", escape_html(figure.label),
                         escape_html(figure.value), escape_html(figure.note));
    }
    return "<dl class=\"figures\">\n" + out + "</dl>\n";
  }
  std::string operator()(const Paragraph& block) const { return "<p>" + escape_html(block.text) + "</p>\n"; }
  std::string operator()(const Subtitle& block) const { return "<h3>" + escape_html(block.text) + "</h3>\n"; }
  std::string operator()(const Callout& block) const {
    const bool warns = block.kind == Callout::Kind::kWarning;
    std::string out = fmt::format("<div class=\"callout{}\" role=\"note\"><strong>{}</strong>\n", warns ? " warn" : "",
                                  escape_html(block.title));
    if (block.lines.size() == 1) return out + "<p>" + escape_html(block.lines[0]) + "</p></div>\n";
    out += block.lines.empty() ? "" : "<ul>\n";
    for (const std::string& line : block.lines) out += "<li>" + escape_html(line) + "</li>\n";
    return out + (block.lines.empty() ? "" : "</ul>") + "</div>\n";
  }
  std::string operator()(const FactList& block) const {
    std::string out;
    for (const auto& [name, value] : block.facts) {
      out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name), escape_html(value));
    }
    return "<dl class=\"facts\">\n" + out + "</dl>\n";
  }
  std::string operator()(const TableBlock& block) const {
    const std::string table = table_html(block.table, block.caption, !block.folded);
    return block.folded ? folded_html(block.caption, table, "") : table;
  }
  std::string operator()(const CodeBlock& block) const {
    return fmt::format(
        "<figure><figcaption>{0}</figcaption>\n<pre tabindex=\"0\" role=\"group\" aria-label=\"{0}\">"
        "<code>{1}</code></pre></figure>\n",
        escape_html(block.caption), escape_html(block.text));
  }
  std::string operator()(const Plot& block) { return plot_html(block, fmt::format("f{}", ++ids_)); }
  std::string operator()(const Passage& block) { return passage_html(block, fmt::format("p{}", ++ids_)); }

 private:
  int ids_ = 0;
};

std::string navigation(const Page& page) {
  if (page.sections.size() < 3) return "";
  std::string out;
  for (size_t i = 0; i < page.sections.size(); ++i) {
    out += fmt::format("<li><a href=\"#s{}\">{}</a></li>\n", i + 1, escape_html(page.sections[i].title));
  }
  return "<nav aria-label=\"Sections\"><ul>\n" + out + "</ul></nav>\n";
}

std::string sections_html(const Page& page) {
  Writer writer;
  std::string out;
  for (size_t i = 0; i < page.sections.size(); ++i) {
    out += fmt::format("<section aria-labelledby=\"s{0}\">\n<h2 id=\"s{0}\">{1}</h2>\n", i + 1,
                       escape_html(page.sections[i].title));
    for (const PageBlock& block : page.sections[i].blocks) out += std::visit(writer, block);
    out += "</section>\n";
  }
  return out;
}

/// Nothing may be loaded, whatever the page's texts say.
constexpr const char* kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'";

}  // namespace

std::string to_html(const Page& page) {
  const std::string title = escape_html(page.title);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
      kPolicy, title, kPlotStyle, kPageStyle);
  out += fmt::format("<header>\n<h1>{}</h1>\n<p>{}</p>\n{}</header>\n", title, escape_html(page.summary),
                     navigation(page));
  out += "<main>\n" + sections_html(page) + "</main>\n";
  out += "<footer><p>" + escape_html(page.footer) + "</p></footer>\n";
  if (!page.record.empty()) {
    out += "<script type=\"application/json\" id=\"record\">" + embed_json(page.record) + "</script>\n";
  }
  return out + fmt::format("<script>\n{}</script>\n</body>\n</html>\n", kPageScript);
}

}  // namespace bitloom
