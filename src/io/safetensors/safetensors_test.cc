#include "io/safetensors/safetensors.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/test_data.h"
#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::EndsWith;
using testing::golden;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;
using testing::TempDir;

/// Every tensor has the bytes and values that the Python packages see.
void expect_golden(const std::string& name) {
  const Json expected = read_json(golden("io/safetensors.json")).at(name);
  const SafetensorsFile file = open_safetensors(golden("io/" + name + ".safetensors"));
  EXPECT_EQ(Json(file.metadata), expected.at("metadata"));
  ASSERT_EQ(file.tensors.size(), expected.at("tensors").size());
  int64_t end = 0;
  for (const TensorView& tensor : file.tensors) {
    const Json& entry = expected.at("tensors").at(tensor.name);
    EXPECT_EQ(info(tensor.dtype).name, entry.at("dtype").get<std::string>()) << tensor.name;
    EXPECT_EQ(Json(tensor.shape), entry.at("shape")) << tensor.name;
    EXPECT_EQ(sha256_hex(testing::as_text(tensor.bytes)), entry.at("bytes")) << tensor.name;
    EXPECT_EQ(end, entry.at("offsets").at(0)) << tensor.name << " is out of order";
    end = entry.at("offsets").at(1);
    if (!entry.contains("values")) continue;
    EXPECT_EQ(testing::hash_of_values(dense_rows(tensor)->decode_all()), entry.at("values")) << tensor.name;
  }
}

TEST(Safetensors, ReadsEveryDtypeThatThePythonPackageWrites) { expect_golden("every_dtype"); }
TEST(Safetensors, ReadsSixBitFloats) { expect_golden("six_bits"); }

/// What is refused about a file of this header and `data_bytes` of data, without the path at its start.
std::string refusal_of_bytes(const std::string& bytes) {
  const TempDir dir;
  testing::write_file(dir.file("f"), bytes);
  const std::string message = message_of(ErrorKind::kRefused, [&] { open_safetensors(dir.file("f")); });
  EXPECT_THAT(message, StartsWith(dir.file("f") + ": "));
  return message.substr(std::min(message.size(), dir.file("f").size() + 2));
}

std::string refusal(const std::string& header, size_t data_bytes) {
  return refusal_of_bytes(testing::bytes_of_number<uint64_t>(header.size()) + header + std::string(data_bytes, 'x'));
}

TEST(Safetensors, RefusesLyingHeaderLengths) {
  EXPECT_EQ(refusal_of_bytes("1234567"), "truncated safetensors file: 7 bytes, the header length alone takes 8");
  EXPECT_EQ(refusal_of_bytes(testing::bytes_of_number<uint64_t>(~0ull) + "{}"),
            "safetensors header length 18446744073709551615 is more than the allowed 100000000");
  EXPECT_EQ(refusal_of_bytes(testing::bytes_of_number<uint64_t>(3) + "{}"),
            "truncated safetensors file: the header claims 3 bytes, 2 follow");
  EXPECT_EQ(refusal_of_bytes(testing::bytes_of_number<uint64_t>(0)), "safetensors header does not start with '{'");
  EXPECT_EQ(refusal(" {}", 0), "safetensors header does not start with '{'");
  EXPECT_THAT(refusal(R"({"a": )", 0), StartsWith("not valid JSON at byte "));
}

TEST(Safetensors, RefusesWrongEntries) {
  EXPECT_EQ(refusal(R"({"a": 5})", 0), "tensor 'a' is number, expected an object");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F32", "shape": [1]}})", 4), "tensor 'a' has no \"data_offsets\"");
  EXPECT_EQ(refusal(R"({"a": {"dtype": 1, "shape": [1], "data_offsets": [0, 4]}})", 4),
            "tensor 'a': dtype is number, expected a string");
  EXPECT_THAT(refusal(R"({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}})", 4),
              StartsWith("tensor 'a': unknown dtype \"F31\", allowed: BOOL U8 "));
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}})", 4),
            "tensor 'a': shape is number, expected an array");
  for (const std::string bad : {"-1", "1.0", "\"1\"", "9223372036854775808", "null"}) {
    EXPECT_EQ(refusal(R"({"a": {"dtype": "F32", "shape": [)" + bad + R"(], "data_offsets": [0, 4]}})", 4),
              "tensor 'a': shape holds " + bad + ", expected whole numbers from 0 to 2^63 - 1");
  }
  EXPECT_EQ(refusal(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
                    1),
            "duplicate key \"a\" before byte 88");
  EXPECT_EQ(refusal(R"({"__metadata__": {"format": 1}})", 0),
            "__metadata__ key \"format\" is number, expected a string");
  EXPECT_EQ(refusal(R"({"__metadata__": []})", 0), "__metadata__ is array, expected an object");
}

TEST(Safetensors, RefusesSizesThatDoNotFit) {
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}})", 8),
            "tensor 'a': data_offsets [0, 8] hold 8 bytes, shape [3] of F32 takes 12");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8]}})", 8),
            "tensor 'a': the size of shape [4294967296, 4294967296] overflows");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F64", "shape": [2305843009213693952], "data_offsets": [0, 0]}})", 0),
            "tensor 'a': the size of shape [2305843009213693952] overflows");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "U8", "shape": [0, 4294967296, 4294967296], "data_offsets": [0, 0]}})", 0),
            "tensor 'a': the size of shape [0, 4294967296, 4294967296] overflows");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}})", 2),
            "tensor 'a': shape [3] of F4 is 12 bits, no whole number of bytes");
}

