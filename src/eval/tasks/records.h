#pragma once
// Records of a task's data file: one object per line of JSONL, or one row of a TSV table with a head line.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

class Record {
 public:
  Record(std::shared_ptr<const std::string> file, int64_t line, Json fields)
      : file_(std::move(file)), line_(line), fields_(std::move(fields)) {}

  /// A field that is a text or an integer. Error(kRefused) naming file, line and field when it is missing (with the
  /// nearest name) or something else.
  std::string text(const std::string& field) const;
  /// A field that is a list of texts.
  std::vector<std::string> texts(const std::string& field) const;

  /// "FILE:LINE", for messages.
  std::string place() const;
  int64_t line() const { return line_; }
  bool same_fields(const Record& other) const { return fields_ == other.fields_; }

 private:
  const Json& field(const std::string& name) const;
  std::shared_ptr<const std::string> file_;
  int64_t line_;
  Json fields_;
};

struct RecordFile {
  std::string path, sha256;  // of the whole file
  std::vector<Record> records;
};

/// The records of a .jsonl or .tsv file; blank lines are skipped. Error(kRefused) naming file and line of what is no
/// record, or a file without any; Error(kUsage) for another kind of file.
RecordFile read_records(const std::string& path);

}  // namespace bitloom
