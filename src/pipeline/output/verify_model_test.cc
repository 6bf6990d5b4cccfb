#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/test_data.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::edit_manifest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kDemo;
using testing::patch_tensor;
using testing::rehash;
using testing::TempDir;

const char* const kUp = "model.layers.1.mlp.up_proj.weight";
const char* const kNorm = "model.layers.1.input_layernorm.weight";

/// A quantized demo that each test breaks in its own way.
class VerifyQuantized : public ::testing::Test {
 protected:
  void SetUp() override { testing::quantize(kDemo, model, "int4-g32"); }

  std::string finding() const {
    return testing::refusal(ErrorKind::kUnverified, [this] { testing::verify(model); });
  }
  std::string weights() const { return model + "/model.safetensors"; }

  TempDir dir;
  std::string model = dir.file("model");
};

TEST_F(VerifyQuantized, SaysWhatIsRight) {
  EXPECT_THAT(testing::verify(model),
              ElementsAre(HasSubstr("files have the recorded sizes and SHA-256"),
                          HasSubstr("recorded bits agree with the files: 4.5"), HasSubstr("tensors are there"),
                          HasSubstr("42 of them are quantized")));
}

TEST_F(VerifyQuantized, FindsAChangedByte) {
  patch_tensor(weights(), std::string(kUp) + ".codes", 100, "\x42\x43");
  EXPECT_THAT(finding(), AllOf(HasSubstr(weights()), HasSubstr("sha256 is"), HasSubstr("bitloom.json says")));
}

TEST_F(VerifyQuantized, FindsAShortenedFile) {
  fs::resize_file(weights(), fs::file_size(weights()) - 8);
  EXPECT_THAT(finding(), AllOf(HasSubstr(weights()), HasSubstr("bytes is")));
  rehash(model, "model.safetensors");
  EXPECT_THAT(finding(), HasSubstr(weights()));
}

TEST_F(VerifyQuantized, FindsAScaleThatIsNoNumber) {
  patch_tensor(weights(), std::string(kUp) + ".scales", 0, std::string("\x00\x7e", 2));  // fp16 NaN
  rehash(model, "model.safetensors");
  EXPECT_THAT(finding(), HasSubstr(kUp));
}

TEST_F(VerifyQuantized, FindsAKeptValueThatIsNotFinite) {
  patch_tensor(weights(), kNorm, 2 * 9, "\x80\x7f");  // bf16 infinity
  rehash(model, "model.safetensors");
  EXPECT_THAT(finding(), AllOf(HasSubstr(kNorm), HasSubstr("Inf at [0, 9]")));
}

TEST_F(VerifyQuantized, FindsMissingAndForeignFiles) {
  fs::copy_file(weights(), model + "/extra.safetensors");
  EXPECT_THAT(finding(), AllOf(HasSubstr("extra.safetensors"), HasSubstr("does not list")));
  fs::remove(model + "/extra.safetensors");
  testing::write_file(model + "/NOTICE", "mine");
  EXPECT_NO_THROW(testing::verify(model));
  testing::write_file(model + "/chat_template.jinja", "{{ messages }}");
  EXPECT_THAT(finding(), HasSubstr("/chat_template.jinja: a file that bitloom.json does not list"));
  fs::remove(model + "/chat_template.jinja");
  fs::remove(model + "/tokenizer.json");
  EXPECT_THAT(finding(), AllOf(HasSubstr("tokenizer.json"), HasSubstr("missing")));
}

