#include "io/ggml/gguf.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/test_data.h"
#include "io/ggml/ggml_types.h"
#include "io/ggml/gguf_test_bytes.h"
#include "io/json.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::golden;
using ::testing::IsEmpty;
using testing::message_of;
using testing::TempDir;

Json to_json(const GgufValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

void expect_golden(const GgufFile& file, const Json& expected) {
  Json metadata = Json::object();
  for (const auto& [key, value] : file.metadata()) metadata[key] = to_json(value);
  EXPECT_EQ(metadata, expected.at("metadata"));
  ASSERT_EQ(file.tensors().size(), expected.at("tensors").size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    const Json& entry = expected.at("tensors").at(i);
    EXPECT_EQ(tensor.name, entry.at("name"));
    EXPECT_EQ(Json(tensor.shape), entry.at("shape")) << tensor.name;
    const RowSourcePtr rows = gguf_rows(tensor);
    EXPECT_EQ(rows->storage(), entry.at("type").get<std::string>()) << tensor.name;
    EXPECT_EQ(rows->stored_bytes(), static_cast<int64_t>(tensor.bytes.size()));
    EXPECT_EQ(testing::hash_of_values(rows->decode_all()), entry.at("sha256")) << tensor.name;
  }
}

TEST(Gguf, ReadsEveryMetadataTypeAndAlignment) {
  expect_golden(GgufFile::open(golden("io/all_types.gguf")), read_json(golden("io/gguf.json")).at("all_types"));
}

TEST(Gguf, ReadsVersionTwo) {
  std::string bytes = read_text(golden("io/all_types.gguf"));
  bytes[4] = 2;
  const TempDir dir;
  testing::write_file(dir.file("v2.gguf"), bytes);
  expect_golden(GgufFile::open(dir.file("v2.gguf")), read_json(golden("io/gguf.json")).at("all_types"));
}

TEST(Gguf, OpensASplitFileByAnyPart) {
  for (const char* part : {"io/split-00001-of-00002.gguf", "io/split-00002-of-00002.gguf"}) {
    const GgufFile file = GgufFile::open(golden(part));
    expect_golden(file, read_json(golden("io/gguf.json")).at("split"));
    EXPECT_EQ(file.path(), golden(part));
    EXPECT_THAT(file.tensors().at(2).file, EndsWith("split-00002-of-00002.gguf"));
  }
}

TEST(Gguf, DecodesRunsOfRows) {
  const GgufFile file = GgufFile::open(golden("io/all_types.gguf"));
  const GgufTensor& tensor = file.tensors().at(3);
  ASSERT_EQ(tensor.name, "q41");
  const RowSourcePtr rows = gguf_rows(tensor);
  ASSERT_EQ(rows->rows(), 3);
  ASSERT_EQ(rows->cols(), 64);
  const std::vector<float> all = rows->decode_all();
  std::vector<float> two(128);
  rows->decode_rows(1, 3, two.data());
  EXPECT_TRUE(std::equal(two.begin(), two.end(), all.begin() + 64));
}

TEST(Gguf, TypedLookUps) {
  const GgufFile file = GgufFile::open(golden("io/all_types.gguf"));
  EXPECT_TRUE(file.has("test.u8"));
  EXPECT_FALSE(file.has("test.none"));
  EXPECT_EQ(file.integer("test.i8"), -128);
  EXPECT_EQ(file.integer("test.u32"), 4294967295);
  EXPECT_EQ(file.number("test.f64"), 0.1);
  EXPECT_EQ(file.number("test.f32"), static_cast<double>(0.1f));
  EXPECT_EQ(file.number("test.u8"), 255.0);  // a whole number is a number
  EXPECT_EQ(file.text("general.architecture"), "test");
  EXPECT_EQ(file.find_flag("test.true"), true);
  EXPECT_EQ(file.find_flag("test.false"), false);
  EXPECT_THAT(file.integers("test.array.u32"), ElementsAre(1, 4294967295));
  EXPECT_THAT(file.integers("test.array.i32"), ElementsAre(-1, 7, 9));
  EXPECT_THAT(file.numbers("test.array.f64"), ElementsAre(1e300, -0.25));
  EXPECT_THAT(file.numbers("test.array.i8"), ElementsAre(-128, 127));
  EXPECT_THAT(*file.find_texts("test.array.text"), ElementsAre("", "a", "▁the", "\n", "日本"));
}

TEST(Gguf, AbsentKeys) {
  const GgufFile file = GgufFile::open(golden("io/all_types.gguf"));
  EXPECT_EQ(file.find_text("no"), std::nullopt);
  EXPECT_EQ(file.find_integer("no"), std::nullopt);
  EXPECT_EQ(file.find_number("no"), std::nullopt);
  EXPECT_EQ(file.find_flag("no"), std::nullopt);
  EXPECT_EQ(file.find_texts("no"), nullptr);
  EXPECT_THAT(file.integers("no"), IsEmpty());
  EXPECT_THAT(file.numbers("no"), IsEmpty());
  const std::string message = golden("io/all_types.gguf") + ": no key 'no'";
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { file.text("no"); }), message);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { file.integer("no"); }), message);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { file.number("no"); }), message);
}

