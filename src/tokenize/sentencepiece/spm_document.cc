#include "tokenize/sentencepiece/spm_document.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/text/token_limit.h"

namespace bitloom {
namespace {

constexpr const char* kSpace = "\xE2\x96\x81";

struct Merge {
  double score;
  size_t left_length, right_length;
  std::string_view left, right;
};

// Higher scores first. Among equals the order does not matter to us; longer parts first is what converters write.
bool before(const Merge& a, const Merge& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.left_length != b.left_length) return a.left_length > b.left_length;
  return a.right_length > b.right_length;
}

using Ids = std::unordered_map<std::string_view, int32_t>;

Ids index(const SpmVocabulary& v) {
  Ids ids;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    const std::string& token = v.tokens[i];
    if (first_invalid_utf8(token) != token.size()) refuse("{}: token {} is not valid UTF-8", v.origin, i);
    if (!std::isfinite(v.scores[i])) refuse("{}: token {} has the score {}", v.origin, i, v.scores[i]);
    if (v.types[i] == PieceType::kNormal && token.size() > kMaxTokenBytes)
      refuse("{}: token {} is {} bytes long (at most {})", v.origin, i, token.size(), kMaxTokenBytes);
    const auto [other, fresh] = ids.emplace(token, static_cast<int32_t>(i));
    if (!fresh) refuse("{}: tokens {} and {} are both '{}'", v.origin, other->second, i, token);
  }
  return ids;
}

// Only normal pieces take part in merges; unused ones are never the result.
std::vector<Merge> all_merges(const SpmVocabulary& v, const Ids& ids) {
  const auto merges_from = [&](std::string_view part) {
    const auto found = ids.find(part);
    return found != ids.end() && v.types[static_cast<size_t>(found->second)] == PieceType::kNormal;
  };
  std::vector<Merge> merges;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.types[i] != PieceType::kNormal) continue;
    const std::string_view token = v.tokens[i];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if ((static_cast<unsigned char>(token[cut]) & 0xC0) == 0x80) continue;
      const std::string_view left = token.substr(0, cut);
      const std::string_view right = token.substr(cut);
      if (merges_from(left) && merges_from(right)) {
        merges.push_back({v.scores[i], left.size(), right.size(), left, right});
      }
    }
  }
  std::stable_sort(merges.begin(), merges.end(), before);
  return merges;
}

bool has_all_bytes(const Ids& ids) {
  for (int byte = 0; byte < 256; ++byte) {
    if (!ids.contains(fmt::format("<0x{:02X}>", byte))) return false;
  }
  return true;
}

Json model_of(const SpmVocabulary& v, const Ids& ids) {
  Json vocabulary = Json::object();
  for (size_t i = 0; i < v.tokens.size(); ++i) vocabulary[v.tokens[i]] = i;
  Json merges = Json::array();
  Json ranks = Json::array();
  const std::vector<Merge> all = all_merges(v, ids);
  size_t rank = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && all[i].score != all[i - 1].score) ++rank;
    merges.push_back(Json::array({all[i].left, all[i].right}));
    ranks.push_back(rank);
  }
  Json model = {{"type", "BPE"},      {"byte_fallback", has_all_bytes(ids)},
                {"fuse_unk", true},   {"unk_token", nullptr},
                {"merges", merges},   {"merge_ranks", ranks},
                {"vocab", vocabulary}};
  const auto unknown = std::find(v.types.begin(), v.types.end(), PieceType::kUnknown);
  if (unknown != v.types.end()) model["unk_token"] = v.tokens[static_cast<size_t>(unknown - v.types.begin())];
  return model;
}

Json added_tokens_of(const SpmVocabulary& v) {
  Json added = Json::array();
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    const PieceType type = v.types[i];
    if (v.tokens[i].empty() || type == PieceType::kNormal || type == PieceType::kByte || type == PieceType::kUnused)
      continue;
    added.push_back(added_token(static_cast<int32_t>(i), v.tokens[i], type != PieceType::kUserDefined));
  }
  return added;
}

}  // namespace

Json added_token(int32_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content}, {"special", special}, {"single_word", false},
          {"lstrip", false}, {"rstrip", false},    {"normalized", false}};
}

Json template_processing(const std::vector<int32_t>& before, const std::vector<int32_t>& after,
                         const std::vector<std::string>& tokens) {
  if (before.empty() && after.empty()) return nullptr;
  Json single = Json::array();
  Json special = Json::object();
  const auto add = [&](const std::vector<int32_t>& ids) {
    for (const int32_t id : ids) {
      const std::string& token = tokens[static_cast<size_t>(id)];
      single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
      special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    }
  };
  add(before);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add(after);
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

Json spm_document(const SpmVocabulary& v) {
  const Ids ids = index(v);
  Json normalizers = Json::array();
  if (v.add_space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
  Json decoders = Json::array({{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}}});
  if (v.add_space_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"version", "1.0"},
          {"added_tokens", added_tokens_of(v)},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", template_processing(v.before, v.after, v.tokens)},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model", model_of(v, ids)}};
}

}  // namespace bitloom
