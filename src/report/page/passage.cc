#include <fmt/format.h>

#include <cassert>
#include <cmath>

#include "report/html.h"
#include "report/numbers.h"
#include "report/page/page_parts.h"

namespace bitloom {
namespace {

constexpr size_t kMostSteps = 6;  // colours k1 to k6 of page.css; below the first limit none

/// Colour of a value: 0 below the first limit, n at or above the n-th.
size_t step_of(double value, const std::vector<double>& steps) {
  size_t step = 0;
  while (step < steps.size() && value >= steps[step]) ++step;
  return step;
}

std::string legend(const Passage& passage) {
  std::string out;
  for (size_t i = 0; i <= passage.steps.size(); ++i) {
    const std::string limit = i == 0 ? "below " + fmt::format("{:g}", passage.steps.empty() ? 0 : passage.steps[0])
                                     : fmt::format("≥ {:g}", passage.steps[i - 1]);
    out += fmt::format(R"(<li><span class="k{}">{}</span></li>)", i, limit);
  }
  return fmt::format("<div class=\"key\"><span>{}</span><ul>{}</ul></div>\n", escape_html(passage.value_title), out);
}

/// The token as it stands in the text; line breaks are seen and kept.
std::string token_html(const PassageToken& token, const std::vector<double>& steps) {
  std::string text;
  for (const char c : token.text) {
    if (c == '\n') text += "↵";
    text += c;
  }
  const size_t step = std::isfinite(token.value) ? step_of(token.value, steps) : 0;
  return fmt::format("<span{}>{}</span>", step == 0 ? "" : fmt::format(R"( class="k{}")", step), escape_html(text));
}

std::string choices_html(const std::vector<TokenChoice>& choices) {
  std::string out;
  for (const TokenChoice& choice : choices) {
    out += fmt::format("{}<q>{}</q> {}", out.empty() ? "" : "<br>", escape_html(visible_token(choice.text)),
                       format_percent(choice.probability));
  }
  return out;
}

std::string rows_html(const Passage& passage) {
  std::string out;
  for (size_t i = 0; i < passage.tokens.size(); ++i) {
    const PassageToken& token = passage.tokens[i];
    out += fmt::format("<tr><td>{}</td><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n", i,
                       escape_html(visible_token(token.text)),
                       std::isnan(token.value) ? "-" : format_significant(token.value, 3),
                       choices_html(token.reference), choices_html(token.model));
  }
  return out;
}

std::string token_table(const Passage& passage) {
  const std::string name = escape_html(passage.title + ", by token");
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{}\"><table class=\"choices\"><caption "
      "class=\"hidden\">{}</caption><thead><tr><th scope=\"col\">position</th><th scope=\"col\">token</th><th "
      "scope=\"col\">{}</th><th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n{}</tbody>"
      "</table></div>\n",
      name, name, escape_html(passage.value_title), escape_html(passage.reference), escape_html(passage.model),
      rows_html(passage));
}

}  // namespace

std::string passage_html(const Passage& passage, const std::string& id) {
  assert(passage.steps.size() <= kMostSteps);
  std::string tokens;
  for (const PassageToken& token : passage.tokens) tokens += token_html(token, passage.steps);
  const std::string contents = fmt::format(
      "<p>{}</p>\n{}<div class=\"tokens\" role=\"group\" aria-label=\"{}\">{}</div>\n"
      "<div class=\"card\" id=\"{}\" role=\"status\" hidden=\"\"></div>\n{}",
      escape_html(passage.text), legend(passage), escape_html(passage.title), tokens, id,
      folded_html("Tokens: " + passage.title, token_table(passage), "rows"));
  if (passage.folded) return folded_html(passage.title, contents, "passage");
  return fmt::format("<div class=\"passage\"><h3>{}</h3>\n{}</div>\n", escape_html(passage.title), contents);
}

}  // namespace bitloom
