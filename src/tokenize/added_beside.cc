#include "tokenize/added_beside.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <vector>

#include "tokenize/json/json_node.h"
#include "tokenize/sentencepiece/spm_document.h"

namespace bitloom {
namespace {

constexpr std::array kNamed = {"bos_token", "eos_token", "unk_token", "sep_token",
                               "pad_token", "cls_token", "mask_token"};

using Find = FunctionRef<std::optional<int32_t>(const std::string&)>;

bool is_token(const Json& value) {
  return value.is_string() || (value.contains("content") && value["content"].is_string());
}

/// An entry of "added_tokens", its id left open.
Json entry_of(const JsonNode& node, bool special) {
  if (node.value().is_string()) return added_token(0, node.text(), special);
  special = special || node.flag_or("special", false);
  return {{"id", 0},
          {"content", node.at("content").text()},
          {"special", special},
          {"single_word", node.flag_or("single_word", false)},
          {"lstrip", node.flag_or("lstrip", false)},
          {"rstrip", node.flag_or("rstrip", false)},
          {"normalized", node.flag_or("normalized", !special)}};
}

std::string content_of(const Json& entry) { return entry["content"].get<std::string>(); }

/// An entry of a tokenizer.json with the flags that it leaves out.
Json with_all_flags(const Json& token) {
  Json full = {{"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"special", false}};
  full.update(token);
  if (!full.contains("normalized")) full["normalized"] = full["special"] != true;
  return full;
}

/// A key such as "32000".
int32_t id_in_key(const JsonNode& node, const std::string& key) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0)
    node.reject(fmt::format("has the key '{}', must be a token id", key));
  return id;
}

/// Appends tokens to a list of "added_tokens" as the tokenizers package does.
class Adder {
 public:
  Adder(const Json& own, size_t size, Find find) : list_(own.is_array() ? own : Json::array()), find_(find) {
    next_ = static_cast<int64_t>(size);
    for (const Json& token : list_) {
      if (!token.is_object() || !is_token(token)) continue;
      const std::string content = content_of(token);
      if (!at_.contains(content) && !find_(content)) ++next_;
      at_[content] = with_all_flags(token);
    }
  }

  bool has(const std::string& content) const { return at_.contains(content); }
  bool knows(const std::string& content) const { return has(content) || find_(content); }

  /// `id`: what the file at `node` says, if anything; only that of a new token counts.
  void add(const JsonNode& node, Json token, std::optional<int32_t> id) {
    const std::string content = content_of(token);
    if (content.empty()) return;
    const auto known = at_.find(content);
    const std::optional<int32_t> in_model = find_(content);
    token["id"] = known != at_.end() ? known->second["id"] : in_model ? Json(*in_model) : Json(next_);
    if (known != at_.end() && known->second == token) return;
    if (known == at_.end() && !in_model) {
      if (id && *id != next_) {
        node.reject(
            fmt::format("gives the new token '{}' the id {}, but the vocabulary and the tokens before it make "
                        "it {}",
                        content, *id, next_));
      }
      ++next_;
    }
    at_[content] = token;
    list_.push_back(std::move(token));
  }

  Json take() { return std::move(list_); }

 private:
  Json list_;
  Find find_;
  std::map<std::string, Json> at_;  // by content
  int64_t next_ = 0;
};

/// tokenizer_config.json as special_tokens_map.json completes it: members with the file that says them.
std::map<std::string, JsonNode> members_of(const Neighbours& files) {
  std::map<std::string, JsonNode> members;
  const auto take = [&](const Settings& settings) {
    const JsonNode root(settings.content, "", settings.path);
    for (const auto& [key, value] : settings.content.items()) {
      if (!value.is_null()) members.insert_or_assign(key, root.at(key));
    }
  };
  take(files.tokenizer_config);
  if (!members.contains("added_tokens_decoder")) take(files.special_tokens_map);
  return members;
}

/// The special tokens that members name, bos_token and its like first.
std::vector<JsonNode> named_tokens(const std::map<std::string, JsonNode>& members) {
  std::vector<JsonNode> tokens;
  const auto take = [&tokens](const JsonNode& node) {
    if (is_token(node.value())) tokens.push_back(node);
  };
  for (const char* key : kNamed) {
    if (const auto member = members.find(key); member != members.end()) take(member->second);
  }
  for (const auto& [key, node] : members) {
    const bool fixed = std::find(kNamed.begin(), kNamed.end(), key) != kNamed.end();
    if (!fixed && key.ends_with("_token")) take(node);
  }
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    const auto member = members.find(key);
    if (member == members.end() || member->second.value().empty()) continue;
    const JsonNode& list = member->second;
    if (list.value().is_object()) {
      for (const auto& [name, value] : list.value().items()) take(list.at(name));
    } else {
      for (const JsonNode& item : list.items()) take(item);
    }
    break;
  }
  return tokens;
}

void add_by_id(const JsonNode& node, const std::map<int32_t, Json>& tokens, Adder& adder) {
  for (const auto& [id, token] : tokens) adder.add(node, token, id);
}

void add_from_decoder(const JsonNode& node, Adder& adder) {
  if (!node.value().is_object()) node.reject("is no object");
  std::map<int32_t, Json> tokens;
  for (const auto& [key, value] : node.value().items()) {
    tokens[id_in_key(node, key)] = entry_of(node.at(key), false);
  }
  add_by_id(node, tokens, adder);
}

/// {"<|im_start|>": 32000}: tokens are special when they are named as such. One that the tokenizer has as an added
/// token keeps its flags.
void add_from_map(const Settings& settings, const std::vector<JsonNode>& named, Adder& adder) {
  std::set<std::string> special;
  for (const JsonNode& node : named) special.insert(content_of(entry_of(node, true)));
  const JsonNode root(settings.content, "", settings.path);
  std::map<int32_t, Json> tokens;
  for (const auto& [content, value] : settings.content.items()) {
    if (adder.has(content)) continue;
    Json token = added_token(0, content, special.contains(content));
    token["normalized"] = !special.contains(content);
    tokens[root.at(content).id()] = std::move(token);
  }
  add_by_id(root, tokens, adder);
}

bool is_end_or_begin(const JsonNode& node) { return node.path() == "bos_token" || node.path() == "eos_token"; }

}  // namespace

Json with_added_beside(const Json& own, const Neighbours& files, size_t size, Find find) {
  Adder adder(own, size, find);
  const std::map<std::string, JsonNode> members = members_of(files);
  const std::vector<JsonNode> named = named_tokens(members);
  const auto decoder = members.find("added_tokens_decoder");
  if (decoder != members.end()) {
    add_from_decoder(decoder->second, adder);
  } else {
    add_from_map(files.added_tokens, named, adder);
  }
  for (const JsonNode& node : named) {
    Json token = entry_of(node, true);
    const std::string content = content_of(token);
    if (adder.has(content) || (is_end_or_begin(node) && !adder.knows(content))) continue;
    adder.add(node, std::move(token), std::nullopt);
  }
  Json list = adder.take();
  return list.empty() ? own : list;
}

}  // namespace bitloom
