#pragma once
// What SentencePiece's tokenizer.model says: a protobuf message, "ModelProto" of sentencepiece_model.proto.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenize/sentencepiece/spm_document.h"

namespace bitloom {

struct SpmPiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

enum class SpmKind : int32_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

/// Defaults are the schema's.
struct SpmModel {
  std::string origin;  // for messages
  std::vector<SpmPiece> pieces;
  // trainer_spec
  SpmKind kind = SpmKind::kUnigram;
  bool space_is_suffix = false;
  bool byte_fallback = false;
  std::string unk_surface = " \xE2\x81\x87 ", bos_piece = "<s>", eos_piece = "</s>";
  // normalizer_spec
  std::string character_map;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;

  int64_t size() const { return static_cast<int64_t>(pieces.size()); }
  PieceType type(int32_t id) const { return pieces[static_cast<size_t>(id)].type; }
  const std::string& text(int32_t id) const { return pieces[static_cast<size_t>(id)].text; }
};

/// Error(kRefused) naming `origin`, the byte or the piece for what is no such message, has no pieces, a denormalizer,
/// pieces that are no UTF-8 or whose score is not finite, or pieces or an unk_surface of more than kMaxTokenBytes.
/// Unknown fields are passed over, as protobuf does.
SpmModel read_spm_model(std::string_view bytes, const std::string& origin);

}  // namespace bitloom
