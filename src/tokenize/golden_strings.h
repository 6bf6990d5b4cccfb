#pragma once
// For tests: the fixed strings and the packages' results for them (tests/oracle/tokenize.py).

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/test_data.h"
#include "io/json.h"
#include "tokenize/tokenizer.h"

namespace bitloom::testing {

/// CRC-32 of zlib.
inline uint32_t crc32(std::string_view bytes, uint32_t start = 0) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = (c & 1u) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      table[i] = c;
    }
    return table;
  }();
  uint32_t crc = ~start;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFFu] ^ (crc >> 8);
  return ~crc;
}

inline uint32_t crc32_of_ids(const std::vector<int32_t>& ids) {
  return crc32({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
}

inline std::vector<std::string> golden_strings() {
  std::vector<std::string> strings;
  const std::string text = read_text(golden("tokenize/strings.jsonl"));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    strings.push_back(nlohmann::json::parse(text.substr(begin, end - begin)).get<std::string>());
    begin = end + 1;
  }
  return strings;
}

inline std::vector<uint32_t> golden_crcs(const std::string& name) {
  const std::string bytes = read_text(golden("tokenize/" + name + ".crc"));
  std::vector<uint32_t> crcs(bytes.size() / 4);
  std::memcpy(crcs.data(), bytes.data(), crcs.size() * 4);
  return crcs;
}

inline std::string show(const std::vector<int32_t>& ids) {
  std::string out;
  for (const int32_t id : ids) out += std::to_string(id) + " ";
  return out;
}

}  // namespace bitloom::testing
