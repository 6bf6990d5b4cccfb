#include "eval/tasks/prompt/template.h"

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

std::string last_word(const std::string& text) { return text.substr(text.rfind(' ') + 1); }  // npos + 1 is 0

std::string before_last_word(const std::string& text) {
  const size_t blank = text.rfind(' ');
  return blank == std::string::npos ? "" : text.substr(0, blank);
}

struct Filter {
  const char* name;
  std::string (*apply)(const std::string&);
};
constexpr Filter kFilters[] = {{"last_word", last_word}, {"before_last_word", before_last_word}};

std::string (*filter_named(const std::string& name))(const std::string&) {
  std::vector<std::string> names;
  for (const Filter& filter : kFilters) {
    if (filter.name == name) return filter.apply;
    names.emplace_back(filter.name);
  }
  misuse("unknown filter '{}'{}; allowed: {}", name, did_you_mean(name, names), fmt::join(names, ", "));
}

}  // namespace

Template::Template(const std::string& text) {
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) pieces_.push_back({literal, ""});
    literal.clear();
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      literal += c;
    } else if (at + 1 < text.size() && text[at + 1] == c) {
      literal += text[at++];
    } else if (const size_t end = text.find('}', at); c == '{' && end != std::string::npos) {
      flush();
      add_field(text.substr(at + 1, end - at - 1));
      at = end;
    } else {
      misuse("'{}' at {} has no partner in '{}'; a brace itself is {{{{ or }}}}", c, at, text);
    }
  }
  flush();
}

void Template::add_field(const std::string& inside) {
  const std::vector<std::string> parts = split(inside, '|');
  if (parts[0].empty()) misuse("'{{{}}}' names no field", inside);
  if (parts.size() > 2) misuse("'{{{}}}' has more than one filter", inside);
  pieces_.push_back({"", parts[0], parts.size() == 2 ? filter_named(parts[1]) : nullptr});
}

std::string Template::render(const Record& record) const {
  std::string result;
  for (const Piece& piece : pieces_) {
    if (piece.field.empty()) {
      result += piece.literal;
    } else {
      const std::string text = record.text(piece.field);
      result += piece.filter == nullptr ? text : piece.filter(text);
    }
  }
  return result;
}

std::string Template::only_field() const {
  return pieces_.size() == 1 && pieces_[0].filter == nullptr ? pieces_[0].field : "";
}

std::vector<std::string> TemplateList::render(const Record& record) const {
  if (!field_.empty()) return record.texts(field_);
  std::vector<std::string> result;
  for (const Template& text : templates_) result.push_back(text.render(record));
  return result;
}

}  // namespace bitloom
