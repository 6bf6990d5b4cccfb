#include "recipe/file_options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

/// A declared option and the value it has.
struct FileOption {
  std::string name;
  YAML::Node node;
  std::vector<std::string> allowed;  // empty: any text
  std::string value;                 // the default, until another is given
  bool is_default = true;

  /// What stands for "${name}" or "${name.entry}", by what is between the brackets.
  std::map<std::string, std::string> words(const YamlReader& reader) const {
    if (!node.IsMap()) return {{name, value}};
    std::map<std::string, std::string> words = {{name, value}};
    for (const auto& entry : node[value]) {
      const std::string key = fmt::format("{}.{}", name, reader.text(entry.first, "a key"));
      words[key] = reader.text(entry.second, fmt::format("'{}'", key));
    }
    return words;
  }
};

FileOption declared(const YamlReader& reader, const std::string& name, const YAML::Node& node) {
  FileOption option{name, node, {}, {}};
  const std::string what = fmt::format("option '{}'", name);
  if (node.IsMap()) {
    for (const auto& entry : node) {
      option.allowed.push_back(reader.text(entry.first, "a value of " + what));
      if (!entry.second.IsMap()) {
        reader.reject(entry.second.Mark(), fmt::format("{}: '{}' must be a map of texts, found {}", what,
                                                       option.allowed.back(), YamlReader::kind_of(entry.second)));
      }
    }
  } else if (node.IsSequence()) {
    option.allowed = reader.texts(node, what, "value");
  } else {
    option.value = reader.text(node, what);
    return option;
  }
  if (option.allowed.empty()) reader.reject(node.Mark(), fmt::format("{} has no values", what));
  option.value = option.allowed[0];
  return option;
}

std::vector<FileOption> declared_options(const YamlReader& reader, const YAML::Node& node) {
  std::vector<FileOption> options;
  if (!node.IsDefined()) return options;
  if (!node.IsMap()) {
    reader.reject(node.Mark(),
                  fmt::format("'options' must be a map of names to their values, found {}", YamlReader::kind_of(node)));
  }
  std::set<std::string> names;
  for (const auto& entry : node) {
    const std::string name = reader.text(entry.first, "a key");
    if (name.find_first_of("${}.:,=+") != std::string::npos) {
      reader.reject(entry.first.Mark(), fmt::format("option '{}' has one of the characters ${{}}.:,=+", name));
    }
    if (!names.insert(name).second) reader.reject(entry.first.Mark(), fmt::format("option '{}' stands twice", name));
    options.push_back(declared(reader, name, entry.second));
  }
  return options;
}

std::vector<std::string> names_of(const std::vector<FileOption>& options) {
  std::vector<std::string> names;
  names.reserve(options.size());
  for (const FileOption& option : options) names.push_back(option.name);
  return names;
}

/// "order=natural,pair=fp-fp".
void set_given(const std::string& given, std::vector<FileOption>& options) {
  if (given.empty()) return;
  std::set<std::string> seen;
  for (const std::string& word : split(given, ',')) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto option =
        std::find_if(options.begin(), options.end(), [&](const FileOption& o) { return o.name == name; });
    if (options.empty()) misuse("'{}': this recipe declares no options", word);
    if (option == options.end()) {
      misuse("unknown option '{}'{}; allowed: {}", name, did_you_mean(name, names_of(options)),
             fmt::join(names_of(options), ", "));
    }
    if (equals == std::string::npos || equals + 1 == word.size())
      misuse("option '{}' needs a value: {}=...", name, name);
    if (!seen.insert(name).second) misuse("option '{}' is given twice", name);
    const std::string value = word.substr(equals + 1);
    const auto& allowed = option->allowed;
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
      misuse("option '{}' must be one of {}, found '{}'{}", name, fmt::join(allowed, ", "), value,
             did_you_mean(value, allowed));
    }
    option->is_default = value == option->value;
    option->value = value;
  }
}

/// Puts values in the places of names.
class Substitution {
 public:
  Substitution(const YamlReader& reader, const std::vector<FileOption>& options) : reader_(reader) {
    for (const FileOption& option : options) words_.merge(option.words(reader));
  }

  void apply(YAML::Node node) {
    if (node.IsScalar()) {
      const std::string text = node.Scalar();
      if (text.find("${") != std::string::npos) node = replaced(text, node.Mark());
    } else if (node.IsSequence()) {
      for (YAML::Node item : node) apply(item);
    } else if (node.IsMap()) {
      for (auto entry : node) apply(entry.second);
    }
  }

  bool used(const std::string& option) const { return used_.contains(option); }

 private:
  std::string replaced(const std::string& text, const YAML::Mark& mark) {
    std::string result;
    for (size_t at = 0; at < text.size();) {
      const size_t open = text.find("${", at);
      result += text.substr(at, open - at);
      if (open == std::string::npos) break;
      const size_t close = text.find('}', open);
      if (close == std::string::npos) reader_.reject(mark, fmt::format("'{}': no '}}' after '${{'", text));
      const std::string name = text.substr(open + 2, close - open - 2);
      const auto word = words_.find(name);
      if (word == words_.end()) {
        std::vector<std::string> known;
        for (const auto& [key, value] : words_) known.push_back(key);
        reader_.reject(mark,
                       fmt::format("'${{{}}}' is no option of this recipe{}; there {}", name, did_you_mean(name, known),
                                   known.empty() ? "are none" : fmt::format("are {}", fmt::join(known, ", "))));
      }
      used_.insert(name.substr(0, name.find('.')));
      result += word->second;
      at = close + 1;
    }
    return result;
  }

  const YamlReader& reader_;
  std::map<std::string, std::string> words_;
  std::set<std::string> used_;
};

}  // namespace

std::string apply_file_options(const YamlReader& reader, YAML::Node root, const std::string& given) {
  std::vector<FileOption> options = declared_options(reader, root["options"]);
  set_given(given, options);
  Substitution substitution(reader, options);
  if (root["steps"].IsDefined()) substitution.apply(root["steps"]);
  std::vector<std::string> changed;
  for (const FileOption& option : options) {
    if (!substitution.used(option.name)) {
      reader.reject(option.node.Mark(),
                    fmt::format("option '{0}' is used by no step; write ${{{0}}} there", option.name));
    }
    if (!option.is_default) changed.push_back(fmt::format("{}={}", option.name, option.value));
  }
  return fmt::format("{}", fmt::join(changed, ","));
}

}  // namespace bitloom
