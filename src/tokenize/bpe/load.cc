// BpeModel from the "model" of a tokenizer.json.
#include "tokenize/bpe/bpe.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

std::pair<std::string, std::string> read_merge(const JsonNode& node) {
  if (node.value().is_array()) {
    const auto parts = node.items();
    if (parts.size() != 2) node.reject(fmt::format("has {} parts, must be a pair", parts.size()));
    return {parts[0].text(), parts[1].text()};
  }
  const std::string& text = node.text();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    node.reject(fmt::format("is '{}', must be two tokens with one space between them", text));
  return {text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

BpeModel::BpeModel(const JsonNode& node) : TokenModel(node) {
  const auto dropout = node.find("dropout");
  if (dropout && !(dropout->value().is_number() && dropout->value().get<double>() == 0.0))
    dropout->reject(fmt::format("is {}; only null and 0 are supported", dropout->value().dump()));
  prefix_ = node.text_or("continuing_subword_prefix", "");
  suffix_ = node.text_or("end_of_word_suffix", "");
  fuse_unk_ = node.flag_or("fuse_unk", false);
  byte_fallback_ = node.flag_or("byte_fallback", false);
  ignore_merges_ = node.flag_or("ignore_merges", false);
  read_vocabulary(node.at("vocab"));
  if (const auto unk = node.find("unk_token")) {
    unk_token_ = unk->text();
    unk_id_ = vocabulary_.find(*unk_token_);
  }
  read_merges(node.at("merges"), node.find("merge_ranks"));
}

void BpeModel::read_vocabulary(const JsonNode& node) {
  vocabulary_.read(node);
  small_characters_.assign(kSmall, -1);
  for (const auto& [token, id] : vocabulary_.ids()) {
    if (token.empty()) continue;
    size_t length = 0;
    const char32_t c = next_code_point(token, length);
    if (length != token.size()) continue;
    characters_.emplace(c, id);
    if (c < kSmall) small_characters_[c] = id;
  }
  for (unsigned byte = 0; byte < 256; ++byte)
    bytes_.push_back(vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1));
}

void BpeModel::read_merges(const JsonNode& node, const std::optional<JsonNode>& merge_ranks) {
  if (!node.value().is_array()) node.reject("is no array");
  std::optional<std::vector<JsonNode>> ranks;
  if (merge_ranks) ranks = merge_ranks->items();
  if (ranks && ranks->size() != node.value().size())
    merge_ranks->reject(fmt::format("has {} entries, merges has {}", ranks->size(), node.value().size()));
  // What the byte tokens and unk_token stand for is not how they are spelled; a merge that takes one forbids cutting.
  cutting_ = prefix_.empty() && suffix_.empty() && !ignore_merges_;
  for (size_t i = 0; i < node.value().size(); ++i) {
    const Json& value = node.value()[i];
    const JsonNode merge(value, fmt::format("{}[{}]", node.path(), i), node.origin());
    if (value.is_string() && value.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = read_merge(merge);
    add_merge(merge, left, right, ranks ? static_cast<uint32_t>((*ranks)[i].id()) : static_cast<uint32_t>(i));
  }
  ascii_cut_.assign(size_t{128} * 128, false);
  for (char32_t left = 0; left < 128; ++left) {
    for (char32_t right = 0; right < 128; ++right) {
      ascii_cut_[left * 128 + right] = small_characters_[left] >= 0 && small_characters_[right] >= 0 &&
                                       !joined_.contains((static_cast<uint64_t>(left) << 32) | right);
    }
  }
}

void BpeModel::add_merge(const JsonNode& where, const std::string& left, const std::string& right, uint32_t rank) {
  const auto need = [&](const std::string& token) {
    const auto id = vocabulary_.find(token);
    if (!id) where.reject(fmt::format("names '{}', which is not in the vocabulary", token));
    return *id;
  };
  const int32_t left_id = need(left);
  const int32_t right_id = need(right);
  if (right.size() < prefix_.size())
    where.reject(fmt::format("has '{}', which is shorter than continuing_subword_prefix '{}'", right, prefix_));
  merges_.set(left_id, right_id, rank, need(left + right.substr(prefix_.size())));
  const auto stands_for_other = [&](const std::string& token, int32_t id) {
    return (unk_id_ && id == *unk_id_) || (byte_fallback_ && token.size() == 6 && token.starts_with("<0x"));
  };
  if (left.empty() || right.empty() || stands_for_other(left, left_id) || stands_for_other(right, right_id)) {
    cutting_ = false;
    return;
  }
  size_t last = previous_code_point(left, left.size());
  size_t first = 0;
  const char32_t before = next_code_point(left, last);
  joined_.insert((static_cast<uint64_t>(before) << 32) | next_code_point(right, first));
}

}  // namespace bitloom
