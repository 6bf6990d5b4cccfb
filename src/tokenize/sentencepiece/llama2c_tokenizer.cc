// llama2.c's tokenizer.bin, little-endian:
//   i32 max_token_length, then per token: f32 score, i32 length, bytes
// Spaces are spaces; id 0 is unknown, 1 BOS ("\n<s>\n"), 2 EOS, 3..258 the bytes <0x00>..<0xFF>. The file's length says
// how many tokens there are.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "io/mapped_file.h"
#include "tokenize/sentencepiece/spm_document.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

constexpr size_t kRecordHead = 8;

template <typename T>
T read(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

std::string with_visible_spaces(std::string_view token) {
  std::string out;
  for (const char c : token) {
    if (c == ' ') {
      out += "\xE2\x96\x81";
    } else {
      out += c;
    }
  }
  return out;
}

PieceType type_of(size_t id, const std::string& token) {
  if (id == 0) return PieceType::kUnknown;
  if (id <= 2) return PieceType::kControl;
  return id < 3 + 256 && token == fmt::format("<0x{:02X}>", id - 3) ? PieceType::kByte : PieceType::kNormal;
}

}  // namespace

Json tokenizer_json_from_llama2c(const std::string& path) {
  const auto file = MappedFile::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() < sizeof(int32_t)) refuse("{}: {} bytes are too few for a tokenizer.bin", path, bytes.size());
  SpmVocabulary v;
  v.origin = path;
  for (size_t at = sizeof(int32_t); at < bytes.size();) {
    const size_t id = v.tokens.size();
    if (bytes.size() - at < kRecordHead) refuse("{}: byte {}: token {} is cut off", path, at, id);
    const auto length = read<int32_t>(bytes, at + 4);
    if (length < 0 || static_cast<size_t>(length) > bytes.size() - at - kRecordHead)
      refuse("{}: byte {}: token {} claims {} bytes, {} are left", path, at, id, length,
             bytes.size() - at - kRecordHead);
    const auto* text = reinterpret_cast<const char*>(bytes.data() + at + kRecordHead);
    v.tokens.push_back(with_visible_spaces({text, static_cast<size_t>(length)}));
    v.scores.push_back(read<float>(bytes, at));
    at += kRecordHead + static_cast<size_t>(length);
  }
  if (v.tokens.size() < 3) refuse("{}: {} tokens, must be at least 3 (unknown, BOS, EOS)", path, v.tokens.size());
  v.tokens[0] = "<unk>";
  v.tokens[1] = "<s>";
  v.tokens[2] = "</s>";
  for (size_t id = 0; id < v.tokens.size(); ++id) v.types.push_back(type_of(id, v.tokens[id]));
  v.before = {1};
  return spm_document(v);
}

}  // namespace bitloom
