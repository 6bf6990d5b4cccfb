#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "base/test_data.h"
#include "io/json.h"
#include "io/safetensors/safetensors.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TempDir;

/// Bytes that differ from place to place and from tensor to tensor.
std::vector<std::byte> content_of(const TensorSpec& spec) {
  std::vector<std::byte> bytes(static_cast<size_t>(spec.bytes()));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + spec.name.size() * 31);
  return bytes;
}

/// Writes all, in pieces of `piece` bytes.
void write_all(SafetensorsWriter& writer, const std::vector<TensorSpec>& specs, size_t piece) {
  for (const TensorSpec& spec : specs) {
    const std::vector<std::byte> bytes = content_of(spec);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      writer.write(spec.name, std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
  }
  writer.finish();
}

void expect_reread(const std::string& directory, const std::vector<TensorSpec>& specs) {
  std::map<std::string, TensorView> tensors;
  for (const TensorView& tensor : open_safetensors_directory(directory)) tensors[tensor.name] = tensor;
  ASSERT_EQ(tensors.size(), specs.size());
  for (const TensorSpec& spec : specs) {
    const TensorView& tensor = tensors.at(spec.name);
    EXPECT_EQ(tensor.dtype, spec.dtype) << spec.name;
    EXPECT_EQ(tensor.shape, spec.shape) << spec.name;
    const std::vector<std::byte> expected = content_of(spec);
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), expected.begin(), expected.end())) << spec.name;
  }
}

TEST(SafetensorsWriter, RereadsEveryDtypeByteForByte) {
  std::vector<TensorSpec> specs;
  for (const DTypeInfo& row : dtype_table()) specs.push_back({"t." + std::string(row.name), row.dtype, {3, 8}});
  specs.push_back({"odd", DType::kU8, {5}});
  specs.push_back({"empty", DType::kF32, {0, 3}});
  specs.push_back({"scalar", DType::kF64, {}});
  specs.push_back({"name \"with\" 日本\n", DType::kBF16, {1}});
  specs.push_back({"empty.last", DType::kI8, {4, 0}});
  for (const size_t piece : {1u, 7u, 1000u}) {
    const TempDir dir;
    SafetensorsWriter writer(dir.path(), specs, int64_t{1} << 30);
    EXPECT_THAT(writer.files(), ElementsAre("model.safetensors"));
    write_all(writer, specs, piece);
    expect_reread(dir.path(), specs);
  }
}

TEST(SafetensorsWriter, AlignsDataAndElements) {
  const std::vector<TensorSpec> specs = {{"a", DType::kU8, {3}}, {"b", DType::kF16, {1}}, {"c", DType::kF64, {1}}};
  const TempDir dir;
  SafetensorsWriter writer(dir.path(), specs, 1000);
  write_all(writer, specs, 100);
  const SafetensorsFile file = open_safetensors(dir.file("model.safetensors"));
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  for (const TensorView& tensor : file.tensors) {  // a mapping begins at a page
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) % static_cast<size_t>(info(tensor.dtype).bits / 8), 0u);
  }
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.tensors.at(0).bytes.data()) % 8, 0u);
}

TEST(SafetensorsWriter, WritesTheBytesOfThePythonPackage) {
  // Same order and a single metadata key: the two writers agree to the byte.
  const SafetensorsFile shard = open_safetensors(golden("io/sharded/model-00002-of-00002.safetensors"));
  const TensorView& y = shard.tensors.at(0);
  const TempDir dir;
  SafetensorsWriter writer(dir.path(), {{y.name, y.dtype, y.shape}}, 1000);
  writer.write(y.name, y.bytes);
  writer.finish();
  const auto parsed = [](const std::string& bytes) { return bytes.substr(8, bytes.rfind('}') + 1 - 8); };
  const std::string ours = read_text(dir.file("model.safetensors")), theirs = read_text(shard.path);
  EXPECT_EQ(Json::parse(parsed(ours)), Json::parse(parsed(theirs)));
  EXPECT_EQ(ours.substr(ours.rfind('}')), theirs.substr(theirs.rfind('}')));
}

TEST(SafetensorsWriter, CutsShardsAndWritesAnIndex) {
  const std::vector<TensorSpec> specs = {{"a", DType::kF32, {10}}, {"b", DType::kF32, {15}}, {"c", DType::kU8, {0}},
                                         {"d", DType::kU8, {1}},   {"e", DType::kF32, {99}}, {"f", DType::kF16, {2}}};
  const TempDir dir;
  SafetensorsWriter writer(dir.path(), specs, 100);  // 40 + 60 + 0 | 1 | 396 | 4
  EXPECT_THAT(writer.files(), ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                                          "model.safetensors.index.json"));
  write_all(writer, specs, 50);
  expect_reread(dir.path(), specs);
  const Json index = read_json(dir.file("model.safetensors.index.json"));
  EXPECT_EQ(index.at("metadata").at("total_size"), 40 + 60 + 1 + 396 + 4);
  EXPECT_EQ(index.at("weight_map").at("b"), "model-00001-of-00004.safetensors");
  EXPECT_EQ(index.at("weight_map").at("c"), "model-00001-of-00004.safetensors");
  EXPECT_EQ(index.at("weight_map").at("f"), "model-00004-of-00004.safetensors");
}

