#pragma once
// SHA-256, as lower-case hex, of bytes and files.

#include <span>
#include <string>
#include <string_view>

namespace bitloom {

std::string sha256_hex(std::string_view bytes);
/// Streams the file. Error(kRefused) naming the path.
std::string sha256_file(const std::string& path);

}  // namespace bitloom
