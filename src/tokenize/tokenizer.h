#pragma once
// Text to token ids and back, identical to the PyPI "tokenizers" package for every tokenizer.json bitloom accepts.
//
// Goals: one in-memory form for all sources. tokenizer.json is the native one; GGUF keys, llama2.c's tokenizer.bin,
// GPT-2's vocab.json with merges.txt and Mistral's tekken.json are turned into a tokenizer.json document first, so
// there is one engine to trust; tokenizer.model has one of its own, identical to the SentencePiece library, whose
// normalizer and models no such document can say. Non-goals: training, offsets, truncation and padding.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/ggml/gguf.h"
#include "io/json.h"

namespace bitloom {

class Tokenizer {
 public:
  /// From a model directory: tokenizer.json, else tokenizer.model, else tokenizer.bin, else vocab.json (with
  /// merges.txt), else tekken.json, with the tokens that files beside it add (added_beside.h); bos/eos from
  /// tokenizer_config.json, special_tokens_map.json, config.json, generation_config.json. Error(kRefused) names the
  /// file and the unsupported part.
  static Tokenizer load(const std::string& directory);
  /// Whether the directory has one of these files.
  static bool is_in(const std::string& directory);
  static Tokenizer from_gguf(const GgufFile& file);
  /// From a tokenizer.json document; `origin` is for messages.
  static Tokenizer from_json(const Json& document, const std::string& origin);

  /// The same for a model that embeds ids below `rows` alone: encode() refuses a text with another, naming the token.
  Tokenizer limited_to(int64_t rows) const;
  /// Without such a limit, to see what a text's ids are.
  Tokenizer unlimited() const;
  /// The first of `ids` that limited_to() forbids.
  std::optional<int32_t> first_beyond_limit(std::span<const int32_t> ids) const;

  /// The same where `text` follows an answer, in a chat template's words ("<|im_end|>\n"): the added token that it
  /// begins with, blanks aside, is one of end_ids() too.
  Tokenizer with_turn_ending_in(std::string_view text) const;

  /// Ids of `text` (valid UTF-8, else Error(kRefused) with the offset). `add_special` applies the post-processor
  /// (BOS and the like); special tokens written in the text are recognised either way.
  std::vector<int32_t> encode(std::string_view text, bool add_special = true) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  /// Number of ids, added tokens included (largest id + 1).
  int64_t vocab_size() const;
  /// The same without the added tokens.
  int64_t base_vocab_size() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it. Error(kUsage) for an id out of range.
  std::string id_to_token(int32_t id) const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  /// The tokens that end a text or a turn: eos_id(), added tokens that are spelled as such ("<|im_end|>"; the list is
  /// llama.cpp's), and the chat template's.
  std::vector<int32_t> end_ids() const;
  /// Whether encode(..., true) puts BOS first.
  bool adds_bos() const;
  /// SHA-256 of the tokenizer's definition; kept with every result and file.
  const std::string& hash() const;
  /// "tokenizer.json byte-level BPE, 49152 tokens": for `info`.
  std::string describe() const;

  /// Decodes one id at a time and never gives out part of a UTF-8 character.
  class Stream {
   public:
    /// `before`: what the ids to come continue, such as a prompt; its text is not given out, but whether a token
    /// begins with a space may depend on it.
    explicit Stream(const Tokenizer& tokenizer, bool skip_special = true, std::span<const int32_t> before = {});
    /// Text that became final with this id; may be empty.
    std::string push(int32_t id);
    /// The rest; incomplete characters as U+FFFD.
    std::string finish();

   private:
    void drop_broken_character();

    const Tokenizer* tokenizer_;
    bool skip_special_;
    std::vector<int32_t> ids_;
    size_t prefix_ = 0, given_ = 0;
  };

  struct Engine;  // the loaded form; see engine.h

 private:
  explicit Tokenizer(std::shared_ptr<const Engine> engine);
  std::shared_ptr<const Engine> engine_;
  std::optional<int32_t> turn_end_;
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  int64_t rows_ = kNoLimit;
};

/// A tokenizer.json document equal in effect to a GGUF file's tokenizer.* keys ("llama" and "gpt2" models).
/// Error(kRefused) names the file, the key and the supported values of tokenizer.ggml.model and .pre.
Json tokenizer_json_from_gguf(const GgufFile& file);

/// The same for llama2.c's tokenizer.bin.
Json tokenizer_json_from_llama2c(const std::string& path);

}  // namespace bitloom
