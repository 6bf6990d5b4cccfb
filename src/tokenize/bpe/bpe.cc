#include "tokenize/bpe/bpe.h"

#include "tokenize/bpe/byte_level.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

// A character and its bytes <0xNN> are one symbol each, so a piece has at most as many symbols as bytes.
constexpr size_t kMaxPiece = 0xFFFFFFF0u;

uint64_t pair_key(char32_t left, char32_t right) { return (static_cast<uint64_t>(left) << 32) | right; }

char32_t first_character(std::string_view text) {
  size_t position = 0;
  return next_code_point(text, position);
}

}  // namespace

void BpeModel::encode(std::string_view piece, bool byte_alphabet, ModelScratch& scratch,
                      std::vector<int32_t>& ids) const {
  if (cutting_ && !byte_alphabet) return encode_in_cuts(piece, scratch, ids);
  TokenModel::encode(piece, byte_alphabet, scratch, ids);
}

void BpeModel::encode_in_cuts(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = begin;
    char32_t left = next_code_point(text, end);
    while (end < text.size()) {
      size_t next = end;
      const char32_t right = next_code_point(text, next);
      if (can_cut(left, right)) break;
      left = right;
      end = next;
    }
    const std::string_view piece = text.substr(begin, end - begin);
    begin = end;
    if (scratch.cache.find(piece, ids)) continue;
    const size_t before = ids.size();
    encode_text(piece, scratch, ids);
    scratch.cache.insert(piece, ids.data() + before, ids.size() - before);
  }
}

bool BpeModel::can_cut(char32_t left, char32_t right) const {
  if (left < 128 && right < 128) return ascii_cut_[left * 128 + right];
  return characters_.contains(left) && characters_.contains(right) && !joined_.contains(pair_key(left, right));
}

void BpeModel::encode_text(std::string_view text, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  if (text.size() > kMaxPiece) fail(ErrorKind::kFailed, "{}: a piece of {} bytes is too long", where_, text.size());
  if (ignore_merges_) {
    if (const auto id = vocabulary_.find(std::string(text))) {
      ids.push_back(*id);
      return;
    }
  }
  scratch.symbols.clear();
  first_symbols(text, scratch.symbols);
  merge_symbols(merges_, scratch.symbols, scratch.merge);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

int32_t BpeModel::symbol_of(std::string_view character, bool first, bool last) const {
  const bool decorated = (!first && !prefix_.empty()) || (last && !suffix_.empty());
  if (!decorated) {
    const char32_t c = first_character(character);
    if (c < kSmall) return small_characters_[c];
    const auto found = characters_.find(c);
    return found == characters_.end() ? -1 : found->second;
  }
  std::string token = first ? "" : prefix_;
  token += character;
  if (last) token += suffix_;
  return vocabulary_.find(token).value_or(-1);
}

// Byte tokens of a character (with its prefix and suffix, as the package has it), when all of them exist.
bool BpeModel::append_bytes(std::string_view token, std::vector<int32_t>& symbols) const {
  for (const char c : token) {
    if (bytes_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (const char c : token) symbols.push_back(bytes_[static_cast<unsigned char>(c)]);
  return true;
}

void BpeModel::first_symbols(std::string_view text, std::vector<int32_t>& symbols) const {
  // An unknown character waits, so that the next can fuse with it; byte tokens pass it, as in the package.
  bool waiting = false;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    next_code_point(text, i);
    const std::string_view character = text.substr(begin, i - begin);
    const bool first = begin == 0;
    const bool last = i == text.size();
    const int32_t symbol = symbol_of(character, first, last);
    if (symbol >= 0) {
      if (waiting) symbols.push_back(*unk_id_);
      waiting = false;
      symbols.push_back(symbol);
      continue;
    }
    const std::string decorated = (first ? "" : prefix_) + std::string(character) + (last ? suffix_ : "");
    if (byte_fallback_ && append_bytes(decorated, symbols)) continue;
    if (!unk_token_) continue;
    if (!unk_id_) unknown(*unk_token_);
    if (waiting && !fuse_unk_) symbols.push_back(*unk_id_);
    waiting = true;
  }
  if (waiting) symbols.push_back(*unk_id_);
}

std::unique_ptr<const TokenModel> make_bpe(const JsonNode& node) { return std::make_unique<BpeModel>(node); }

}  // namespace bitloom
