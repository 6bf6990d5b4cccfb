#pragma once
// Blanks of UTF-8 texts, as Python counts them.

#include <cstddef>
#include <string_view>

namespace bitloom {

/// Bytes at the end of `text` that spell white space: Unicode's, and the separators U+001C to U+001F.
size_t trailing_blanks(std::string_view text);

}  // namespace bitloom
