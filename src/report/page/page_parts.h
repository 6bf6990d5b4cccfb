#pragma once
// The pieces of a page that are more than a tag, and the files it carries in itself.

#include <string>
#include <string_view>

#include "report/page/page.h"

namespace bitloom {

/// page.css and page.js, made part of the program when it is built.
extern const std::string_view kPageStyle, kPageScript;

/// A table in a box that scrolls by itself; the box is named by the caption, which is drawn when `show_caption`.
std::string table_html(const Table& table, const std::string& caption, bool show_caption);

/// <details> with its summary; `css_class` may be "".
std::string folded_html(const std::string& summary, const std::string& contents, std::string_view css_class);

/// A figure: the picture laid out for wide and for narrow screens, its caption, its numbers.
std::string plot_html(const Plot& plot, const std::string& id);

std::string passage_html(const Passage& passage, const std::string& id);

}  // namespace bitloom
