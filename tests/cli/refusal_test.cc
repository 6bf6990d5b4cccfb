// Inputs that are broken or do not fit: exit code 3, one line that names file, tensor or key, and the value.

#include <gtest/gtest.h>

#include <filesystem>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kQ = "model.layers.0.self_attn.q_proj.weight";  // [192, 192] BF16
constexpr const char* kUp = "model.layers.0.mlp.up_proj.weight";      // [512, 192] BF16

Outcome info(const ModelCopy& model) { return run_bitloom({"info", model.path()}); }

TEST(Refusal, NoSuchModel) {
  expect_error(run_bitloom({"info", "no/such/model"}), 3, {"no/such/model", "no such file"});
}

TEST(Refusal, NeitherDirectoryNorGguf) {
  expect_error(run_bitloom({"info", "assets/demo/config.json"}), 3, {"assets/demo/config.json", "GGUF"});
}

TEST(Refusal, SafetensorsCutOff) {
  const ModelCopy model;
  fs::resize_file(model.file("model.safetensors"), 1000000);
  expect_error(info(model), 3, {model.file("model.safetensors"), "truncated file?"});
  fs::resize_file(model.file("model.safetensors"), 100);
  expect_error(info(model), 3, {"truncated", "92 follow"});
  fs::resize_file(model.file("model.safetensors"), 5);
  expect_error(info(model), 3, {"truncated", "5 bytes"});
}

TEST(Refusal, SafetensorsHeaderLies) {
  const ModelCopy model;
  model.edit_header([](json& header) { header[kQ]["data_offsets"][1] = uint64_t{1} << 60; });
  expect_error(info(model), 3, {model.file("model.safetensors"), kQ, "1152921504606846976"});
  const std::string bytes = read_bytes("assets/demo/model.safetensors");
  write_bytes(model.file("model.safetensors"), little_endian(~uint64_t{0}, 8) + bytes.substr(8));
  expect_error(info(model), 3, {"header length 18446744073709551615"});
}

TEST(Refusal, ShapeThatDoesNotFitItsBytes) {
  const ModelCopy model;
  model.edit_header([](json& header) { header[kQ]["shape"] = {192, 193}; });
  expect_error(info(model), 3, {kQ, "[192, 193]"});
}

TEST(Refusal, WrongShape) {
  const ModelCopy model;
  model.edit_header([](json& header) { header[kUp]["shape"] = {256, 384}; });
  expect_error(info(model), 3, {model.file("model.safetensors"), kUp, "[256, 384]", "[512, 192]"});
}

TEST(Refusal, UnknownDtype) {
  const ModelCopy model;
  model.edit_header([](json& header) { header[kQ]["dtype"] = "BF17"; });
  expect_error(info(model), 3, {kQ, "unknown dtype \"BF17\"", "BF16"});
}

TEST(Refusal, MissingShard) {
  const ModelCopy model;
  fs::rename(model.file("model.safetensors"), model.file("model-00001-of-00002.safetensors"));
  write_bytes(
      model.file("model.safetensors.index.json"),
      json{{"weight_map", {{kQ, "model-00001-of-00002.safetensors"}, {kUp, "model-00002-of-00002.safetensors"}}}}
          .dump());
  expect_error(info(model), 3, {"model.safetensors.index.json", "model-00002-of-00002.safetensors", "missing"});
}

TEST(Refusal, MissingTensor) {
  const ModelCopy model;
  model.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 7; });
  expect_error(info(model), 3, {"model.layers.6.", "missing"});
}

TEST(Refusal, NotANumberInWeights) {
  const ModelCopy model;
  model.overwrite_tensor(kUp, std::string(2 * 7, '\0') + "\xc0\x7f");  // BF16 NaN in row 0, column 7
  const TempDir dir;
  expect_error(run_bitloom({"quantize", model.path(), dir.file("out"), "--recipe", "int4-g32"}), 3, {kUp, "7"});
  EXPECT_TRUE(fs::is_empty(dir.path())) << "nothing is left behind";
}

TEST(Refusal, MissingConfigKey) {
  const ModelCopy model;
  model.edit_json("config.json", [](json& config) { config.erase("hidden_size"); });
  expect_error(info(model), 3, {model.file("config.json"), "hidden_size"});
}

TEST(Refusal, UnknownArchitecture) {
  const ModelCopy model;
  model.edit_json("config.json", [](json& config) { config["model_type"] = "llame"; });
  expect_error(info(model), 3, {model.file("config.json"), "'llame'", "did you mean 'llama'?"});
}

