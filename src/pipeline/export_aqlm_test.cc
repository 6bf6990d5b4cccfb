// What recipes make, exported: everything that the layout can hold, and what it cannot.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "export/aqlm.h"
#include "export/test_export.h"
#include "format/stored_matrix.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using testing::export_to;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::tensors_in;
using testing::values_of;

const std::string kTiny = testing::golden("forward/llama_bf16");

TEST(ExportAqlm, KeepsTheRestAndNamesIt) {
  const TempDir dir;
  std::ofstream(dir.file("r.yaml")) << "steps: [{quantize: aq2x4-g4, rounding: additive}, {keep: [up]}]\n";
  testing::quantize(kTiny, dir.file("q"), dir.file("r.yaml"));
  const ExportReport report = export_to(dir.file("q"), dir.file("out"));
  const auto model = Checkpoint::open(dir.file("q"));
  const auto tensors = tensors_in(dir.file("out"));
  const Json config = read_json(dir.file("out/config.json"));
  const Json quantization = config.at("quantization_config");
  const auto kept = quantization.at("linear_weights_not_to_quantize").get<std::vector<std::string>>();
  EXPECT_EQ(quantization.at("nbits_per_codebook"), 4);
  EXPECT_EQ(config.at("torch_dtype"), "float16");
  size_t expected = 0;
  for (const CheckpointTensor& tensor : model->tensors()) {
    const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
    if (dynamic_cast<const StoredMatrix*>(tensor.rows.get()) != nullptr) {
      EXPECT_THAT(kept, ::testing::Not(Contains(tensor.name)));
      EXPECT_THAT(kept, ::testing::Not(Contains(module)));
      expected += 3;
      continue;
    }
    EXPECT_EQ(values_of(tensors.at(tensor.name)), tensor.rows->decode_all()) << tensor.name;
    EXPECT_EQ(tensors.at(tensor.name).shape, tensor.shape);
    EXPECT_TRUE(!tensor.name.ends_with(".weight") || std::count(kept.begin(), kept.end(), tensor.name) == 1);
    ++expected;
  }
  EXPECT_EQ(tensors.size(), expected);
  EXPECT_EQ(report.matrices, 6 * std::ssize(model->graph().blocks));
  for (const char* name : {"lm_head", "lm_head.weight", "model.layers.1.mlp.up_proj"})
    EXPECT_THAT(kept, Contains(name));
  for (const auto& [name, contents] : model->companion_files()) EXPECT_TRUE(fs::exists(dir.file("out/" + name)));
}

TEST(ExportAqlm, WhatIsQuantizedOutsideTheBlocksIsWrittenAsFp16) {
  const TempDir dir;
  std::ofstream(dir.file("r.yaml")) << "steps: [{quantize: aq2x4-g4, rounding: additive}, "
                                       "{quantize: int8-row, targets: [embedding]}]\n";
  testing::quantize(kTiny, dir.file("q"), dir.file("r.yaml"));
  const ExportReport report = export_to(dir.file("q"), dir.file("out"));
  const auto model = Checkpoint::open(dir.file("q"));
  const std::string name = model->graph().embedding;
  EXPECT_THAT(report.remarks, Contains(AllOf(HasSubstr(name), HasSubstr("int8-row"), HasSubstr("fp16"))));
  std::vector<float> expected = model->tensor(name).rows->decode_all();
  for (float& value : expected) value = finite_f16(value);
  EXPECT_EQ(values_of(tensors_in(dir.file("out")).at(name)), expected);
}

