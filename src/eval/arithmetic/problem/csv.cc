#include "eval/arithmetic/problem/csv.h"

#include <algorithm>

#include "base/error.h"

namespace bitloom::arithmetic {
namespace {

/// Reads one record after another.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  bool at_end() const { return at_ == text_.size(); }

  CsvTable::Record record() {
    CsvTable::Record record;
    record.line = line_;
    do {
      record.fields.push_back(take('"') ? quoted() : bare());
    } while (take(','));
    take('\r');
    if (!at_end() && !take('\n')) refuse("{}:{}: text behind a closing quote", path_, line_);
    ++line_;
    return record;
  }

 private:
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string bare() {
    const size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    const std::string field(text_.substr(at_, end - at_));
    at_ = end;
    return field;
  }

  /// What follows an opening quote, up to the closing one.
  std::string quoted() {
    std::string field;
    for (bool more = true; more;) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) refuse("{}:{}: a quote that is not closed", path_, line_);
      field += text_.substr(at_, quote - at_);
      at_ = quote + 1;
      more = take('"');  // a doubled quote stands for one
      if (more) field += '"';
    }
    line_ += std::count(field.begin(), field.end(), '\n');
    return field;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

size_t CsvTable::column(std::string_view name) const {
  return static_cast<size_t>(std::find(header.begin(), header.end(), name) - header.begin());
}

CsvTable parse_csv(std::string_view text, const std::string& path) {
  CsvReader reader(text, path);
  if (reader.at_end()) refuse("{}: empty; a line with the columns' names must stand first", path);
  CsvTable table;
  table.header = reader.record().fields;
  while (!reader.at_end()) {
    CsvTable::Record record = reader.record();
    if (record.fields.size() != table.header.size())
      refuse("{}:{}: {} fields, the head line has {}", path, record.line, record.fields.size(), table.header.size());
    table.records.push_back(std::move(record));
  }
  return table;
}

}  // namespace bitloom::arithmetic
