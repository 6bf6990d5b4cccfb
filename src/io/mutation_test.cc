// Random damage to good files: a parser accepts the result or throws Error, and what it accepts can be read.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/rng.h"
#include "base/test_data.h"
#include "io/ggml_types.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::golden;
using testing::TempDir;

constexpr int kRounds = 3000;  // per file

/// Bytes that tend to matter: limits of integers, JSON's own characters, digits.
constexpr char kTelling[] = {'\x00', '\x01', '\x7f', '\x80', '\xff', '{', '}', '[',
                             ']',    '"',    ',',    ':',    '0',    '9', '-', '\\'};

/// One to four changes, half of them in the first `header` bytes: a byte, eight bytes, a cut, a repetition.
std::string mutate(std::string bytes, size_t header, Rng& rng) {
  const int changes = 1 + static_cast<int>(rng.next_u32() % 4);
  for (int i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t range = rng.next_u32() % 2 == 0 ? std::min(header, bytes.size()) : bytes.size();
    const size_t at = rng.next_u32() % range;
    switch (rng.next_u32() % 6) {
      case 0:
        bytes[at] = static_cast<char>(rng.next_u32());
        break;
      case 1:
        bytes[at] = kTelling[rng.next_u32() % sizeof kTelling];
        break;
      case 2:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.next_u32() % 8));
        break;
      case 3:
        for (size_t j = at; j < std::min(at + 8, bytes.size()); ++j) bytes[j] = j + 1 < at + 8 ? '\xff' : '\x7f';
        break;
      case 4:
        bytes.resize(at);
        break;
      default:
        bytes.insert(at, bytes.substr(at, 1 + rng.next_u32() % 40));
    }
  }
  return bytes;
}

struct Outcome {
  int accepted = 0, refused = 0;
};

/// Damages `path` again and again and hands each result to `read`.
template <typename Read>
Outcome damage(const std::string& path, size_t header, uint64_t stream, Read&& read) {
  const std::string original = read_text(path);
  const TempDir dir;
  Rng rng(2024, stream);
  Outcome outcome;
  for (int round = 0; round < kRounds; ++round) {
    // Overwriting a file of the same name would make some file systems wait for the disk.
    std::filesystem::remove(dir.file("f"));
    testing::write_file(dir.file("f"), mutate(original, header, rng));
    try {
      read(dir.file("f"));
      ++outcome.accepted;
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(ErrorKind::kRefused)) << error.what();
      EXPECT_TRUE(std::string(error.what()).starts_with(dir.path())) << error.what();
      ++outcome.refused;
    }
  }
  return outcome;
}

void read_safetensors(const std::string& path) {
  for (const TensorView& tensor : open_safetensors(path).tensors) {
    if (tensor.dtype != DType::kC64) dense_rows(tensor)->decode_all();
  }
}

void read_gguf(const std::string& path) {
  const GgufFile file = GgufFile::open(path);
  for (const GgufTensor& tensor : file.tensors()) {
    if (find_ggml_type(tensor.type) != nullptr) gguf_rows(tensor)->decode_all();
  }
}

TEST(Mutation, Safetensors) {
  const Outcome all = damage(golden("io/every_dtype.safetensors"), 1200, 1, read_safetensors);
  const Outcome six = damage(golden("io/six_bits.safetensors"), 152, 2, read_safetensors);
  // Both happen often, or the damage would be too great or too small to tell anything.
  EXPECT_GT(all.accepted + six.accepted, kRounds / 20);
  EXPECT_GT(all.refused + six.refused, kRounds / 2);
}

TEST(Mutation, Gguf) {
  const Outcome all = damage(golden("io/all_types.gguf"), 1000, 3, read_gguf);
  EXPECT_GT(all.accepted, kRounds / 20);
  EXPECT_GT(all.refused, kRounds / 4);
}

TEST(Mutation, Json) {
  const Outcome all = damage(golden("io/gguf.json"), 3000, 4, [](const std::string& path) { read_json(path); });
  EXPECT_GT(all.accepted, kRounds / 20);
  EXPECT_GT(all.refused, kRounds / 2);
}

}  // namespace
}  // namespace bitloom
