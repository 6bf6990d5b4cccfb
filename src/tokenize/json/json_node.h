#pragma once
// A place in a JSON document: every complaint about it names the file and the path ("normalizer.normalizers[1].type").
//
// Also the one way in which a part of a tokenizer is chosen: a table with a row per type.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/json.h"

namespace bitloom {

class JsonNode {
 public:
  /// Borrows the document and the origin's name.
  JsonNode(const Json& value, std::string path, const std::string& origin)
      : value_(&value), path_(std::move(path)), origin_(&origin) {}

  const Json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  const std::string& origin() const { return *origin_; }

  /// Error(kRefused): "FILE: PATH <what>".
  [[noreturn]] void reject(const std::string& what) const;

  /// The member `key`; refused when absent.
  JsonNode at(const std::string& key) const;
  /// nullopt when absent or null.
  std::optional<JsonNode> find(const std::string& key) const;
  /// Elements of an array.
  std::vector<JsonNode> items() const;

  const std::string& text() const;
  /// One Unicode character.
  char32_t character() const;
  bool flag() const;
  /// An integer in [0, 2^31).
  int32_t id() const;

  std::string text_or(const std::string& key, const std::string& otherwise) const;
  bool flag_or(const std::string& key, bool otherwise) const;

 private:
  const Json* value_;
  std::string path_;
  const std::string* origin_;
};

/// The row of `rows` whose `type` is the node's; refused with the list of types otherwise.
template <typename Row, size_t n>
const Row& choose_part(const Row (&rows)[n], const JsonNode& node) {
  const JsonNode type = node.at("type");
  std::string supported;
  for (const Row& row : rows) {
    if (row.type == type.text()) return row;
    supported += (supported.empty() ? "" : ", ") + std::string(row.type);
  }
  type.reject(fmt::format("is '{}', which bitloom does not support (supported: {})", type.text(), supported));
}

}  // namespace bitloom