TEST(Gguf, KeysOfAnotherType) {
  const GgufFile file = GgufFile::open(golden("io/all_types.gguf"));
  const auto refusal = [&](auto&& look_up) {
    const std::string message = message_of(ErrorKind::kRefused, look_up);
    return message.substr(file.path().size() + 2);
  };
  EXPECT_EQ(refusal([&] { file.find_text("test.u8"); }), "key 'test.u8' is an unsigned integer, expected a string");
  EXPECT_EQ(refusal([&] { file.find_integer("test.f32"); }),
            "key 'test.f32' is a float, expected an integer of at most 2^63 - 1");
  EXPECT_EQ(refusal([&] { file.find_integer("test.u64"); }),
            "key 'test.u64' is an unsigned integer, expected an integer of at most 2^63 - 1");
  EXPECT_EQ(refusal([&] { file.find_number("test.text"); }), "key 'test.text' is a string, expected a number");
  EXPECT_EQ(refusal([&] { file.find_flag("test.i8"); }), "key 'test.i8' is an integer, expected a bool");
  EXPECT_EQ(refusal([&] { file.find_texts("test.array.u8"); }),
            "key 'test.array.u8' is an array of unsigned integers, expected an array of strings");
  EXPECT_EQ(refusal([&] { file.integers("test.array.f32"); }),
            "key 'test.array.f32' is an array of floats, expected an array of integers");
  EXPECT_EQ(refusal([&] { file.integers("test.array.u64"); }),
            "key 'test.array.u64' holds 18446744073709551615, which overflows");
  EXPECT_EQ(refusal([&] { file.numbers("test.array.bool"); }),
            "key 'test.array.bool' is an array of bools, expected an array of numbers");
}

TEST(Gguf, OpensUnknownTypesAndRefusesToDecodeThem) {
  const TempDir dir;
  testing::write_file(dir.file("f"), testing::GgufBytes(3, 0)
                                         .tensor("a", {256}, 16, 0)
                                         .tensor("b", {1}, 0, 64)
                                         .tensor("c", {7}, 999, 96)
                                         .with_data(100));
  const GgufFile file = GgufFile::open(dir.file("f"));
  EXPECT_EQ(file.tensors().at(0).bytes.size(), 64u);  // up to the next tensor
  EXPECT_EQ(file.tensors().at(2).bytes.size(), 4u);   // up to the end
  const auto refusal = [&](size_t i) {
    return message_of(ErrorKind::kRefused, [&] { gguf_rows(file.tensors().at(i)); });
  };
  EXPECT_THAT(
      refusal(0),
      ::testing::StartsWith(dir.file("f") +
                            ": tensor 'a' has type IQ2_XXS (not decoded), which is not supported; supported: F32 F16"));
  EXPECT_THAT(refusal(2), ::testing::HasSubstr("tensor 'c' has type 999 (unknown), which is not supported"));
}

TEST(Gguf, OpensARealModel) {
  BITLOOM_REQUIRE_SMOLLM2();
  const GgufFile file = GgufFile::open(testing::smollm2_path());
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("llama.block_count"), 30);
  EXPECT_EQ(file.find_texts("tokenizer.ggml.tokens")->size(), 49152u);
  int64_t weights = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    const RowSourcePtr rows = gguf_rows(tensor);
    weights += rows->rows() * rows->cols();
  }
  EXPECT_EQ(weights, 134'515'008);
}

}  // namespace
}  // namespace bitloom
