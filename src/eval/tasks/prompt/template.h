#pragma once
// Texts with fields of a record in them: "Question: {context}\nAnswer:".
//
//   {field}                    the record's text or integer
//   {field|last_word}          what follows the text's last blank (U+0020), the whole text when there is none
//   {field|before_last_word}   what precedes that blank, nothing when there is none
//   {{ and }}                  braces

#include <string>
#include <vector>

#include "eval/tasks/records.h"

namespace bitloom {

class Template {
 public:
  Template() = default;
  /// Error(kUsage) naming a brace without partner, an empty field, an unknown filter and the allowed ones.
  explicit Template(const std::string& text);

  /// Errors as Record::text().
  std::string render(const Record& record) const;
  /// The field when the template is "{field}" and nothing else, else "".
  std::string only_field() const;

 private:
  struct Piece {
    std::string literal;  // when `field` is empty
    std::string field;
    std::string (*filter)(const std::string&) = nullptr;
  };
  void add_field(const std::string& inside);
  std::vector<Piece> pieces_;
};

/// Several texts of a record: a template each, or a field that is a list.
class TemplateList {
 public:
  TemplateList() = default;
  explicit TemplateList(std::vector<Template> templates) : templates_(std::move(templates)) {}
  explicit TemplateList(std::string field) : field_(std::move(field)) {}
  std::vector<std::string> render(const Record& record) const;

 private:
  std::vector<Template> templates_;
  std::string field_;
};

}  // namespace bitloom
