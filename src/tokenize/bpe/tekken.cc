// tekken.json, Mistral's file of a byte-level BPE:
//
//   {"config": {"pattern": REGEX, "default_vocab_size": N, "default_num_special_tokens": S},
//    "vocab": [{"rank": 0, "token_bytes": BASE64}, ...], "special_tokens": [{"rank": 0, "token_str": "<s>"}, ...]}
//
// Ids 0 to S - 1 are the special tokens by rank, unnamed ones "<SPECIAL_i>"; id S + r is the token of rank r, of which
// the first N - S count. Neighbours merge to the token of the lowest rank; a piece that is a token is that token.
// Source: mistral_common's Tekkenizer; transformers 5, integrations/mistral/tokenizer.py.
#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "tokenize/bpe/byte_level.h"
#include "tokenize/engine.h"
#include "tokenize/json/json_node.h"
#include "tokenize/sentencepiece/spm_document.h"
#include "tokenize/text/base64.h"
#include "tokenize/text/token_limit.h"

namespace bitloom {
namespace {

struct Tekken {
  std::vector<std::string> special;  // by rank
  std::vector<std::string> tokens;   // bytes, by rank
};

/// The member `key` of config; nullopt when absent.
std::optional<size_t> count_in(const JsonNode& config, const std::string& key) {
  const auto node = config.find(key);
  return node ? std::optional<size_t>(static_cast<size_t>(node->id())) : std::nullopt;
}

/// Entries in the order of their ranks, which go from 0 up without a gap.
std::vector<JsonNode> by_rank(const JsonNode& list) {
  const std::vector<JsonNode> items = list.items();
  std::vector<std::optional<JsonNode>> placed(items.size());
  for (const JsonNode& item : items) {
    const JsonNode rank = item.at("rank");
    const auto at = static_cast<size_t>(rank.id());
    if (at >= placed.size())
      rank.reject(fmt::format("is {}, must be below the number of entries, {}", at, placed.size()));
    if (placed[at]) rank.reject(fmt::format("is {}, as {} is", at, placed[at]->at("rank").path()));
    placed[at] = item;
  }
  std::vector<JsonNode> result;
  for (const auto& item : placed) result.push_back(*item);
  return result;
}

std::vector<std::string> special_tokens(const JsonNode& root, std::optional<size_t> count) {
  std::vector<std::string> special;
  for (const JsonNode& entry : by_rank(root.at("special_tokens"))) special.push_back(entry.at("token_str").text());
  if (count && *count < special.size())
    root.at("config")
        .at("default_num_special_tokens")
        .reject(fmt::format("is {}, but special_tokens has {}", *count, special.size()));
  // A claim of more is checked by the vocabulary's size before anything is made of it.
  for (size_t i = special.size(); count && i < *count; ++i) special.push_back(fmt::format("<SPECIAL_{}>", i));
  return special;
}

Tekken read_tekken(const JsonNode& root) {
  const JsonNode config = root.at("config");
  const JsonNode vocabulary = root.at("vocab");
  const std::vector<JsonNode> entries = by_rank(vocabulary);
  const auto special = count_in(config, "default_num_special_tokens");
  const auto all = count_in(config, "default_vocab_size");
  if (special && *special > entries.size())
    config.at("default_num_special_tokens")
        .reject(fmt::format("is {}, more than the {} tokens of vocab", *special, entries.size()));
  Tekken tekken{special_tokens(root, special), {}};
  if (all && *all < tekken.special.size())
    config.at("default_vocab_size")
        .reject(fmt::format("is {}, less than the {} special tokens", *all, tekken.special.size()));
  const size_t kept = std::min(entries.size(), all ? *all - tekken.special.size() : entries.size());
  for (size_t rank = 0; rank < kept; ++rank) {
    const JsonNode bytes = entries[rank].at("token_bytes");
    auto token = decode_base64(bytes.text());
    if (!token || token->empty())
      bytes.reject(fmt::format("is '{}', must be base64 of one byte or more", bytes.text()));
    if (token->size() > kMaxTokenBytes)
      bytes.reject(fmt::format("has {} bytes (at most {})", token->size(), kMaxTokenBytes));
    tekken.tokens.push_back(*std::move(token));
  }
  return tekken;
}

/// Every way to cut a token into two tokens is a merge, by the rank of the token, of equals by those of its parts.
Json merges_of(const JsonNode& root, const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, size_t> ranks;
  for (size_t rank = 0; rank < tokens.size(); ++rank) {
    const auto [other, fresh] = ranks.emplace(tokens[rank], rank);
    if (!fresh) root.at("vocab").reject(fmt::format("has the same bytes at the ranks {} and {}", other->second, rank));
  }
  Json merges = Json::array();
  std::vector<std::pair<size_t, size_t>> cuts;
  for (const std::string_view token : tokens) {
    cuts.clear();
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ranks.find(token.substr(0, cut)), right = ranks.find(token.substr(cut));
      if (left != ranks.end() && right != ranks.end()) cuts.emplace_back(left->second, right->second);
    }
    std::sort(cuts.begin(), cuts.end());
    for (const auto& [left, right] : cuts)
      merges.push_back(Json::array({to_byte_alphabet(tokens[left]), to_byte_alphabet(tokens[right])}));
  }
  return merges;
}

}  // namespace

std::unique_ptr<Tokenizer::Engine> make_tekken_engine(const std::string& path, const Neighbours& files) {
  const Json content = read_json(path);
  const JsonNode root(content, "", path);
  const Tekken tekken = read_tekken(root);
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < tekken.special.size(); ++id) {
    added.push_back(added_token(static_cast<int32_t>(id), tekken.special[id], true));
    if (!vocabulary.emplace(tekken.special[id], id).second)
      root.at("special_tokens").reject(fmt::format("has '{}' twice", tekken.special[id]));
  }
  // Text that is spelled as a special token is cut out before a token of the same bytes could arise.
  for (size_t rank = 0; rank < tekken.tokens.size(); ++rank)
    vocabulary.emplace(to_byte_alphabet(tekken.tokens[rank]), tekken.special.size() + rank);
  Json split = {{"type", "Split"}, {"behavior", "Isolated"}, {"invert", false}};
  split["pattern"] = {{"Regex", root.at("config").at("pattern").text()}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  Json document = {{"version", "1.0"},
                   {"added_tokens", std::move(added)},
                   {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}}},
                   {"decoder", {{"type", "ByteLevel"}}},
                   {"model",
                    {{"type", "BPE"},
                     {"ignore_merges", true},
                     {"vocab", std::move(vocabulary)},
                     {"merges", merges_of(root, tekken.tokens)}}}};
  auto engine = make_json_engine(std::move(document), files, path, "tekken.json");
  engine->bos = engine->token_to_id("<s>");
  engine->eos = engine->token_to_id("</s>");
  // As the tokenizer.json of the same models has it.
  if (engine->bos) engine->set_special({*engine->bos}, {});
  return engine;
}

}  // namespace bitloom
