#include "eval/tasks/records.h"

#include <filesystem>

#include "base/error.h"
#include "base/text/text.h"
#include "io/hash.h"
#include "io/text_data.h"

namespace bitloom {
namespace {

std::string without_newline(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return std::string(line);
}

/// Makes records of the lines of one file.
class Lines {
 public:
  Lines(const std::string& path, bool table) : file_(std::make_shared<const std::string>(path)), table_(table) {}

  void add(std::string_view line, std::vector<Record>& records) {
    ++number_;
    if (is_blank(line)) return;
    const std::string text = without_newline(line);
    if (!table_) return records.push_back({file_, number_, object(text)});
    const std::vector<std::string> cells = split(text, '\t');
    if (columns_.empty()) {
      columns_ = cells;
      return;
    }
    if (cells.size() != columns_.size())
      refuse("{}:{}: {} columns, the head line has {}", *file_, number_, cells.size(), columns_.size());
    Json fields = Json::object();
    for (size_t i = 0; i < cells.size(); ++i) fields[columns_[i]] = cells[i];
    records.push_back({file_, number_, std::move(fields)});
  }

 private:
  Json object(const std::string& text) const {
    Json value = parse_json(text, fmt::format("{}:{}", *file_, number_));
    if (!value.is_object()) refuse("{}:{}: no JSON object", *file_, number_);
    return value;
  }

  std::shared_ptr<const std::string> file_;
  bool table_;
  int64_t number_ = 0;
  std::vector<std::string> columns_;
};

bool is_table(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension != ".jsonl" && extension != ".tsv") misuse("{}: a task's data are a .jsonl or a .tsv file", path);
  return extension == ".tsv";
}

}  // namespace

std::string Record::place() const { return fmt::format("{}:{}", *file_, line_); }

const Json& Record::field(const std::string& name) const {
  if (const auto found = fields_.find(name); found != fields_.end()) return *found;
  std::vector<std::string> names;
  for (const auto& entry : fields_.items()) names.push_back(entry.key());
  refuse("{}: field '{}' is missing{}; the record has: {}", place(), name, did_you_mean(name, names),
         fmt::join(names, ", "));
}

std::string Record::text(const std::string& name) const {
  const Json& value = field(name);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_number_integer())
    refuse("{}: field '{}' must be a text or an integer, found {}", place(), name, value.type_name());
  return value.dump();
}

std::vector<std::string> Record::texts(const std::string& name) const {
  const Json& value = field(name);
  if (!value.is_array()) refuse("{}: field '{}' must be a list of texts, found {}", place(), name, value.type_name());
  std::vector<std::string> result;
  for (const Json& item : value) {
    if (!item.is_string())
      refuse("{}: field '{}' must be a list of texts, its item {} is {}", place(), name, result.size(),
             item.type_name());
    result.push_back(item.get<std::string>());
  }
  return result;
}

RecordFile read_records(const std::string& path) {
  Lines lines(path, is_table(path));
  const std::string text = read_text(path);
  check_utf8(text, path);
  RecordFile result{path, sha256_hex(text), {}};
  for (const std::string_view line : split_lines(text)) lines.add(line, result.records);
  if (result.records.empty()) refuse("{}: no records", path);
  return result;
}

}  // namespace bitloom