TEST_F(VerifyQuantized, FindsAManifestThatDisagrees) {
  const auto with = [this](const std::function<void(Json&)>& edit) {
    const Json before = read_json(model + "/bitloom.json");
    edit_manifest(model, edit);
    const std::string message = finding();
    edit_manifest(model, [&](Json& manifest) { manifest = before; });
    return message;
  };
  EXPECT_THAT(with([](Json& m) { m["tensors"].erase(kUp); }), AllOf(HasSubstr(kUp), HasSubstr("not in \"tensors\"")));
  EXPECT_THAT(with([](Json& m) { m["kept"].erase(kNorm); }), AllOf(HasSubstr(kNorm), HasSubstr("not in \"kept\"")));
  EXPECT_THAT(with([](Json& m) { m["kept"]["ghost"] = m["kept"][kNorm]; }),
              AllOf(HasSubstr("'ghost'"), HasSubstr("missing from the files")));
  EXPECT_THAT(with([](Json& m) { m["tensors"][kUp]["bits_true"] = 3.0; }),
              AllOf(HasSubstr(kUp), HasSubstr("\"bits_true\" is 3.0, but")));
  EXPECT_THAT(with([](Json& m) { m["tensors"][kUp]["storage"] = "int3-g32"; }), HasSubstr("\"storage\" is \"int3-g32\""));
  EXPECT_THAT(with([](Json& m) { m["kept"][kNorm]["bytes"] = 3; }), HasSubstr("\"bytes\" is 3"));
  EXPECT_THAT(with([](Json& m) { m["totals"]["bits_true_model"] = 1.0; }), HasSubstr("\"bits_true_model\" is 1.0"));
  EXPECT_THAT(with([](Json& m) { m["totals"].erase("weights"); }), HasSubstr("\"weights\" is missing"));
  EXPECT_THAT(with([](Json& m) { m["manifest"] = 7; }), HasSubstr("\"manifest\" is 7, expected 1"));
  EXPECT_THAT(with([](Json& m) { m["tensors"] = 7; }), HasSubstr("\"tensors\" is no object"));
  EXPECT_THAT(with([](Json& m) { m["kept"][kNorm] = 7; }), HasSubstr("is no object"));
  EXPECT_THAT(with([](Json& m) { m["files"]["../secret"] = Json::object(); }), HasSubstr("no plain file name"));
  EXPECT_THAT(with([](Json& m) { m["files"]["config.json"].erase("sha256"); }), HasSubstr("says null"));
  EXPECT_THAT(with([](Json& m) { m["files"]["config.json"]["bytes"] = "many"; }), HasSubstr("says \"many\""));
  EXPECT_THAT(with([](Json& m) { m = Json::array(); }), HasSubstr("not a JSON object"));
}

TEST_F(VerifyQuantized, FindsABrokenOrMissingManifest) {
  std::ofstream(model + "/bitloom.json") << "{";
  EXPECT_THAT(finding(), HasSubstr("bitloom.json"));
  fs::remove(model + "/bitloom.json");
  EXPECT_THAT(finding(), HasSubstr("without its manifest bitloom.json"));
}

TEST_F(VerifyQuantized, FindsAConfigThatDisagrees) {
  Json config = read_json(model + "/config.json");
  config["quantization_config"]["tensors"][kUp]["storage"] = "int3-g32";
  std::ofstream(model + "/config.json") << dump_json(config);
  rehash(model, "config.json");
  EXPECT_THAT(finding(), HasSubstr(kUp));
}

TEST(VerifySource, ChecksValuesOfAHuggingFaceModel) {
  EXPECT_THAT(testing::verify(kDemo),
              ElementsAre(HasSubstr("tensors are there, with the right shapes and finite values")));
  const TempDir dir;
  testing::copy_model(kDemo, dir.file("demo"));
  patch_tensor(dir.file("demo") + "/model.safetensors", kUp, 2 * (192 + 1), "\xc0\x7f");
  EXPECT_THAT(testing::refusal(ErrorKind::kUnverified, [&] { testing::verify(dir.file("demo")); }),
              AllOf(HasSubstr(dir.file("demo")), HasSubstr(kUp), HasSubstr("NaN at [1, 1]")));
}

TEST(VerifySource, ChecksAGgufModel) {
  BITLOOM_REQUIRE_SMOLLM2();
  EXPECT_THAT(testing::verify(testing::smollm2_path()), ElementsAre(HasSubstr("tensors are there")));
}

TEST(VerifySource, RefusesWhatIsNoModel) {
  const TempDir dir;
  EXPECT_THROW(testing::verify(dir.path()), Error);
  EXPECT_THROW(testing::verify(dir.file("absent")), Error);
}

}  // namespace
}  // namespace bitloom
