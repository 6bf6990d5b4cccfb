// model of type "WordPiece": from left to right the longest token that the rest of the word begins with; behind the
// first, tokens are spelled with continuing_subword_prefix ("##ing"). A word that cannot be spelled so, or is too long,
// is unknown. Source: the tokenizers package's WordPiece.
#include "base/text/text.h"
#include "tokenize/json/token_model.h"
#include "tokenize/text/prefix_trie.h"
#include "tokenize/text/token_limit.h"

namespace bitloom {
namespace {

class WordPiece : public TokenModel {
 public:
  explicit WordPiece(const JsonNode& node) : TokenModel(node), unk_token_(node.at("unk_token").text()) {
    const std::string& prefix = node.at("continuing_subword_prefix").text();
    max_characters_ = node.at("max_input_chars_per_word").id();
    vocabulary_.read(node.at("vocab"));
    PrefixTrie::Entries first, later;
    for (const auto& [token, id] : vocabulary_.ids()) {
      if (token.size() > kMaxTokenBytes)
        node.at("vocab").reject(
            fmt::format("has a token (id {}) of {} bytes (at most {})", id, token.size(), kMaxTokenBytes));
      first.emplace_back(token, id);
      if (token.starts_with(prefix)) later.emplace_back(std::string_view(token).substr(prefix.size()), id);
    }
    first_ = PrefixTrie(std::move(first));
    later_ = PrefixTrie(std::move(later));
  }

  std::string_view kind() const override { return "WordPiece"; }

 protected:
  void encode_text(std::string_view word, ModelScratch&, std::vector<int32_t>& ids) const override {
    const size_t before = ids.size();
    size_t done = count_characters(word) > max_characters_ ? word.npos : 0;
    while (done < word.size()) {
      size_t length = 0;
      int32_t id = -1;
      (done == 0 ? first_ : later_).prefixes(word.substr(done), [&](size_t longer, int32_t token) {
        length = longer;
        id = token;
      });
      if (length == 0) break;
      ids.push_back(id);
      done += length;
    }
    if (done == word.size()) return;
    ids.resize(before);
    ids.push_back(unknown(unk_token_));
  }

 private:
  std::string unk_token_;
  int64_t max_characters_ = 0;
  PrefixTrie first_, later_;
};

}  // namespace

std::unique_ptr<const TokenModel> make_word_piece(const JsonNode& node) { return std::make_unique<WordPiece>(node); }

}  // namespace bitloom
