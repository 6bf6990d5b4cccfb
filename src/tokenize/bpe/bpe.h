#pragma once
// model of type "BPE": characters to tokens by merging neighbours.
//
//   symbols = characters of the piece (unknown ones: byte tokens <0xNN>, else unk_token, else nothing)
//   while a neighbouring pair has a merge: merge the pair of the lowest rank, of equals the leftmost
//
// Non-goal: dropout.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenize/bpe/merge.h"
#include "tokenize/json/token_model.h"

namespace bitloom {

class BpeModel : public TokenModel {
 public:
  explicit BpeModel(const JsonNode& node);

  void encode(std::string_view piece, bool byte_alphabet, ModelScratch& scratch,
              std::vector<int32_t>& ids) const override;
  std::string_view kind() const override { return byte_fallback_ ? "BPE with byte fallback" : "BPE"; }

 protected:
  void encode_text(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const override;

 private:
  static constexpr char32_t kSmall = 0x250;

  void read_vocabulary(const JsonNode& node);
  void read_merges(const JsonNode& node, const std::optional<JsonNode>& merge_ranks);
  void add_merge(const JsonNode& where, const std::string& left, const std::string& right, uint32_t rank);

  void encode_in_cuts(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const;
  void first_symbols(std::string_view text, std::vector<int32_t>& symbols) const;
  int32_t symbol_of(std::string_view character, bool first, bool last) const;
  bool append_bytes(std::string_view token, std::vector<int32_t>& symbols) const;
  bool can_cut(char32_t left, char32_t right) const;

  std::unordered_map<char32_t, int32_t> characters_;  // tokens of one character
  std::vector<int32_t> small_characters_;             // the same for low code points; -1: none
  std::vector<int32_t> bytes_;                        // id of <0xNN>, -1: none
  MergeTable merges_;
  std::optional<std::string> unk_token_;
  std::optional<int32_t> unk_id_;
  std::string prefix_;  // continuing_subword_prefix
  std::string suffix_;  // end_of_word_suffix
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;

  // Neighbouring characters that some merge can join. When usable, a piece may be cut anywhere else without changing
  // its ids, so that a whole text without pre-tokenization is encoded word by word, through the cache.
  bool cutting_ = false;
  std::unordered_set<uint64_t> joined_;
  std::vector<bool> ascii_cut_;  // [left * 128 + right]: both known, and no merge joins them
};

}  // namespace bitloom
