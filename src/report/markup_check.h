#pragma once
// For tests: whether HTML as page/page.h writes it is well formed. Pages close all they open, as XML does, but for elements
// that HTML never closes, so a strict reading of a few lines suffices.

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom::testing {

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string parent;
};

/// Reads markup and lists its elements; std::runtime_error with an excerpt where it is not well formed.
class MarkupReader {
 public:
  explicit MarkupReader(std::string_view text) : rest_(text) {}

  std::vector<Element> read() {
    if (rest_.starts_with("<!DOCTYPE html>")) rest_.remove_prefix(15);
    while (!rest_.empty()) {
      if (rest_.starts_with("</")) {
        close();
      } else if (rest_[0] == '<') {
        open();
      } else {
        text();
      }
    }
    if (!stack_.empty()) wrong("not closed: " + stack_.back());
    return std::move(elements_);
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw std::runtime_error(what + " at: " + std::string(rest_.substr(0, 80)));
  }
  std::string take(std::string_view stops) {
    const size_t end = rest_.find_first_of(stops);
    if (end == std::string_view::npos) wrong("end of text");
    std::string out(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return out;
  }
  void expect(std::string_view prefix) {
    if (!rest_.starts_with(prefix)) wrong("expected " + std::string(prefix));
    rest_.remove_prefix(prefix.size());
  }
  void check_text(std::string_view text) const {
    static const std::set<std::string_view> kEntities = {"amp", "lt", "gt", "quot", "#39"};
    if (text.find('<') != std::string_view::npos) wrong("'<' in text");
    for (size_t at = text.find('&'); at != std::string_view::npos; at = text.find('&', at + 1)) {
      const size_t end = text.find(';', at);
      if (end == std::string_view::npos || !kEntities.contains(text.substr(at + 1, end - at - 1))) wrong("bare '&'");
    }
  }
  void text() {
    const size_t end = std::min(rest_.find('<'), rest_.size());
    check_text(rest_.substr(0, end));
    rest_.remove_prefix(end);
  }
  void close() {
    expect("</");
    const std::string name = take(">");
    if (stack_.empty() || stack_.back() != name) wrong("closes " + name);
    stack_.pop_back();
    expect(">");
  }
  void open() {
    expect("<");
    Element element{take(" />"), {}, stack_.empty() ? "" : stack_.back()};
    while (rest_.starts_with(" ")) {
      expect(" ");
      const std::string name = take("= >/");
      expect("=\"");
      const std::string value = take("\"");
      check_text(value);
      if (!element.attributes.emplace(name, value).second) wrong("attribute twice: " + name);
      expect("\"");
    }
    elements_.push_back(element);
    if (rest_.starts_with("/>")) return expect("/>");
    expect(">");
    if (element.name == "meta" || element.name == "link" || element.name == "br") return;
    stack_.push_back(element.name);
    if (element.name == "script" || element.name == "style") {  // raw text: ends at its own end tag only
      const size_t end = rest_.find("</" + element.name + ">");
      if (end == std::string_view::npos) wrong("not closed: " + element.name);
      rest_.remove_prefix(end);
    }
  }

  std::string_view rest_;
  std::vector<std::string> stack_;
  std::vector<Element> elements_;
};

inline std::vector<Element> read_markup(std::string_view text) { return MarkupReader(text).read(); }

}  // namespace bitloom::testing
