#include "tokenize/sentencepiece/spm_processor.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string byte_piece(int byte) { return fmt::format("<0x{:02X}>", byte); }

/// Bytes to text; each byte that is no part of a character becomes U+FFFD.
void flush_bytes(std::string& bytes, std::string& text) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const size_t valid = first_invalid_utf8(rest);
    text += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    text += kReplacement;
    rest.remove_prefix(1);
  }
  bytes.clear();
}

}  // namespace

SpmProcessor::SpmProcessor(SpmModel model) : model_(std::move(model)), normalizer_(model_, user_trie_) {
  if (model_.bos_piece.empty()) model_.bos_piece = "<s>";
  if (model_.eos_piece.empty()) model_.eos_piece = "</s>";
  index();
  index_bytes();
}

void SpmProcessor::index() {
  least_ = std::numeric_limits<float>::max();
  greatest_ = std::numeric_limits<float>::min();  // above all scores, which are logarithms: as the library has it
  PrefixTrie::Entries all, user;
  for (int32_t id = 0; id < model_.size(); ++id) {
    const std::string& text = model_.text(id);
    const PieceType type = model_.type(id);
    const bool is_text = type == PieceType::kNormal || type == PieceType::kUserDefined || type == PieceType::kUnused;
    const auto [other, fresh] = (is_text ? pieces_ : reserved_).emplace(text, id);
    if (!fresh) refuse("{}: pieces {} and {} are both '{}'", model_.origin, other->second, id, text);
    if (is_text) all.emplace_back(text, id);
    if (is_text) longest_ = std::max(longest_, text.size());
    if (type == PieceType::kUserDefined) user.emplace_back(text, id);
    if (type == PieceType::kNormal) {
      least_ = std::min(least_, model_.pieces[static_cast<size_t>(id)].score);
      greatest_ = std::max(greatest_, model_.pieces[static_cast<size_t>(id)].score);
    }
    if (type != PieceType::kUnknown) continue;
    if (unknown_ >= 0) refuse("{}: pieces {} and {} are both the unknown one", model_.origin, unknown_, id);
    unknown_ = id;
  }
  if (unknown_ < 0) refuse("{}: no piece is the unknown one", model_.origin);
  trie_ = PrefixTrie(std::move(all));
  user_trie_ = PrefixTrie(std::move(user));
}

void SpmProcessor::index_bytes() {
  byte_of_.assign(model_.pieces.size(), -1);
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = reserved_.find(byte_piece(byte));
    const bool there = found != reserved_.end() && model_.type(found->second) == PieceType::kByte;
    bytes_.push_back(there ? found->second : -1);
    if (there) byte_of_[static_cast<size_t>(found->second)] = static_cast<int16_t>(byte);
    if (!there && model_.byte_fallback)
      refuse("{}: byte fallback without a piece '{}'", model_.origin, byte_piece(byte));
  }
  for (int32_t id = 0; id < model_.size(); ++id) {
    if (model_.type(id) != PieceType::kByte) continue;
    if (!model_.byte_fallback) refuse("{}: byte piece {} without byte fallback", model_.origin, id);
    if (byte_of_[static_cast<size_t>(id)] < 0)
      refuse("{}: byte piece {} is '{}', no byte", model_.origin, id, model_.text(id));
  }
}

void SpmProcessor::leave_spaces() { model_.add_dummy_prefix = model_.remove_extra_whitespaces = false; }

bool SpmProcessor::is_symbol(int32_t id) const {
  return model_.type(id) == PieceType::kControl || model_.type(id) == PieceType::kUnknown;
}

int32_t SpmProcessor::id_of(std::string_view piece) const {
  for (const auto* ids : {&reserved_, &pieces_}) {
    if (const auto found = ids->find(piece); found != ids->end()) return found->second;
  }
  return unknown_;
}

int32_t SpmProcessor::control(const std::string& piece) const {
  const int32_t id = id_of(piece);
  return model_.type(id) == PieceType::kControl ? id : -1;
}

void SpmProcessor::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const std::string normal = normalizer_.normalize(text);
  if (normal.empty()) return;
  const SpmPath path = model_.kind == SpmKind::kUnigram ? unigram(normal)
                       : model_.kind == SpmKind::kBpe   ? bpe(normal)
                       : model_.kind == SpmKind::kWord  ? words(normal)
                                                        : characters(normal);
  bool after_unknown = false;
  for (const auto& [part, id] : path) {
    const bool is_unknown = id == unknown_;
    if (is_unknown && model_.byte_fallback) {
      for (const char byte : part) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
    } else if (!is_unknown || !after_unknown) {  // a run of unknown ones is one
      ids.push_back(id);
    }
    after_unknown = is_unknown;
  }
}

/// What a piece is in a text. `first`: nothing came before.
std::string SpmProcessor::surface(int32_t id, bool first, bool& took_space) const {
  took_space = false;
  if (model_.type(id) == PieceType::kControl) return "";
  if (id == unknown_) return model_.unk_surface;
  std::string_view piece = model_.text(id);
  if (first && (model_.add_dummy_prefix || model_.remove_extra_whitespaces) && piece.starts_with(kSpace)) {
    piece.remove_prefix(kSpace.size());
    took_space = !model_.remove_extra_whitespaces;  // else all blanks at the beginning go
  }
  std::string text;
  for (size_t at = 0; at < piece.size();) {
    const bool space = piece.substr(at).starts_with(kSpace);
    text += space ? ' ' : piece[at];
    at += space ? kSpace.size() : 1;
  }
  return text;
}

std::string SpmProcessor::decode(std::span<const int32_t> ids) const {
  std::string text, bytes;
  bool first = true, took_space = false;
  for (const int32_t id : ids) {
    const int byte = byte_of_[static_cast<size_t>(id)];
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush_bytes(bytes, text);
    if (took_space || !text.empty()) first = false;
    text += surface(id, first, took_space);
  }
  flush_bytes(bytes, text);
  return text;
}

}  // namespace bitloom
