#include "tokenize/json/json_node.h"

#include <limits>

#include "tokenize/text/unicode.h"

namespace bitloom {

void JsonNode::reject(const std::string& what) const {
  refuse("{}: {} {}", *origin_, path_.empty() ? "the document" : path_, what);
}

JsonNode JsonNode::at(const std::string& key) const {
  if (!value_->is_object()) reject("is no object");
  const auto found = value_->find(key);
  if (found == value_->end()) reject(fmt::format("lacks the key '{}'", key));
  return JsonNode(*found, path_.empty() ? key : path_ + "." + key, *origin_);
}

std::optional<JsonNode> JsonNode::find(const std::string& key) const {
  if (!value_->is_object()) reject("is no object");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return at(key);
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) reject("is no array");
  std::vector<JsonNode> result;
  result.reserve(value_->size());
  for (const Json& item : *value_) result.emplace_back(item, fmt::format("{}[{}]", path_, result.size()), *origin_);
  return result;
}

const std::string& JsonNode::text() const {
  if (!value_->is_string()) reject("is no string");
  return value_->get_ref<const std::string&>();
}

char32_t JsonNode::character() const {
  const std::string& content = text();
  size_t position = 0;
  if (content.empty()) reject("must be one character");
  const char32_t result = next_code_point(content, position);
  if (position != content.size()) reject(fmt::format("is '{}', must be one character", content));
  return result;
}

bool JsonNode::flag() const {
  if (!value_->is_boolean()) reject("is neither true nor false");
  return value_->get<bool>();
}

int32_t JsonNode::id() const {
  if (!value_->is_number_integer() || *value_ < 0) reject(fmt::format("is {}, must be a token id", value_->dump()));
  const uint64_t number = value_->get<uint64_t>();
  if (number >= static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
    reject(fmt::format("is {}, must be below 2147483647", number));
  return static_cast<int32_t>(number);
}

std::string JsonNode::text_or(const std::string& key, const std::string& otherwise) const {
  const auto node = find(key);
  return node ? node->text() : otherwise;
}

bool JsonNode::flag_or(const std::string& key, bool otherwise) const {
  const auto node = find(key);
  return node ? node->flag() : otherwise;
}

}  // namespace bitloom
