#include "judge/model_figures.h"

#include <gtest/gtest.h>

#include "judge/test_models.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

TEST(ModelSize, OfAFloatModel) {
  const auto demo = Checkpoint::open(testing::kDemo);
  const ModelSize size = size_of(*demo);
  EXPECT_EQ(size.format, "BF16");
  EXPECT_EQ(size.bits_true, 16);
  EXPECT_EQ(size.bits_nominal, 16);
  EXPECT_EQ(size.bytes, static_cast<int64_t>(fs::file_size("assets/demo/model.safetensors")));
  EXPECT_NEAR(size.bits_model, 16, 0.05);  // and the file's header
  EXPECT_EQ(size.activations, "");
  EXPECT_TRUE(manifest_of(*demo).is_null());
}

TEST(ModelSize, SaysWhatInputsAreRoundedTo) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  testing::quantize_demo(dir.file("w4a8"), "int4-g32@int8-token", quiet);
  EXPECT_EQ(size_of(*Checkpoint::open(dir.file("w4a8"))).activations, "int8-token");
}

// Every input has a range of its own; they are one kind.
TEST(ModelSize, StaticRangesAreOneKindOfActivations) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  testing::quantize_demo(dir.file("w4a8"), "int4-g32@int8-token", quiet);
  testing::edit_json(dir.file("w4a8") + "/config.json", [](Json& config) {
    int high = 0;
    for (Json& format : config["quantization_config"]["activations"])
      format = "int8-tensor-at[" + std::to_string(++high) + "]";
    ASSERT_GT(high, 1);
  });
  EXPECT_EQ(size_of(*Checkpoint::open(dir.file("w4a8"))).activations, "int8-tensor-at[...]");
}

TEST(ModelSize, OfSeveralFormatsNamesTheMostUsed) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  const QuantizeResult result = testing::quantize_demo(dir.file("mixed"), "int4-down8", quiet);
  const auto model = Checkpoint::open(dir.file("mixed"));
  const ModelSize size = size_of(*model);
  EXPECT_EQ(size.format, "int4-g128 + 1 more");
  EXPECT_DOUBLE_EQ(size.bits_true, result.bits_true);
  EXPECT_DOUBLE_EQ(size.bits_nominal, result.bits_nominal);
  EXPECT_NE(size.bits_nominal, size.bits_true);
  EXPECT_EQ(size.bytes, result.bytes);
  EXPECT_DOUBLE_EQ(size.bits_model, result.bits_model);
  EXPECT_GT(size.bits_model, size.bits_true);  // the embedding stays in BF16
  EXPECT_EQ(manifest_of(*model).at("recipe").at("name"), "int4-down8");
}

TEST(ModelSize, WithoutAManifestNominalBitsAreThoseStored) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  testing::quantize_demo(dir.file("model"), "int4-down8", quiet);
  fs::remove(dir.file("model") + "/bitloom.json");
  const ModelSize size = size_of(*Checkpoint::open(dir.file("model")));
  EXPECT_EQ(size.bits_nominal, size.bits_true);
}

TEST(DecodeSpeed, IsThatOfGeneratedTokens) {
  testing::Quiet quiet;
  const auto demo = Checkpoint::open(testing::kDemo);
  Decoder decoder(demo, quiet.context.threads);
  EXPECT_GT(decode_speed(decoder, demo->tokenizer(), "Once upon a time", 4), 0);
}

TEST(BaseName, IsTheLastPartOfAPath) {
  EXPECT_EQ(base_name("models/demo/"), "demo");
  EXPECT_EQ(base_name("models/demo"), "demo");
  EXPECT_EQ(base_name("./a/../b.gguf"), "b.gguf");
  EXPECT_EQ(base_name("demo"), "demo");
}

}  // namespace
}  // namespace bitloom
