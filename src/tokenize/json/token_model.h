#pragma once
// model of tokenizer.json: a pre-tokenized piece to the ids of its tokens.
//
// Non-goals: dropout and sampling.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenize/bpe/merge.h"
#include "tokenize/json/json_node.h"
#include "tokenize/piece_cache.h"

namespace bitloom {

/// What encoding needs besides the model. One per call, never shared between threads.
struct ModelScratch {
  struct PathNode {  // of the best path that ends at a byte; see unigram.cc
    double score = 0;
    uint32_t begin = 0;
    int32_t id = -1;  // -1: none ends here
  };
  PieceCache cache;
  MergeScratch merge;
  std::vector<int32_t> symbols;
  std::vector<PathNode> path;
};

/// Tokens and their ids, both ways.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  /// Adds an object of tokens and ids.
  void read(const JsonNode& node);
  void reserve(size_t count) { ids_.reserve(count); }
  /// Adds a token of the vocabulary at `node`. Error(kRefused) when the token or the id is there.
  void add(const JsonNode& node, const std::string& token, int32_t id);

  /// The same where a token may have several ids, of which the last is its own: the package's trainer of Unigram models
  /// writes the unknown token twice.
  void add_again(const std::string& token, int32_t id);

  size_t size() const { return tokens_.size(); }
  int32_t largest_id() const { return largest_id_; }
  std::optional<int32_t> find(const std::string& token) const;
  /// nullptr when no token has this id.
  const std::string* token(int32_t id) const;
  const std::unordered_map<std::string, int32_t>& ids() const { return ids_; }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<int32_t, const std::string*> tokens_;  // points into ids_
  int32_t largest_id_ = -1;
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// Appends the ids of a pre-tokenized piece. With `byte_alphabet` the piece is first rewritten in it (byte_level.h).
  virtual void encode(std::string_view piece, bool byte_alphabet, ModelScratch& scratch,
                      std::vector<int32_t>& ids) const;
  /// Its name, for descriptions: "BPE with byte fallback".
  virtual std::string_view kind() const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit TokenModel(const JsonNode& node) : where_(fmt::format("{}: {}", node.origin(), node.path())) {}
  virtual void encode_text(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const = 0;
  /// The unknown token's id. Error(kRefused) when the vocabulary lacks it, which matters to some texts alone.
  int32_t unknown(const std::string& token) const;

  Vocabulary vocabulary_;
  std::string where_;  // for messages while encoding
};

std::unique_ptr<const TokenModel> load_model(const JsonNode& node);

/// What the table of load_model calls, each in a file of its own.
std::unique_ptr<const TokenModel> make_bpe(const JsonNode& node);
std::unique_ptr<const TokenModel> make_unigram(const JsonNode& node);
std::unique_ptr<const TokenModel> make_word_piece(const JsonNode& node);
std::unique_ptr<const TokenModel> make_word_level(const JsonNode& node);

}  // namespace bitloom
