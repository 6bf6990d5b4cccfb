// model of type "WordLevel": a piece is a token, or unknown.
#include "tokenize/json/token_model.h"

namespace bitloom {
namespace {

class WordLevel : public TokenModel {
 public:
  explicit WordLevel(const JsonNode& node) : TokenModel(node), unk_token_(node.at("unk_token").text()) {
    vocabulary_.read(node.at("vocab"));
  }

  std::string_view kind() const override { return "WordLevel"; }

 protected:
  void encode_text(std::string_view piece, ModelScratch&, std::vector<int32_t>& ids) const override {
    const auto id = vocabulary_.find(std::string(piece));
    ids.push_back(id ? *id : unknown(unk_token_));
  }

 private:
  std::string unk_token_;
};

}  // namespace

std::unique_ptr<const TokenModel> make_word_level(const JsonNode& node) { return std::make_unique<WordLevel>(node); }

}  // namespace bitloom
