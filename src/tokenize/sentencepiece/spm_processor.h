#pragma once
// What the SentencePiece library makes of a tokenizer.model (Kudo and Richardson, 2018): text to pieces and back. The
// ids and texts are the library's, ties and roundings included.
//
// Non-goals: sampling, training, offsets.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenize/sentencepiece/spm_model.h"
#include "tokenize/sentencepiece/spm_normalizer.h"
#include "tokenize/text/prefix_trie.h"

namespace bitloom {

/// Stretches of a normalized text and their pieces.
using SpmPath = std::vector<std::pair<std::string_view, int32_t>>;

class SpmProcessor {
 public:
  /// Error(kRefused) for what the library refuses: two pieces alike, no unknown piece or several, a byte piece without
  /// byte fallback, byte fallback without all bytes.
  explicit SpmProcessor(SpmModel model);
  SpmProcessor(const SpmProcessor&) = delete;
  SpmProcessor& operator=(const SpmProcessor&) = delete;

  /// From now on no blank is added or removed.
  void leave_spaces();

  const SpmModel& model() const { return model_; }
  bool is_symbol(int32_t id) const;  // control or unknown: never part of a text
  /// The piece's id; that of the unknown one where there is none.
  int32_t id_of(std::string_view piece) const;
  /// -1: no such control symbol.
  int32_t bos_id() const { return control(model_.bos_piece); }
  int32_t eos_id() const { return control(model_.eos_piece); }

  /// Appends the ids of `text`, valid UTF-8. Takes time in proportion to its length, times its logarithm where the
  /// model is BPE.
  void encode(std::string_view text, std::vector<int32_t>& ids) const;
  /// Ids in range. The blank before the first word goes; bytes that are no UTF-8 become U+FFFD each.
  std::string decode(std::span<const int32_t> ids) const;

 private:
  void index();
  void index_bytes();
  int32_t control(const std::string& piece) const;
  size_t symbol_length(std::string_view text, bool& kept) const;
  bool unused(int32_t id) const { return model_.type(id) == PieceType::kUnused; }
  bool user_defined(int32_t id) const { return model_.type(id) == PieceType::kUserDefined; }
  SpmPath unigram(std::string_view text) const;
  SpmPath bpe(std::string_view text) const;
  SpmPath words(std::string_view text) const;
  SpmPath characters(std::string_view text) const;
  std::string surface(int32_t id, bool first, bool& took_space) const;

  SpmModel model_;
  std::unordered_map<std::string_view, int32_t> pieces_, reserved_;  // the latter: control, unknown, bytes
  int32_t unknown_ = -1;
  std::vector<int32_t> bytes_;      // id of each byte's piece
  std::vector<int16_t> byte_of_;    // of each id; -1: no byte
  size_t longest_ = 0;              // bytes of a piece
  float least_ = 0, greatest_ = 0;  // scores of normal pieces
  PrefixTrie trie_, user_trie_;
  SpmNormalizer normalizer_;
};

}  // namespace bitloom
