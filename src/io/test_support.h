#pragma once
// For io's tests only: files from bytes, and the text of the errors that reading them gives.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/test_data.h"
#include "io/hash.h"

namespace bitloom::testing {

/// Little-endian bytes of a number.
template <typename T>
std::string bytes_of_number(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

/// SHA-256 of values as the oracles compute it: every NaN as the quiet one.
inline std::string hash_of_values(std::vector<float> values) {
  constexpr uint32_t kQuiet = 0x7FC00000;
  for (float& value : values) {
    if (std::isnan(value)) std::memcpy(&value, &kQuiet, sizeof value);
  }
  return sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace bitloom::testing
