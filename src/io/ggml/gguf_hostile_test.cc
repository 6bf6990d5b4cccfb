#include <gmock/gmock.h>

#include <filesystem>

#include "base/test_data.h"
#include "io/ggml/gguf.h"
#include "io/ggml/gguf_test_bytes.h"
#include "io/json.h"

namespace bitloom {
namespace {

using testing::GgufBytes;
using testing::golden;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;
using testing::TempDir;

/// What is refused about a file of these bytes, without the path at its start.
std::string refusal(const std::string& bytes) {
  const TempDir dir;
  testing::write_file(dir.file("f"), bytes);
  const std::string message = message_of(ErrorKind::kRefused, [&] { GgufFile::open(dir.file("f")); });
  EXPECT_THAT(message, StartsWith(dir.file("f") + ": "));
  return message.substr(std::min(message.size(), dir.file("f").size() + 2));
}

constexpr uint32_t kU32 = 4, kBool = 7, kString = 8, kArray = 9;

TEST(GgufHostile, Header) {
  EXPECT_EQ(refusal(""), "truncated at byte 0: the magic number takes 4 bytes, 0 are left");
  EXPECT_EQ(refusal("GGML1234"), "not a GGUF file: it does not begin with \"GGUF\"");
  EXPECT_EQ(refusal(GgufBytes(0, 0, 1).bytes()), "GGUF version 1 is not supported, allowed: 2, 3");
  EXPECT_EQ(refusal(GgufBytes(0, 0, 0x03000000).bytes()),
            "GGUF version 50331648 is not supported, allowed: 2, 3 (this file is big-endian)");
  EXPECT_EQ(refusal(GgufBytes(0, 0).bytes().substr(0, 20)),
            "truncated at byte 16: the key count takes 8 bytes, 4 are left");
  EXPECT_EQ(refusal(GgufBytes(0, ~0ull).bytes()),
            "claims 18446744073709551615 metadata keys, 0 bytes are left in the file");
  EXPECT_EQ(refusal(GgufBytes(~0ull, 0).bytes()), "claims 18446744073709551615 tensors, 0 bytes are left in the file");
}

TEST(GgufHostile, Metadata) {
  const std::string padding(64, '\0');
  EXPECT_EQ(refusal(GgufBytes(0, 1).u64(1ull << 60).raw(padding).bytes()),
            "truncated at byte 32: a metadata key takes 1152921504606846976 bytes, 64 are left");
  EXPECT_EQ(refusal(GgufBytes(0, 1).key("k", kString).u64(~0ull).raw("abc").bytes()),
            "truncated at byte 45: key 'k' takes 18446744073709551615 bytes, 3 are left");
  EXPECT_EQ(refusal(GgufBytes(0, 1).key("k", kU32).raw("ab").bytes()),
            "truncated at byte 37: key 'k' takes 4 bytes, 2 are left");
  EXPECT_EQ(refusal(GgufBytes(0, 1).key("k", 13).raw(padding).bytes()),
            "key 'k': unknown value type 13, allowed: 0 to 12");
  EXPECT_EQ(refusal(GgufBytes(0, 1).key("k", kBool).raw("\x02").bytes()), "key 'k': bool is 2, expected 0 or 1");
  EXPECT_EQ(refusal(GgufBytes(0, 1).key("\xff", kBool).raw("\x01").bytes()), "a metadata key at byte 24 is no UTF-8");
  EXPECT_EQ(refusal(GgufBytes(0, 2).key("k", kU32).u32(1).key("k", kU32).u32(1).bytes()), "duplicate key 'k'");
}

TEST(GgufHostile, Arrays) {
  const auto array = [](uint32_t type, uint64_t count) {
    return GgufBytes(0, 1).key("k", kArray).u32(type).u64(count).raw(std::string(16, '\0')).bytes();
  };
  EXPECT_EQ(refusal(array(kU32, 5)),
            "key 'k': an array of 5 items takes at least 4 bytes each, 16 are left in the file");
  EXPECT_EQ(refusal(array(kString, 1ull << 61)),
            "key 'k': an array of 2305843009213693952 items takes at least 8 bytes each, 16 are left in the file");
  EXPECT_EQ(refusal(array(kArray, 1)), "key 'k': nested arrays are not supported");
  EXPECT_EQ(refusal(array(77, 1)), "key 'k': unknown element type 77, allowed: 0 to 12");
}

TEST(GgufHostile, Alignment) {
  const auto aligned = [](uint32_t type, uint32_t value) {
    return GgufBytes(0, 1).key("general.alignment", type).u32(value).bytes();
  };
  EXPECT_EQ(refusal(aligned(kU32, 0)), "key 'general.alignment' is 0, expected a power of two up to 2^31");
  EXPECT_EQ(refusal(aligned(kU32, 48)), "key 'general.alignment' is 48, expected a power of two up to 2^31");
  EXPECT_EQ(refusal(aligned(6, 0x42000000)),
            "key 'general.alignment' is no unsigned integer, expected a power of two up to 2^31");
}

TEST(GgufHostile, TensorInfos) {
  const auto one = [](const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    return refusal(GgufBytes(1, 0).tensor("t", ne, type, offset).with_data(64));
  };
  EXPECT_EQ(one({1, 1, 1, 1, 1}, 0, 0), "tensor 't' has 5 dimensions, allowed: up to 4");
  EXPECT_EQ(one({1ull << 63}, 0, 0), "tensor 't': dimension 9223372036854775808 overflows");
  EXPECT_EQ(one({1ull << 32, 1ull << 32}, 0, 0), "tensor 't': the size of shape [4294967296, 4294967296] overflows");
  EXPECT_EQ(one({1ull << 62}, 0, 0), "tensor 't': the size of shape [4611686018427387904] overflows");
  EXPECT_EQ(one({1ull << 62, 1ull << 62, 0}, 999, 0),
            "tensor 't': the size of shape [0, 4611686018427387904, 4611686018427387904] overflows");
  EXPECT_EQ(one({33}, 3, 0), "tensor 't': rows of 33 elements are no multiple of Q4_1's block of 32");
  EXPECT_EQ(one({17}, 0, 0), "tensor 't': its 68 bytes at offset 0 lie beyond the 64 bytes of data (truncated file?)");
  EXPECT_EQ(one({1}, 0, 64), "tensor 't': its 4 bytes at offset 64 lie beyond the 64 bytes of data (truncated file?)");
  EXPECT_EQ(one({1}, 999, 128),
            "tensor 't': its 0 bytes at offset 128 lie beyond the 64 bytes of data (truncated file?)");
  EXPECT_EQ(one({1}, 0, ~0ull - 31),
            "tensor 't': its 4 bytes at offset 18446744073709551584 lie beyond the 64 bytes of data (truncated file?)");
  EXPECT_EQ(one({1}, 0, 16), "tensor 't': offset 16 is no multiple of the alignment 32");
  EXPECT_EQ(refusal(GgufBytes(2, 0).tensor("a", {16}, 0, 0).tensor("b", {1}, 0, 32).with_data(64)),
            "tensor 'a' (64 bytes at offset 0) overlaps tensor 'b' at 32");
  EXPECT_EQ(refusal(GgufBytes(2, 0).tensor("a", {1}, 0, 0).tensor("a", {1}, 0, 32).with_data(64)),
            "duplicate tensor 'a'");
  EXPECT_EQ(refusal(GgufBytes(1, 0).text("tensor.weight").u32(2).u64(1).bytes()),
            "truncated at byte 57: tensor 'tensor.weight' takes 8 bytes, 0 are left");
}

TEST(GgufHostile, AcceptsEmptyTensorsAndScalars) {
  const TempDir dir;
  testing::write_file(
      dir.file("f"),
      GgufBytes(3, 0).tensor("a", {4, 0}, 0, 0).tensor("b", {}, 0, 0).tensor("c", {0}, 3, 32).with_data(32));
  const GgufFile file = GgufFile::open(dir.file("f"));
  EXPECT_TRUE(gguf_rows(file.tensors().at(0))->decode_all().empty());
  EXPECT_EQ(gguf_rows(file.tensors().at(1))->decode_all().size(), 1u);
  EXPECT_TRUE(gguf_rows(file.tensors().at(2))->decode_all().empty());
}

// Split files.

struct SplitCopy {
  TempDir dir;
  std::string first = dir.file("m-00001-of-00002.gguf"), second = dir.file("m-00002-of-00002.gguf");
  SplitCopy() {
    std::filesystem::copy(golden("io/split-00001-of-00002.gguf"), first);
    std::filesystem::copy(golden("io/split-00002-of-00002.gguf"), second);
  }
  std::string refusal(const std::string& path) const {
    const std::string message = message_of(ErrorKind::kRefused, [&] { GgufFile::open(path); });
    EXPECT_THAT(message, StartsWith(dir.path() + "/"));
    return message.substr(std::min(message.size(), dir.path().size() + 1));
  }
};

TEST(GgufSplit, RefusesAMissingPart) {
  const SplitCopy model;
  std::filesystem::remove(model.second);
  EXPECT_EQ(model.refusal(model.first), "m-00002-of-00002.gguf: cannot open: No such file or directory");
}

TEST(GgufSplit, RefusesAPartUnderAnotherName) {
  const SplitCopy model;
  std::filesystem::copy(model.first, model.dir.file("alone.gguf"));
  EXPECT_EQ(
      model.refusal(model.dir.file("alone.gguf")),
      "alone.gguf: one of 2 parts, but its name does not end in -0000I-of-0000N.gguf, so the others cannot be found");
  std::filesystem::copy(model.first, model.second, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(model.refusal(model.second),
            "m-00002-of-00002.gguf: split.no 0 of split.count 2 does not fit its name, expected 1 of 2");
  std::filesystem::copy(golden("io/all_types.gguf"), model.first, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(model.refusal(model.first),
            "m-00001-of-00002.gguf: part of a split file without an integer key 'split.no'");
}

TEST(GgufSplit, RefusesImpossibleNumbers) {
  const SplitCopy model;
  for (const std::string name : {"m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-00000-of-00000.gguf"}) {
    EXPECT_THAT(model.refusal(model.dir.file(name)), HasSubstr("cannot be"));
  }
}

TEST(GgufSplit, RefusesAWrongTotalOrARepeatedTensor) {
  const auto part = [](uint16_t no, const char* tensor, uint32_t total) {
    return GgufBytes(1, 3)
        .key("split.no", 2)
        .raw(testing::bytes_of_number(no))
        .key("split.count", 2)
        .raw(testing::bytes_of_number<uint16_t>(2))
        .key("split.tensors.count", 5)
        .u32(total)
        .tensor(tensor, {1}, 0, 0)
        .with_data(32);
  };
  const SplitCopy model;
  testing::write_file(model.first, part(0, "a", 3));
  testing::write_file(model.second, part(1, "b", 3));
  EXPECT_EQ(model.refusal(model.first), "m-00001-of-00002.gguf: split.tensors.count is 3, the 2 parts hold 2");
  testing::write_file(model.second, part(1, "a", 3));
  EXPECT_EQ(model.refusal(model.first), "m-00002-of-00002.gguf: tensor 'a' is in another part too");
}

TEST(GgufSplit, ASingleFileMayBeNamedLikeAPart) {
  const TempDir dir;
  std::filesystem::copy(golden("io/all_types.gguf"), dir.file("m-00001-of-00001.gguf"));
  EXPECT_EQ(GgufFile::open(dir.file("m-00001-of-00001.gguf")).tensors().size(), 7u);
}

}  // namespace
}  // namespace bitloom
