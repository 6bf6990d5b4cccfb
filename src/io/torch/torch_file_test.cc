#include "io/torch/torch_file.h"

#include <gmock/gmock.h>

#include "io/json.h"
#include "io/test_support.h"
#include "io/torch/test_zip.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::golden;
using ::testing::HasSubstr;
using testing::message_of;
using testing::pickled_dict;
using testing::pickled_tensor;
using testing::PickledTensorText;
using ::testing::StartsWith;
using testing::TempDir;
using testing::write_file;
using testing::zip_of;

void expect_golden(const std::string& name) {
  const Json expected = read_json(golden("io/torch/every_dtype.json"));
  const std::vector<TensorView> tensors = open_torch_file(golden("io/torch/" + name));
  ASSERT_EQ(tensors.size(), expected.size());
  for (const TensorView& tensor : tensors) {
    SCOPED_TRACE(tensor.name);
    const Json& entry = expected.at(tensor.name);
    EXPECT_EQ(info(tensor.dtype).name, entry.at("dtype").get<std::string>());
    EXPECT_EQ(tensor.shape, entry.at("shape").get<std::vector<int64_t>>());
    EXPECT_EQ(static_cast<int64_t>(tensor.bytes.size()), bytes_of(tensor.dtype, tensor.elements()));
    if (!entry.contains("values")) continue;
    EXPECT_EQ(dense_rows(tensor)->decode_all(), entry.at("values").get<std::vector<float>>());
  }
}

TEST(TorchFile, ReadsEveryDtypeAndStrideThatTorchSaves) { expect_golden("every_dtype.bin"); }
TEST(TorchFile, ReadsPickleProtocol4) { expect_golden("protocol_4.bin"); }

TEST(TorchFile, ReadsZip64) {
  std::map<std::string, std::vector<float>> values;
  for (const TensorView& tensor : open_torch_file(golden("io/torch/zip64.bin"))) {
    values[tensor.name] = dense_rows(tensor)->decode_all();
  }
  EXPECT_THAT(values.at("matrix"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(values.at("transposed"), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(values.at("scalar"), ElementsAre(7));
}

TEST(TorchFile, ContiguousTensorsAreViewsAndShareBytes) {
  std::map<std::string, TensorView> tensors;
  for (TensorView& tensor : open_torch_file(golden("io/torch/every_dtype.bin"))) tensors[tensor.name] = tensor;
  const TensorView &shared = tensors.at("shared"), &row = tensors.at("row");
  ASSERT_NE(shared.mapping, nullptr);
  EXPECT_EQ(row.bytes.data(), shared.bytes.data() + 4 * sizeof(float));
  EXPECT_GE(shared.bytes.data(), shared.mapping->bytes().data());
  EXPECT_EQ(tensors.at("position_ids").mapping, shared.mapping);
  EXPECT_EQ(tensors.at("transposed").mapping, nullptr);
}

struct Archive {
  std::string pickle = pickled_dict({{"w", pickled_tensor({})}});
  std::string storage = std::string(24, '\0');
  std::vector<std::pair<std::string, std::string>> more = {};

  std::string bytes() const {
    std::vector<std::pair<std::string, std::string>> entries = {{"m/data.pkl", pickle}, {"m/data/0", storage}};
    entries.insert(entries.end(), more.begin(), more.end());
    return zip_of(entries);
  }
};

/// Without the path, which begins it.
std::string refusal(const std::string& bytes) {
  const TempDir dir;
  write_file(dir.file("f"), bytes);
  const std::string message = message_of(ErrorKind::kRefused, [&] { open_torch_file(dir.file("f")); });
  EXPECT_THAT(message, StartsWith(dir.file("f") + ": "));
  return message.substr(dir.file("f").size() + 2);
}

std::string refusal_of_tensor(const PickledTensorText& tensor) {
  return refusal(Archive{.pickle = pickled_dict({{"w", pickled_tensor(tensor)}})}.bytes());
}

TEST(TorchFile, RefusesWhatTorchSaveDoesNotWriteToday) {
  EXPECT_THAT(refusal(std::string("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15)),
              HasSubstr("was written by torch before 1.6; convert it in Python: torch.save(torch.load(\""));
  EXPECT_THAT(refusal(std::string(257, '\0') + "ustar" + std::string(250, '\0')), HasSubstr("before 1.6"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("git lfs pull"));
  EXPECT_EQ(refusal("x"), "no zip archive, which torch.save writes");
  EXPECT_EQ(refusal(zip_of({{"m/x", ""}})), "a zip archive without NAME/data.pkl is no file of torch.save");
  EXPECT_EQ(refusal(Archive{.more = {{"n/data.pkl", ""}}}.bytes()), "holds both 'n/data.pkl' and 'm/data.pkl'");
  EXPECT_EQ(refusal(Archive{.more = {{"m/byteorder", "big"}}}.bytes()), "byteorder is 'big', expected 'little'");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [] { open_torch_file(golden("io/torch/training.bin")); }),
              HasSubstr("training/data.pkl: 'model' is a dict, expected a tensor"));
}

TEST(TorchFile, ChecksStoragesAgainstTheFile) {
  EXPECT_EQ(refusal_of_tensor({.storage = "1"}), "storage 'm/data/1' is missing (truncated file?)");
  EXPECT_EQ(refusal_of_tensor({.elements = 7}), "storage 'm/data/0' has 24 bytes, data.pkl says 7 elements of F32");
  EXPECT_EQ(refusal_of_tensor({.storage = std::string(65, '0')}),
            "the key of a storage has 65 characters, expected a number");
}

TEST(TorchFile, ChecksTensorsAgainstTheirStorage) {
  const std::string beyond = " lies beyond the 6 elements of its storage";
  EXPECT_EQ(refusal_of_tensor({.offset = 1}), "tensor 'w': shape [2, 3] with strides [3, 1] from element 1" + beyond);
  EXPECT_EQ(refusal_of_tensor({.shape = {7}, .strides = {1}}),
            "tensor 'w': shape [7] with strides [1] from element 0" + beyond);
  constexpr int32_t kMost = INT32_MAX;
  EXPECT_THAT(refusal_of_tensor({.shape = {kMost, kMost, kMost}, .strides = {0, 0, 0}}), HasSubstr(beyond));
  EXPECT_THAT(refusal_of_tensor({.shape = {kMost, 2}, .strides = {kMost, 1}}), HasSubstr(beyond));
  EXPECT_THAT(refusal_of_tensor({.offset = kMost, .shape = {1}, .strides = {1}}), HasSubstr(beyond));
}

TEST(TorchFile, CopiesTakeNoMoreThanTheFile) {
  const std::string message = refusal_of_tensor({.shape = {1000, 1}, .strides = {0, 1}});
  EXPECT_THAT(message, HasSubstr("is not contiguous, and copies of such tensors would take more than the file"));
  // The same transpose again and again: each fits, all together do not.
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 100; ++i) many.push_back({std::to_string(i), "h" + std::string(1, '\0')});
  many[0].second = pickled_tensor({.shape = {3, 2}, .strides = {1, 3}}) + "q" + std::string(1, '\0');
  EXPECT_THAT(refusal(Archive{.pickle = pickled_dict(many)}.bytes()), HasSubstr("would take more than the file"));
}

}  // namespace
}  // namespace bitloom