TEST(Safetensors, RefusesOffsetsThatDoNotTileTheData) {
  const auto u8 = [](int begin, int end) {
    return R"({"dtype": "U8", "shape": [)" + std::to_string(end - begin) + R"(], "data_offsets": [)" +
           std::to_string(begin) + ", " + std::to_string(end) + "]}";
  };
  EXPECT_EQ(refusal(R"({"a": )" + u8(0, 9) + "}", 8),
            "tensor 'a': data_offsets [0, 9] lie beyond the 8 bytes of data (truncated file?)");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "U8", "shape": [0], "data_offsets": [1, 0]}})", 8),
            "tensor 'a': data_offsets [1, 0] are no [begin, end]");
  EXPECT_EQ(refusal(R"({"a": {"dtype": "U8", "shape": [0], "data_offsets": [1]}})", 8),
            "tensor 'a': data_offsets [1] are no [begin, end]");
  EXPECT_EQ(refusal(R"({"a": )" + u8(0, 5) + R"(, "b": )" + u8(4, 8) + "}", 8),
            "tensor 'b' begins at 4 and overlaps tensor 'a', which ends at 5");
  EXPECT_EQ(refusal(R"({"a": )" + u8(0, 3) + R"(, "b": )" + u8(5, 8) + "}", 8),
            "2 bytes before tensor 'b' (at 5) belong to no tensor");
  EXPECT_EQ(refusal(R"({"a": )" + u8(1, 8) + "}", 8), "1 bytes before tensor 'a' (at 1) belong to no tensor");
  EXPECT_EQ(refusal(R"({"a": )" + u8(0, 6) + "}", 8), "the last 2 bytes belong to no tensor");
  EXPECT_EQ(refusal("{}", 1), "the last 1 bytes belong to no tensor");
}

// Directories.

TEST(SafetensorsDirectory, LoadsWhatTheIndexMaps) {
  const std::vector<TensorView> tensors = open_safetensors_directory(golden("io/sharded"));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "x");  // of shard 1, not the stale one of shard 3; "unlisted" stays out
  EXPECT_THAT(dense_rows(tensors[0])->decode_all(), ::testing::ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(tensors[1].name, "y");
  EXPECT_THAT(tensors[1].file, EndsWith("model-00002-of-00002.safetensors"));
}

/// A copy of the sharded golden model, to be broken.
struct ShardedCopy {
  TempDir dir;
  ShardedCopy() { std::filesystem::copy(golden("io/sharded"), dir.path()); }
  void set_index(const std::string& text) const { testing::write_file(dir.file("model.safetensors.index.json"), text); }
  std::string refusal() const {
    return message_of(ErrorKind::kRefused, [&] { open_safetensors_directory(dir.path()); });
  }
};

TEST(SafetensorsDirectory, RefusesAMissingShard) {
  const ShardedCopy model;
  std::filesystem::remove(model.dir.file("model-00002-of-00002.safetensors"));
  EXPECT_EQ(model.refusal(), model.dir.file("model.safetensors.index.json") +
                                 ": names shard model-00002-of-00002.safetensors (for tensor 'y' and 0 more), which is "
                                 "missing");
}

TEST(SafetensorsDirectory, RefusesAPromisedTensorThatTheShardLacks) {
  const ShardedCopy model;
  model.set_index(R"({"weight_map": {"z": "model-00001-of-00002.safetensors"}})");
  EXPECT_EQ(model.refusal(), model.dir.file("model-00001-of-00002.safetensors") +
                                 ": lacks tensor 'z', which model.safetensors.index.json says is in it");
}

TEST(SafetensorsDirectory, TellsPromisedTensorsThatTheShardLacks) {
  const ShardedCopy model;
  model.set_index(R"({"weight_map": {"x": "model-00001-of-00002.safetensors",
                                     "z": "model-00001-of-00002.safetensors"}})");
  std::map<std::string, std::string> absent;
  const std::vector<TensorView> tensors = open_safetensors_directory(model.dir.path(), &absent);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "x");
  const std::map<std::string, std::string> expected = {{"z", model.dir.file("model-00001-of-00002.safetensors")}};
  EXPECT_EQ(absent, expected);
}

TEST(SafetensorsDirectory, RefusesPathsThatLeaveTheDirectory) {
  const ShardedCopy model;
  for (const std::string bad : {"../m.safetensors", "/etc/passwd", "", "..", "a/b"}) {
    model.set_index(R"({"weight_map": {"x": ")" + bad + R"("}})");
    EXPECT_THAT(model.refusal(),
                EndsWith(": weight_map of tensor 'x' names \"" + bad + "\", expected a plain file name"));
  }
}

TEST(SafetensorsDirectory, RefusesABrokenIndex) {
  const ShardedCopy model;
  for (const char* text : {"[]", "{}", R"({"weight_map": []})"}) {
    model.set_index(text);
    EXPECT_THAT(model.refusal(), EndsWith("index.json: no \"weight_map\" object"));
  }
  model.set_index(R"({"weight_map": {"x": 1}})");
  EXPECT_THAT(model.refusal(), EndsWith("weight_map of tensor 'x' is number, expected a file name"));
}

TEST(SafetensorsDirectory, PrefersTheSingleFile) {
  const ShardedCopy model;
  std::filesystem::copy(golden("io/six_bits.safetensors"), model.dir.file("model.safetensors"));
  EXPECT_EQ(open_safetensors_directory(model.dir.path()).at(0).name, "a");
}

TEST(SafetensorsDirectory, RefusesADirectoryWithoutEither) {
  const TempDir dir;
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { open_safetensors_directory(dir.path()); }),
            dir.path() + ": neither model.safetensors nor model.safetensors.index.json is there");
}

}  // namespace
}  // namespace bitloom
