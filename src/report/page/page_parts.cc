#include "report/page/page_parts.h"

#include <fmt/format.h>

#include "report/html.h"

namespace bitloom {
namespace {

// Pixels of the content: from 48rem on, and on a phone of 390.
constexpr int kWide = 720, kNarrow = 350;

std::string cell_html(const Column& column, const std::string& text, bool names_row) {
  const char* const right = column.align == Align::kRight ? R"( class="n")" : "";
  if (names_row) return fmt::format(R"(<th scope="row"{}>{}</th>)", right, escape_html(text));
  return fmt::format("<td{}>{}</td>", right, escape_html(text));
}

}  // namespace

std::string table_html(const Table& table, const std::string& caption, bool show_caption) {
  std::string head, body;
  for (const Column& column : table.columns()) {
    head += fmt::format(R"(<th scope="col"{}>{}</th>)", column.align == Align::kRight ? R"( class="n")" : "",
                        escape_html(column.title));
  }
  for (size_t row = 0; row < table.rows(); ++row) {
    body += "<tr>";
    for (size_t i = 0; i < table.columns().size(); ++i) {
      body += cell_html(table.columns()[i], table.cells(row)[i], i == 0);
    }
    body += "</tr>\n";
  }
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{0}\"><table><caption{1}>{0}</caption>"
      "<thead><tr>{2}</tr></thead>\n<tbody>\n{3}</tbody></table></div>\n",
      escape_html(caption), show_caption ? "" : R"( class="hidden")", head, body);
}

std::string folded_html(const std::string& summary, const std::string& contents, std::string_view css_class) {
  return fmt::format("<details{}><summary>{}</summary>\n{}</details>\n",
                     css_class.empty() ? "" : fmt::format(R"( class="{}")", css_class), escape_html(summary), contents);
}

std::string plot_html(const Plot& plot, const std::string& id) {
  const Caption& caption = caption_of(plot);
  const std::string numbers =
      folded_html("Numbers: " + caption.title, table_html(data_of(plot), caption.title, false), "data");
  return fmt::format(
      "<figure class=\"plot\">\n<figcaption><strong>{}</strong> {}</figcaption>\n"
      "<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n{}</figure>\n",
      escape_html(caption.title), escape_html(caption.text), to_svg(plot, kWide, id + "w"),
      to_svg(plot, kNarrow, id + "n"), numbers);
}

}  // namespace bitloom