TEST(ExportAqlm, ValuesBeyondFp16AreWrittenInFp32) {
  const TempDir dir;
  testing::copy_model(kTiny, dir.file("m"));
  const std::string name = Checkpoint::open(dir.file("m"))->graph().embedding;
  testing::patch_tensor(dir.file("m/model.safetensors"), name, 0, std::string("\x00\x48", 2));  // 131072 in bf16
  std::ofstream(dir.file("r.yaml")) << "steps: [{quantize: aq2x4-g4, rounding: additive}, "
                                       "{quantize: int8-row, targets: [embedding]}]\n";
  testing::quantize(dir.file("m"), dir.file("q"), dir.file("r.yaml"));
  const ExportReport report = export_to(dir.file("q"), dir.file("out"));
  EXPECT_THAT(report.remarks, Contains(AllOf(HasSubstr(name), HasSubstr("fp32"))));
  EXPECT_EQ(values_of(tensors_in(dir.file("out")).at(name)),
            Checkpoint::open(dir.file("q"))->tensor(name).rows->decode_all());
  EXPECT_EQ(read_json(dir.file("out/config.json")).at("torch_dtype"), "float32");
}

TEST(ExportAqlm, RefusesWhatTheLayoutCannotHold) {
  const TempDir dir;
  const auto message = [&](const std::string& recipe, const std::string& model = kTiny) {
    fs::remove_all(dir.file("q"));
    testing::quantize(model, dir.file("q"), recipe);
    return testing::refusal(ErrorKind::kUsage, [&] { export_to(dir.file("q"), dir.file("out")); });
  };
  EXPECT_THAT(message("int4-g32"), AllOf(HasSubstr("q_proj.weight' is stored as int4-g32"), HasSubstr("aq2x8-g8")));
  EXPECT_THAT(message("additive+aq2x4-g5"), HasSubstr("no multiple of its groups of 5"));
  EXPECT_THAT(message("additive+aq2x4-g4@int8-token"), HasSubstr("is multiplied by inputs rounded to int8-token"));
  EXPECT_THAT(message("additive+aq2x4-g4+kv:int8-token"), HasSubstr("keys are rounded to int8-token"));
  std::ofstream(dir.file("r.yaml")) << "steps: [{quantize: aq2x4-g4, rounding: additive}, "
                                       "{quantize: aq2x4-g8, rounding: additive, targets: [down]}]\n";
  EXPECT_THAT(message(dir.file("r.yaml")),
              AllOf(HasSubstr("down_proj.weight' is stored as aq2x4-g8"), HasSubstr("others as aq2x4-g4")));
  EXPECT_THAT(message("additive+aq2x4-g4", testing::golden("forward/gpt2")), HasSubstr("is a Conv1D's"));
  std::ofstream(dir.file("attention.yaml"))
      << "steps: [{quantize: aq2x4-g4, rounding: additive, targets: [q, k, v, output]}]\n";
  EXPECT_THAT(message(dir.file("attention.yaml"), testing::golden("forward/gpt_oss")),
              AllOf(HasSubstr("experts"), HasSubstr("with other matrices")));
  EXPECT_THAT(testing::refusal(ErrorKind::kUsage, [&] { export_to(kTiny, dir.file("out")); }),
              AllOf(HasSubstr("no matrix of its blocks is stored as additive codebooks"), HasSubstr("aqlm-2x8")));
  EXPECT_FALSE(fs::exists(dir.file("out")));
}

TEST(ExportPeft, RefusesRoundedInputs) {
  const TempDir dir;
  const auto message = [&](const std::string& recipe) {
    fs::remove_all(dir.file("q"));
    testing::quantize(kTiny, dir.file("q"), recipe);
    return testing::refusal(ErrorKind::kUsage, [&] { export_to(dir.file("q"), dir.file("out"), false, "peft-f32"); });
  };
  const std::string recipe = "lorc:nearest+int4-g8+lowrank2-int8-row";
  EXPECT_THAT(message(recipe + "@int8-token"), HasSubstr("rounded to int8-token, which the peft layout cannot hold"));
  EXPECT_THAT(message(recipe + "+kv:int8-token"), HasSubstr("keys are rounded to int8-token"));
  EXPECT_FALSE(fs::exists(dir.file("out")));
}

}  // namespace
}  // namespace bitloom