TEST(Refusal, ConfigThatIsNoJson) {
  const ModelCopy model;
  write_bytes(model.file("config.json"), "{\"model_type\": ");
  expect_error(info(model), 3, {model.file("config.json")});
}

TEST(Refusal, TokenizerWithAnUnsupportedPart) {
  const ModelCopy model;
  model.edit_json("tokenizer.json", [](json& tokenizer) { tokenizer["model"]["type"] = "Trigram"; });
  expect_error(run_bitloom({"tokenize", model.path(), "-p", "x"}), 3, {model.file("tokenizer.json"), "Trigram", "BPE"});
}

TEST(Refusal, VocabularyThatDoesNotFitTheModel) {
  const ModelCopy model;
  model.edit_json("tokenizer.json", [](json& tokenizer) { tokenizer["model"]["vocab"]["unlikely"] = 4096; });
  expect_error(run_bitloom({"tokenize", model.path(), "-p", "x"}), 3, {model.path(), "4097", "4096"});
}

TEST(Refusal, TextWithATokenThatTheModelHasNoRowFor) {
  const ModelCopy model;
  model.edit_json("tokenizer.json", [](json& tokenizer) {
    tokenizer["added_tokens"].push_back({{"id", 4096},
                                         {"content", "<extra>"},
                                         {"single_word", false},
                                         {"lstrip", false},
                                         {"rstrip", false},
                                         {"normalized", false},
                                         {"special", true}});
  });
  EXPECT_EQ(run_bitloom({"tokenize", model.path(), "-p", "x"}).code, 0);
  expect_error(run_bitloom({"run", model.path(), "-p", "x<extra>"}), 3, {"tokenizer.json", "'<extra>'", "4096"});
  const Outcome ids = run_bitloom({"tokenize", model.path(), "-p", "<extra>", "--no-special"});
  EXPECT_EQ(ids.code, 0);
  EXPECT_EQ(ids.out, "4096\n");
  EXPECT_NE(ids.err.find("embeds 4096 tokens, so it cannot read '<extra>', token 4096"), std::string::npos) << ids.err;
}

TEST(Refusal, VocabularyOfTheConfigDoesNotFitTheEmbedding) {
  const ModelCopy model;
  model.edit_json("config.json", [](json& config) { config["vocab_size"] = 4000; });
  expect_error(info(model), 3, {"model.embed_tokens.weight", "[4096, 192]", "[4000, 192]"});
}

TEST(Refusal, ModelsWithDifferentVocabulariesAreNotCompared) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  expect_error(run_bitloom({"eval", "kl", "assets/demo", "--ref", "../shared/models/stories260K", "--text",
                            "assets/demo/evaluation.txt"}),
               3, {"4096", "512", "stories260K"});
}

TEST(Refusal, TextShorterThanAWindow) {
  const TempDir dir;
  write_bytes(dir.file("short.txt"), "Once upon a time.");
  expect_error(run_bitloom({"eval", "ppl", "assets/demo", "--text", dir.file("short.txt")}), 3, {"256"});
}

TEST(Refusal, TextThatIsNoUtf8) {
  const TempDir dir;
  write_bytes(dir.file("bad.txt"), "Once\xff upon");
  expect_error(run_bitloom({"eval", "ppl", "assets/demo", "--text", dir.file("bad.txt")}), 3,
               {dir.file("bad.txt"), "UTF-8"});
}

TEST(Refusal, GgufCutOffAndLying) {
  const TempDir dir;
  const std::string path = dir.file("model.gguf");
  const std::string head = "GGUF" + little_endian(3, 4);
  write_bytes(path, "GGUF");
  expect_error(run_bitloom({"info", path}), 3, {path});
  write_bytes(path, head + little_endian(uint64_t{1} << 60, 8) + little_endian(0, 8));
  expect_error(run_bitloom({"info", path}), 3, {path, "1152921504606846976 tensors", "0 bytes are left"});
  write_bytes(path, head + little_endian(0, 8) + little_endian(1000, 8) + "short");
  expect_error(run_bitloom({"info", path}), 3, {path, "1000 metadata keys"});
  write_bytes(path, "GGUF" + little_endian(9, 4) + little_endian(0, 8) + little_endian(0, 8));
  expect_error(run_bitloom({"info", path}), 3, {path, "version 9"});
}

}  // namespace
}  // namespace bitloom::testing
