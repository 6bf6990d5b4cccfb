// model of type "Unigram": the cut of the piece into tokens whose scores (log probabilities) have the largest sum.
//
//   best(0) = 0
//   best(e) = max over tokens t = text[b, e) of best(b) + score(t), b and the tokens at b in rising order, the first of
//   equals a character that is no token: the unknown one, score = least score - 10
//
// Neighbouring unknown tokens are one; what that is spelled in is the token of this spelling, else byte tokens <0xNN>,
// else the unknown token. Source: Kudo 2018 (arXiv 1804.10959); the tokenizers package's encode_optimized.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tokenize/json/token_model.h"
#include "tokenize/text/prefix_trie.h"
#include "tokenize/text/token_limit.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr size_t kMaxPiece = 0x7FFFFFF0u;

class Unigram : public TokenModel {
 public:
  explicit Unigram(const JsonNode& node) : TokenModel(node), byte_fallback_(node.flag_or("byte_fallback", false)) {
    read_vocabulary(node.at("vocab"));
    if (const auto unknown = node.find("unk_id")) {
      unk_id_ = unknown->id();
      if (static_cast<size_t>(*unk_id_) >= scores_.size())
        unknown->reject(fmt::format("is {}, but the vocabulary has {} tokens", *unk_id_, scores_.size()));
    }
    for (unsigned byte = 0; byte < 256; ++byte)
      bytes_.push_back(vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1));
  }

  std::string_view kind() const override { return byte_fallback_ ? "Unigram with byte fallback" : "Unigram"; }

 protected:
  void encode_text(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const override {
    if (text.size() > kMaxPiece) fail(ErrorKind::kFailed, "{}: a piece of {} bytes is too long", where_, text.size());
    find_path(text, scratch.path);
    // The path is read from its end; symbols holds the places where its tokens begin.
    scratch.symbols.clear();
    for (size_t end = text.size(); end > 0; end = scratch.path[end].begin)
      scratch.symbols.push_back(static_cast<int32_t>(scratch.path[end].begin));
    std::reverse(scratch.symbols.begin(), scratch.symbols.end());
    append_path(text, scratch, ids);
  }

 private:
  void read_vocabulary(const JsonNode& node) {
    if (!node.value().is_array()) node.reject("is no array of tokens and scores");
    if (node.value().empty()) node.reject("is empty");
    vocabulary_.reserve(node.value().size());
    for (size_t id = 0; id < node.value().size(); ++id) {
      const Json& pair = node.value()[id];
      const JsonNode entry(pair, fmt::format("{}[{}]", node.path(), id), node.origin());
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_number())
        entry.reject("must be a token and its score");
      const auto& token = pair[0].get_ref<const std::string&>();
      const double score = pair[1].get<double>();
      if (!std::isfinite(score)) entry.reject(fmt::format("has the score {}", score));
      if (token.size() > kMaxTokenBytes)
        entry.reject(fmt::format("is a token of {} bytes (at most {})", token.size(), kMaxTokenBytes));
      vocabulary_.add_again(token, static_cast<int32_t>(id));
      scores_.push_back(score);
      least_ = std::min(least_, score);
    }
    PrefixTrie::Entries entries(vocabulary_.ids().begin(), vocabulary_.ids().end());
    trie_ = PrefixTrie(std::move(entries));
  }

  void find_path(std::string_view text, std::vector<ModelScratch::PathNode>& path) const {
    path.assign(text.size() + 1, {});
    for (size_t begin = 0, next = 0; begin < text.size(); begin = next) {
      next_code_point(text, next);
      const double before = path[begin].score;
      const auto offer = [&](size_t end, int32_t id, double score) {
        ModelScratch::PathNode& node = path[end];
        if (node.id >= 0 && !(before + score > node.score)) return;
        if (id < 0) fail(ErrorKind::kRefused, "{}: no token for a character of the text, and no unk_id", where_);
        node = {before + score, static_cast<uint32_t>(begin), id};
      };
      bool single = false;
      trie_.prefixes(text.substr(begin), [&](size_t length, int32_t id) {
        offer(begin + length, id, scores_[static_cast<size_t>(id)]);
        single = single || begin + length == next;
      });
      if (!single) offer(next, unk_id_.value_or(-1), least_ - kUnknownPenalty);
    }
  }

  void append_path(std::string_view text, const ModelScratch& scratch, std::vector<int32_t>& ids) const {
    const std::vector<int32_t>& begins = scratch.symbols;
    const auto end_of = [&](size_t i) {
      return i + 1 < begins.size() ? static_cast<size_t>(begins[i + 1]) : text.size();
    };
    for (size_t i = 0; i < begins.size();) {
      const auto begin = static_cast<size_t>(begins[i]);
      const int32_t id = scratch.path[end_of(i)].id;
      size_t end = end_of(i++);
      if (id != unk_id_) {
        ids.push_back(id);
        continue;
      }
      while (i < begins.size() && scratch.path[end_of(i)].id == id) end = end_of(i++);
      append_unknown(text.substr(begin, end - begin), id, ids);
    }
  }

  void append_unknown(std::string_view run, int32_t id, std::vector<int32_t>& ids) const {
    if (run.size() <= kMaxTokenBytes) {
      if (const auto known = vocabulary_.find(std::string(run))) return ids.push_back(*known);
    }
    const auto byte_id = [this](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
    if (!byte_fallback_ || std::any_of(run.begin(), run.end(), [&](char byte) { return byte_id(byte) < 0; }))
      return ids.push_back(id);
    for (const char byte : run) ids.push_back(byte_id(byte));
  }

  bool byte_fallback_;
  std::optional<int32_t> unk_id_;
  std::vector<double> scores_;
  double least_ = std::numeric_limits<double>::infinity();
  std::vector<int32_t> bytes_;  // id of <0xNN>, -1: none
  PrefixTrie trie_;
};

}  // namespace

std::unique_ptr<const TokenModel> make_unigram(const JsonNode& node) { return std::make_unique<Unigram>(node); }

}  // namespace bitloom
