#include "io/directory/weights_directory.h"

#include <filesystem>

#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::golden;
using testing::message_of;
using testing::TempDir;

TEST(WeightsDirectory, ReadsTorchShardsOfAnIndex) {
  const std::vector<TensorView> tensors = open_weights_directory(golden("io/torch/gpt2"));
  const Json index = read_json(golden("io/torch/gpt2/pytorch_model.bin.index.json"));
  ASSERT_EQ(tensors.size(), index.at("weight_map").size());
  for (const TensorView& tensor : tensors) {
    EXPECT_TRUE(tensor.file.ends_with(index.at("weight_map").at(tensor.name).get<std::string>())) << tensor.name;
  }
}

TEST(WeightsDirectory, PrefersSafetensors) {
  const TempDir dir;
  std::filesystem::copy(golden("io/torch/every_dtype.bin"), dir.file("pytorch_model.bin"));
  EXPECT_EQ(open_weights_directory(dir.path()).at(0).name, "F64");
  std::filesystem::copy(golden("io/six_bits.safetensors"), dir.file("model.safetensors"));
  EXPECT_EQ(open_weights_directory(dir.path()).at(0).name, "a");
}

TEST(WeightsDirectory, NamesWhatItLooksFor) {
  const TempDir dir;
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { open_weights_directory(dir.path()); }),
            dir.path() +
                ": no weights are there: expected model.safetensors, model.safetensors.index.json, "
                "pytorch_model.bin or pytorch_model.bin.index.json");
}

}  // namespace
}  // namespace bitloom
