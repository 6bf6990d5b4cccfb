#pragma once
// A tokenizer.json document for a SentencePiece BPE vocabulary: tokens with scores instead of merges.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

/// SentencePiece's types of pieces, with GGUF's numbers.
enum class PieceType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct SpmVocabulary {
  std::vector<std::string> tokens;  // "\u2581" for a space
  std::vector<double> scores;
  std::vector<PieceType> types;
  std::vector<int32_t> before, after;  // special tokens around a sequence
  bool add_space_prefix = true;
  std::string origin;  // for messages: the file and what in it holds the tokens
};

/// SentencePiece merges the neighbours whose union has the highest score, of equals the leftmost. So every way to cut a
/// token into two tokens becomes a merge, by falling score; merges of equal score share a rank, which the key
/// "merge_ranks" of the model (ours; the package numbers the merges instead) says.
/// Error(kRefused) for a token that is twice there, too long or no UTF-8.
Json spm_document(const SpmVocabulary& vocabulary);

/// An entry of "added_tokens" that is found in raw text.
Json added_token(int32_t id, const std::string& content, bool special);

/// A post_processor that puts these tokens around the sequence; null when there are none.
Json template_processing(const std::vector<int32_t>& before, const std::vector<int32_t>& after,
                         const std::vector<std::string>& tokens);

}  // namespace bitloom
