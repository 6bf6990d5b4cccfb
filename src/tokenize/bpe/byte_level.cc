#include "tokenize/bpe/byte_level.h"

#include <array>
#include <cstdint>

#include "tokenize/text/unicode.h"

namespace bitloom {

const char* const kGpt2Regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

namespace {

constexpr bool is_printable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr uint32_t kFirstOther = 0x100;
constexpr uint32_t kEnd = kFirstOther + 68;

constexpr std::array<uint16_t, 256> kCharacterOfByte = [] {
  std::array<uint16_t, 256> table{};
  uint32_t next = kFirstOther;
  for (uint32_t byte = 0; byte < 256; ++byte) table[byte] = static_cast<uint16_t>(is_printable(byte) ? byte : next++);
  return table;
}();

// -1 where the character stands for no byte.
constexpr std::array<int16_t, kEnd> kByteOfCharacter = [] {
  std::array<int16_t, kEnd> table{};
  for (int16_t& entry : table) entry = -1;
  for (uint32_t byte = 0; byte < 256; ++byte) table[kCharacterOfByte[byte]] = static_cast<int16_t>(byte);
  return table;
}();

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) append_utf8(out, kCharacterOfByte[static_cast<unsigned char>(c)]);
  return out;
}

void append_from_byte_alphabet(std::string& out, std::string_view token) {
  const size_t start = out.size();
  for (size_t i = 0; i < token.size();) {
    const char32_t c = next_code_point(token, i);
    if (c >= kEnd || kByteOfCharacter[c] < 0) {
      out.resize(start);
      out.append(token);
      return;
    }
    out.push_back(static_cast<char>(kByteOfCharacter[c]));
  }
}

}  // namespace bitloom
