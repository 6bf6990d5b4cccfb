#pragma once
// .xz files (liblzma).

#include <cstddef>
#include <string>
#include <string_view>

namespace bitloom {

/// The most bytes that a file may unpack to: more would be no text that anyone calibrates on.
inline constexpr size_t kMaxUnpackedBytes = size_t{4} << 30;

/// The unpacked bytes of an .xz file's bytes (one stream or several); `origin` is for messages. Error(kRefused) with
/// the byte position in the packed file: foreign data, damage (every block's checksum is checked), a file cut off, one
/// that unpacks to more than `limit` bytes or needs more memory than `xz -9` asks for.
std::string unpack_xz(std::string_view packed, const std::string& origin, size_t limit = kMaxUnpackedBytes);

}  // namespace bitloom
