// The pipeline of tokenizer.json:
//   text -> added tokens taken out -> normalizer -> normalized added tokens taken out -> pre_tokenizer -> model
//        -> post_processor
#include <algorithm>

#include "io/hash.h"
#include "tokenize/engine.h"
#include "tokenize/json/added_tokens.h"
#include "tokenize/json/decoder.h"
#include "tokenize/json/normalizer.h"
#include "tokenize/json/post_processor.h"
#include "tokenize/json/pre_tokenizer.h"
#include "tokenize/json/token_model.h"

namespace bitloom {
namespace {

struct EncodeScratch {
  RegexScratch regex;
  ModelScratch model;
};

class JsonEngine : public Tokenizer::Engine {
 public:
  explicit JsonEngine(const JsonNode& root) : model_(load_model(root.at("model"))) {
    if (const auto node = root.find("normalizer")) normalizers_ = load_normalizers(*node);
    if (const auto node = root.find("pre_tokenizer")) pre_tokenizers_ = PreTokenizers(*node);
    if (const auto node = root.find("post_processor")) post_processor_ = PostProcessor(*node);
    if (const auto node = root.find("decoder")) decoders_ = load_decoders(*node);
    has_decoder_ = root.find("decoder").has_value();
    if (const auto node = root.find("added_tokens")) {
      added_ = AddedTokens(*node, normalizers_, vocabulary().size(),
                           [&](const std::string& token) { return vocabulary().find(token); });
    }
    largest_id_ = vocabulary().largest_id();
    if (!added_.by_id().empty()) largest_id_ = std::max(largest_id_, added_.by_id().rbegin()->first);
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    EncodeScratch scratch;
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 4 + 2);
    if (!added_.any(false)) {
      encode_plain({text, true}, scratch, ids);
      return post_processor_.apply(std::move(ids), add_special);
    }
    added_.split(text, false, [&](size_t begin, size_t end, int32_t id) {
      if (id >= 0) {
        if (begin < end) ids.push_back(id);
      } else {
        encode_plain({text.substr(begin, end - begin), begin == 0}, scratch, ids);
      }
    });
    return post_processor_.apply(std::move(ids), add_special);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const int32_t id : ids) {
      const std::string* token = spelled(id);
      if (token && !(skip_special && added_.is_special(*token))) tokens.push_back(*token);
    }
    for (const auto& decoder : decoders_) decoder->apply(tokens);
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (!has_decoder_ && i > 0) text += ' ';
      text += tokens[i];
    }
    return text;
  }

  std::optional<int32_t> token_to_id(const std::string& token) const override {
    const auto added = added_.find(token);
    return added ? added : vocabulary().find(token);
  }

  std::optional<std::string> id_to_token(int32_t id) const override {
    const auto added = added_.by_id().find(id);
    if (added != added_.by_id().end()) return added->second.content;
    const std::string* token = vocabulary().token(id);
    return token ? std::optional<std::string>(*token) : std::nullopt;
  }

  bool is_added(int32_t id) const override { return added_.by_id().contains(id); }
  int64_t vocab_size() const override { return int64_t{largest_id_} + 1; }
  int64_t base_vocab_size() const override { return int64_t{vocabulary().largest_id()} + 1; }
  std::vector<int32_t> prefix() const override { return post_processor_.prefix(); }
  void set_special(std::vector<int32_t> before, std::vector<int32_t> after) override {
    post_processor_ = PostProcessor(std::move(before), std::move(after));
  }

  std::string kind() const {
    return (pre_tokenizers_.ends_in_byte_alphabet() ? "byte-level " : "") + std::string(model_->kind());
  }

 private:
  const Vocabulary& vocabulary() const { return model_->vocabulary(); }

  // How the token is spelled for decoding: an added one as it was searched for.
  const std::string* spelled(int32_t id) const {
    const auto added = added_.by_id().find(id);
    return added != added_.by_id().end() ? &added->second.spelled : vocabulary().token(id);
  }

  // Text without plain added tokens.
  void encode_plain(TextPiece piece, EncodeScratch& scratch, std::vector<int32_t>& ids) const {
    if (normalizers_.empty()) return encode_normalized(piece, scratch, ids);
    NormalizedText text{std::string(piece.text), piece.at_start};
    for (const auto& normalizer : normalizers_) normalizer->apply(text, scratch.regex);
    encode_normalized({text.text, text.at_start}, scratch, ids);
  }

  void encode_normalized(TextPiece piece, EncodeScratch& scratch, std::vector<int32_t>& ids) const {
    if (!added_.any(true)) return encode_words(piece, scratch, ids);
    added_.split(piece.text, true, [&](size_t begin, size_t end, int32_t id) {
      if (id >= 0) {
        if (begin < end) ids.push_back(id);
      } else {
        encode_words({piece.text.substr(begin, end - begin), piece.at_start && begin == 0}, scratch, ids);
      }
    });
  }

  void encode_words(TextPiece piece, EncodeScratch& scratch, std::vector<int32_t>& ids) const {
    const bool byte_alphabet = pre_tokenizers_.ends_in_byte_alphabet();
    pre_tokenizers_.split(piece, scratch.regex,
                          [&](TextPiece part) { model_->encode(part.text, byte_alphabet, scratch.model, ids); });
  }

  std::unique_ptr<const TokenModel> model_;
  Normalizers normalizers_;
  PreTokenizers pre_tokenizers_;
  PostProcessor post_processor_;
  TokenDecoders decoders_;
  bool has_decoder_ = false;
  AddedTokens added_;
  int32_t largest_id_ = -1;
};

}  // namespace

std::unique_ptr<Tokenizer::Engine> make_json_engine(const Json& document, const std::string& origin,
                                                    const std::string& label) {
  const JsonNode root(document, "", origin);
  auto engine = std::make_unique<JsonEngine>(root);
  engine->origin = origin;
  engine->hash = sha256_hex(document.dump());
  engine->description = fmt::format("{} {}, {} tokens", label, engine->kind(), engine->vocab_size());
  const std::vector<int32_t> prefix = engine->prefix();
  if (!prefix.empty()) engine->bos = prefix.front();
  return engine;
}

}  // namespace bitloom
