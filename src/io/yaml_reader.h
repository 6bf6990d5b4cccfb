#pragma once
// YAML documents written by people (recipes, suites): a mistake is answered with file:line:column, what was found and
// what is allowed. All messages are Error(kUsage).

#include <yaml-cpp/yaml.h>

#include <span>
#include <string>
#include <type_traits>

#include "base/error.h"

namespace bitloom {

class YamlReader {
 public:
  /// `origin` is the path, `kind` what the document is: "recipe". Both for messages.
  YamlReader(std::string origin, std::string kind) : origin_(std::move(origin)), kind_(std::move(kind)) {}

  /// The one document of a text of at most 1 MiB of valid UTF-8 without zeros.
  YAML::Node parse(const std::string& yaml) const;

  /// "FILE:LINE:COLUMN"; an unset mark (an empty document) counts as the start of the file.
  std::string place(const YAML::Mark& mark) const;
  [[noreturn]] void reject(const YAML::Mark& mark, const std::string& message) const;

  /// Refuses a node that is no map, an unknown key and a repeated key.
  void check_keys(const YAML::Node& node, const std::string& what, std::span<const std::string> allowed) const;
  std::string text(const YAML::Node& node, const std::string& what) const;
  /// A list of texts, or a single one; none of them empty. `item` says what each is: "pattern".
  std::vector<std::string> texts(const YAML::Node& node, const std::string& what, const std::string& item) const;

  /// "a map", "a list", "a text" or "nothing".
  static const char* kind_of(const YAML::Node& node);

  /// What `read` returns; its errors with the node's place.
  template <typename Read>
  std::invoke_result_t<Read> at(const YAML::Node& node, const std::string& what, const Read& read) const {
    try {
      return read();
    } catch (const Error& error) {
      reject(node.Mark(), fmt::format("{}: {}", what, error.what()));
    }
  }

 private:
  std::string origin_, kind_;
};

}  // namespace bitloom