TEST(SafetensorsWriter, WritesAModelWithoutTensors) {
  const TempDir dir;
  SafetensorsWriter writer(dir.path(), {}, 100);
  writer.finish();
  EXPECT_TRUE(open_safetensors_directory(dir.path()).empty());
}

TEST(SafetensorsWriter, RefusesMisuse) {
  const TempDir dir;
  const auto failure = [](auto&& body) { return message_of(ErrorKind::kFailed, body); };
  const std::vector<std::byte> four(4);
  SafetensorsWriter writer(dir.path(), {{"a", DType::kF32, {2}}, {"b", DType::kU8, {1}}}, 100);
  const std::string file = dir.file("model.safetensors");
  EXPECT_EQ(failure([&] { writer.write("b", four); }), file + ": tensor 'b' written out of turn, expected 'a'");
  writer.write("a", four);
  EXPECT_EQ(failure([&] { writer.finish(); }), file + ": tensor 'a' lacks 4 of its 8 bytes");
  writer.write("a", four);
  EXPECT_EQ(failure([&] { writer.write("b", four); }), file + ": tensor 'b' takes 1 more bytes, got 4");
  writer.write("b", std::span(four).first(1));
  EXPECT_EQ(failure([&] { writer.write("b", four); }), file + ": tensor 'b' written out of turn, expected none");

  const auto spec_failure = [&](std::vector<TensorSpec> specs) {
    return failure([&] { SafetensorsWriter(dir.path(), std::move(specs), 100); });
  };
  EXPECT_EQ(spec_failure({{"a", DType::kU8, {1}}, {"a", DType::kU8, {2}}}),
            "cannot write tensor 'a': the name is taken");
  EXPECT_EQ(spec_failure({{"__metadata__", DType::kU8, {1}}}), "cannot write tensor '__metadata__': the name is taken");
  EXPECT_EQ(spec_failure({{"a", DType::kF4, {3}}}),
            "cannot write tensor 'a': shape [3] of F4 is no whole number of bytes");
  EXPECT_THAT(spec_failure({{"\xff", DType::kU8, {1}}}), HasSubstr("cannot write its header"));
}

TEST(SafetensorsWriter, SaysWhyAFileCannotBeMade) {
  EXPECT_EQ(message_of(ErrorKind::kFailed, [] { SafetensorsWriter("/no/such/place", {}, 100); }),
            "/no/such/place/model.safetensors: cannot create: No such file or directory");
}

TEST(SafetensorsWriter, AFullDiskIsAnError) {
  // A limit on file size gives the short write and the errno of a full quota, without rights or a file system of its
  // own.
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const TempDir dir;
  const std::vector<TensorSpec> specs = {{"a", DType::kU8, {5000}}, {"b", DType::kU8, {5000}}};
  SafetensorsWriter writer(dir.path(), specs, 6000);
  const struct rlimit small = {4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of(ErrorKind::kFailed, [&] { write_all(writer, specs, 1000); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, dir.file("model-00001-of-00002.safetensors") + ": cannot write: File too large");
}

TEST(SafetensorsFile, IsReplacedCompletelyOrNotAtAll) {
  const TempDir directory;
  const std::string path = directory.file("one.safetensors");
  const std::vector<std::byte> two(2), eight(8, std::byte{9});
  const TensorBytes small{{"b", DType::kU8, {2}}, two}, wide{{"a", DType::kF64, {1}}, eight};
  write_safetensors_file(path, std::vector{small}, {});
  write_safetensors_file(path, std::vector{small, wide}, {{"key", "value"}});
  const SafetensorsFile file = open_safetensors(path);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"key", "value"}}));
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0].name, "a");  // the wider element first
  EXPECT_EQ(file.tensors[0].bytes[7], std::byte{9});
  const TensorBytes wrong{{"c", DType::kU8, {3}}, two};
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { write_safetensors_file(path, std::vector{wrong}, {}); }),
              HasSubstr("'c' takes 3 bytes, got 2"));
  EXPECT_THAT(message_of(ErrorKind::kFailed,
                         [&] {
                           write_safetensors_file(path, std::vector{small, small}, {});
                         }),
              HasSubstr("the name is taken"));
  EXPECT_EQ(open_safetensors(path).tensors.size(), 2u);
  std::filesystem::create_directory(directory.file("taken"));
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { write_safetensors_file(directory.file("taken"), {}, {}); }),
              HasSubstr("cannot rename"));
  EXPECT_FALSE(std::filesystem::exists(directory.file("taken.partial")));
}

}  // namespace
}  // namespace bitloom
