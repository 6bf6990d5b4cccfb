#include "io/hash.h"

// OpenSSL would have everyone go by EVP, which makes a static program 5 MB larger.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <memory>

#include "io/mapped_file.h"

namespace bitloom {
namespace {

class Sha256 {
 public:
  Sha256() { SHA256_Init(&state_); }
  void update(const void* data, size_t size) { SHA256_Update(&state_, data, size); }
  std::string hex() {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256_Final(digest.data(), &state_);
    std::string text;
    for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  SHA256_CTX state_;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_file(const std::string& path) {
  constexpr size_t kPiece = size_t{16} << 20;
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  Sha256 hash;
  for (std::span<const std::byte> left = file->bytes(); !left.empty();) {
    const std::span<const std::byte> piece = left.first(std::min(kPiece, left.size()));
    hash.update(piece.data(), piece.size());
    file->release(piece);
    left = left.subspan(piece.size());
  }
  return hash.hex();
}

}  // namespace bitloom
