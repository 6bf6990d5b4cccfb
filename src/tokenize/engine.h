#pragma once
// What a Tokenizer is made of: one of two loaded forms, and the facts that belong to it.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenize/settings.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct Tokenizer::Engine {
  virtual ~Engine() = default;

  /// `text` is valid UTF-8. Thread-safe, as everything const is here.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;
  virtual std::optional<int32_t> token_to_id(const std::string& token) const = 0;
  /// nullopt when no token has this id.
  virtual std::optional<std::string> id_to_token(int32_t id) const = 0;
  /// Whether the token is cut out of text whole, as special tokens are.
  virtual bool is_added(int32_t id) const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t base_vocab_size() const { return vocab_size(); }
  /// Ids put before the sequence by encode(..., true).
  virtual std::vector<int32_t> prefix() const = 0;
  /// Puts these around every sequence instead of what the file says.
  virtual void set_special(std::vector<int32_t> before, std::vector<int32_t> after) = 0;

  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  bool has_template = false;  // says itself what stands around a sequence
  std::string origin;         // file, for messages
  std::string hash;
  std::string description;
};

/// From a tokenizer.json document. `label` begins the description ("tokenizer.json").
std::unique_ptr<Tokenizer::Engine> make_json_engine(const Json& document, const std::string& origin,
                                                    const std::string& label);

/// The same with the tokens that `files` add.
std::unique_ptr<Tokenizer::Engine> make_json_engine(Json document, const Neighbours& files, const std::string& origin,
                                                    const std::string& label);

/// From vocab.json at `path` and merges.txt beside it. Error(kRefused) where `files` name no tokenizer class that cuts
/// text in a known way, and for a line of merges.txt that vocab.json contradicts.
std::unique_ptr<Tokenizer::Engine> make_vocab_merges_engine(const std::string& path, const Neighbours& files);

/// From Mistral's tekken.json.
std::unique_ptr<Tokenizer::Engine> make_tekken_engine(const std::string& path, const Neighbours& files);

/// From a SentencePiece model with the tokens that `files` add.
std::unique_ptr<Tokenizer::Engine> make_sentencepiece_engine(const std::string& path, const Neighbours& files);

}  // namespace bitloom
