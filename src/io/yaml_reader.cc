#include "io/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr size_t kMaxBytes = 1 << 20;  // far beyond any sensible document: bounds the work on a file that is none

/// Takes note of documents, and of a text that is no UTF-8: the library makes single bytes of the escapes \_ and \N.
/// YAML::LoadAll() would read all before anyone can count them, and finds no end of documents in a text that begins
/// with a comma.
struct DocumentCounter final : YAML::EventHandler {
  int documents = 0;
  std::optional<YAML::Mark> no_utf8;
  void OnDocumentStart(const YAML::Mark&) override { ++documents; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string& text) override {
    if (!no_utf8 && first_invalid_utf8(text) != text.size()) no_utf8 = mark;
  }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

/// At most two documents are counted.
DocumentCounter look_through(const std::string& yaml) {
  std::istringstream text(yaml);
  YAML::Parser parser(text);
  DocumentCounter counter;
  while (counter.documents < 2 && parser.HandleNextDocument(counter)) continue;
  return counter;
}

}  // namespace

YAML::Node YamlReader::parse(const std::string& yaml) const {
  if (yaml.size() > kMaxBytes)
    misuse("{}: {} is too large for a {}", origin_, human_bytes(static_cast<int64_t>(yaml.size())), kind_);
  if (const size_t bad = first_invalid_utf8(yaml); bad != yaml.size()) {
    misuse("{}: byte {} is not valid UTF-8", origin_, bad);
  }
  // What the YAML library writes differently from what it reads.
  if (const size_t bad = yaml.find('\0'); bad != std::string::npos) {
    misuse("{}: byte {} is 0, which no {} file holds", origin_, bad, kind_);
  }
  try {
    const DocumentCounter found = look_through(yaml);
    if (found.documents != 1) {
      misuse("{}: a {} file holds one document, found {}", origin_, kind_, found.documents == 0 ? "none" : "several");
    }
    if (found.no_utf8) reject(*found.no_utf8, "a text whose escapes stand for no UTF-8 (\\_ and \\N do not)");
    return YAML::Load(yaml);
  } catch (const YAML::Exception& error) {
    reject(error.mark, fmt::format("not valid YAML: {}", error.msg));
  }
}

std::string YamlReader::place(const YAML::Mark& mark) const {
  return fmt::format("{}:{}:{}", origin_, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1);
}

void YamlReader::reject(const YAML::Mark& mark, const std::string& message) const {
  misuse("{}: {}", place(mark), message);
}

void YamlReader::check_keys(const YAML::Node& node, const std::string& what,
                            std::span<const std::string> allowed) const {
  if (!node.IsMap())
    reject(node.Mark(), fmt::format("{} must be a map with the keys {}", what, fmt::join(allowed, ", ")));
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = text(entry.first, "a key");
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
      reject(entry.first.Mark(), fmt::format("unknown key '{}' in {}{}; allowed: {}", key, what,
                                             did_you_mean(key, allowed), fmt::join(allowed, ", ")));
    }
    if (!seen.insert(key).second) reject(entry.first.Mark(), fmt::format("key '{}' is given twice in {}", key, what));
  }
}

std::string YamlReader::text(const YAML::Node& node, const std::string& what) const {
  if (!node.IsScalar()) reject(node.Mark(), fmt::format("{} must be a text, found {}", what, kind_of(node)));
  return node.Scalar();
}

std::vector<std::string> YamlReader::texts(const YAML::Node& node, const std::string& what,
                                           const std::string& item) const {
  std::vector<std::string> result;
  if (node.IsScalar()) {
    result.push_back(node.Scalar());
  } else if (node.IsSequence()) {
    for (const YAML::Node& entry : node) result.push_back(text(entry, fmt::format("each of '{}'", what)));
  } else {
    reject(node.Mark(), fmt::format("'{}' must be a list of {}s, found {}", what, item, kind_of(node)));
  }
  const bool blank = std::any_of(result.begin(), result.end(), [](const std::string& text) { return text.empty(); });
  if (result.empty() || blank) reject(node.Mark(), fmt::format("'{}' holds no {}, or an empty one", what, item));
  return result;
}

const char* YamlReader::kind_of(const YAML::Node& node) {
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return node.IsScalar() ? "a text" : "nothing";
}

}  // namespace bitloom
