#pragma once
// Base 64 of RFC 4648, section 4.

#include <optional>
#include <string>
#include <string_view>

namespace bitloom {

/// nullopt when `text` has another character, is not padded to fours, or its last bits stand for nothing.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace bitloom
