// Calibrated runs that cannot be made, or not as the recipe says: exact reasons.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "model/test_linears.h"
#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CalibratedRun;
using ::testing::Contains;
using testing::golden_model;
using ::testing::HasSubstr;
using testing::Listener;
using testing::refusal;
using testing::TempDir;

CalibratedRun run_of(const std::string& model, const std::string& recipe) {
  return {golden_model(model), recipe, testing::some_data(golden_model(model), {12, 12})};
}

std::string refusal_of(const CalibratedRun& run, ErrorKind kind) {
  const TempDir dir;
  std::string message = refusal(kind, [&] { run.into(dir.file("out")); });
  EXPECT_FALSE(fs::exists(dir.file("out")));
  return message;
}

/// fp32 values as bytes.
std::string floats(size_t count, float value) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  return bytes;
}

class HugeWeights : public ::testing::Test {
 protected:
  CalibratedRun damaged(const std::string& model, const std::string& tensor, int64_t offset, const std::string& bytes) {
    testing::copy_model(golden_model(model), dir_.file("model"));
    testing::patch_tensor(dir_.file("model/model.safetensors"), tensor, offset, bytes);
    CalibratedRun run = run_of(model, "gptq+int4-g16");
    run.model = dir_.file("model");
    return run;
  }
  TempDir dir_;
};

TEST_F(HugeWeights, SayWhereActivationsOverflow) {
  // The RMS of 32 normed values is 1, so some exceed 1.14, and times 3e38 are beyond fp32.
  CalibratedRun run = damaged("llama", "model.layers.1.post_attention_layernorm.weight", 0, floats(32, 3e38f));
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    run.options.order = order;
    EXPECT_THAT(
        refusal_of(run, ErrorKind::kFailed),
        HasSubstr(run.model + ": block 1, mlp: all 24 calibration tokens have activations that are not finite"));
  }
  run.recipe = "smoothquant+int8-row";
  EXPECT_THAT(refusal_of(run, ErrorKind::kFailed), HasSubstr("block 1, mlp: all 24"));
}

TEST_F(HugeWeights, SayWhereSquaresOverflow) {
  const CalibratedRun run = damaged("llama", "model.layers.1.post_attention_layernorm.weight", 0, floats(32, 1e30f));
  EXPECT_THAT(refusal_of(run, ErrorKind::kFailed),
              AllOf(HasSubstr(run.model + ": block 1, mlp: activations are as large as "),
                    HasSubstr("e+30, and their squares overflow")));
}

// Logits that are all 0; activations, and so gradients, beyond fp32; gradients whose squares are.
TEST_F(HugeWeights, SayWhereGradientsTellNothing) {
  const std::string norm = "model.norm.weight", late = "model.layers.1.post_attention_layernorm.weight";
  CalibratedRun run = damaged("llama", norm, 0, floats(32, 0));
  for (const char* recipe : {"gptq:guided+int4-g16", "ldlq:two-sided+trellis2-l12+frame-in16-out16"}) {
    run.recipe = recipe;
    EXPECT_THAT(refusal_of(run, ErrorKind::kFailed),
                AllOf(HasSubstr(run.model + ": tensor 'model.layers."),
                      HasSubstr("the gradients of its outputs are 0 or not finite on all 24 calibration tokens")));
  }
  std::filesystem::remove_all(dir_.file("model"));
  run = damaged("llama", late, 0, floats(32, 3e38f));
  run.recipe = "gptq:guided+int4-g16";
  EXPECT_THAT(refusal_of(run, ErrorKind::kFailed), HasSubstr("the gradients of its outputs are 0 or not finite"));
}

// Gemma multiplies its embeddings by sqrt(32): one token's overflow. No other of its sequence may be counted on once
// attention has mixed them: a weight of zero times NaN is NaN.
TEST_F(HugeWeights, TokensThatOverflowAreLeftOutAndCounted) {
  constexpr int32_t kToken = 7;
  CalibratedRun run = damaged("gemma", "model.embed_tokens.weight", kToken * 32 * 4, floats(32, 3e38f));
  for (auto& sequence : run.data.sequences) {
    std::replace(sequence.begin(), sequence.end(), kToken, kToken + 1);
  }
  run.data.sequences[1].back() = kToken;
  run.recipe = "awq:steps=2+gptq+int4-g16";
  Listener listener;
  run.into(dir_.file("out"), listener);
  const Json manifest = read_json(dir_.file("out/bitloom.json"));
  const char* const names[] = {"attention", "attention_output", "mlp", "mlp_down"};
  int inputs = 0;
  for (int b = 0; b < 2; ++b) {
    for (int input = 0; input < 4; ++input) {
      const int dropped = b == 0 && input == testing::kAttention ? 1 : 12;
      const std::string line =
          fmt::format("block {}, {}: {} of 24 calibration tokens have activations that are not finite and are left out",
                      b, names[input], dropped);
      EXPECT_THAT(listener.lines, Contains(line).Times(1));
      EXPECT_THAT(manifest.at("remarks").get<std::vector<std::string>>(), Contains(line));
      ++inputs;
    }
  }
  EXPECT_EQ(inputs, 8);
  for (const auto& [name, tensor] : manifest.at("tensors").items()) {
    const bool before_attention =
        name.find("layers.0.self_attn.") != std::string::npos && name.find("o_proj") == std::string::npos;
    EXPECT_EQ(tensor.at("dropped_tokens"), before_attention ? 1 : 12) << name;
    EXPECT_EQ(tensor.at("tokens"), before_attention ? 23 : 12) << name;
  }
}

// Every method of error feedback, and those that look at columns or blocks as wholes.
TEST(WalkFailure, AColumnWithoutAFiniteWeight) {
  const std::string tensor = "model.layers.1.mlp.up_proj.weight";
  const TempDir dir;
  testing::copy_model(golden_model("llama"), dir.file("model"));
  constexpr int64_t kRows = 48, kCols = 32;
  for (int64_t r = 0; r < kRows; ++r) {
    testing::patch_tensor(dir.file("model/model.safetensors"), tensor, (r * kCols + 5) * 4, floats(1, NAN));
  }
  CalibratedRun run = run_of("llama", "gptq+int4-g16");
  run.model = dir.file("model");
  for (const char* recipe : {"gptq+int4-g16", "claq-2.12", "billm", "pb-1.7", "spqr-3", "slim-2", "onebit-svid"}) {
    run.recipe = recipe;
    EXPECT_EQ(refusal_of(run, ErrorKind::kRefused),
              run.model + ": tensor '" + tensor + "': weight [0, 5] is nan; only finite weights can be quantized");
  }
}

TEST(WalkFailure, WidthsThatColumnsCannotHave) {
  EXPECT_THAT(refusal_of(run_of("llama", "claq:narrow=2+codebook1.5-col"), ErrorKind::kUsage),
              AllOf(HasSubstr("tensor 'model.layers.0.self_attn.q_proj.weight'"),
                    HasSubstr("columns of 2 and 3 bits cannot have 1.5 bits in the mean")));
  for (const char* recipe : {"claq:reserved=1.5+codebook2-col", "claq:reserved=0.3+codebook2-col"}) {
    EXPECT_THAT(refusal_of(run_of("llama", recipe), ErrorKind::kUsage),
                HasSubstr("reserved of 'claq' must be a number from 0 to 0.24, found"));
  }
}

/// The last block of a row is a short one.
TEST(WalkFailure, NoBlockNeedsToDivideTheColumns) {
  for (const char* recipe : {"billm+planes-g7", "spqr+affine3-g5-s3x16", "slim+affine2-g24-mixed"}) {
    const TempDir dir;
    run_of("llama", recipe).into(dir.file("out"));
    EXPECT_NO_THROW(testing::verify(dir.file("out"))) << recipe;
  }
}

TEST(WalkFailure, TooLittleMemorySaysHowMuchIsNeeded) {
  CalibratedRun run = run_of("llama", "gptq+int4-g16");
  run.options.memory = 1 << 20;
  EXPECT_THAT(refusal_of(run, ErrorKind::kFailed),
              AllOf(HasSubstr("--mem 1.00 MiB is too little for this model and recipe: at least "),
                    HasSubstr(" are needed with all activations in a file")));
}

TEST(WalkFailure, RoundingByDataOfTheHead) {
  const TempDir dir;
  std::ofstream(dir.file("r.yaml")) << "steps: [{quantize: int4-g16, rounding: gptq, targets: ['*', head]}]\n";
  CalibratedRun run = run_of("gpt_neox", dir.file("r.yaml"));
  EXPECT_THAT(refusal_of(run, ErrorKind::kUsage),
              HasSubstr("recipe 'r': 'embed_out.weight' lies outside the blocks and cannot be rounded by gptq; let a "
                        "step give it rounding nearest"));
}

TEST(WalkFailure, NoData) {
  CalibratedRun run = run_of("llama", "gptq+int4-g16");
  run.data.sequences.clear();
  EXPECT_THAT(refusal_of(run, ErrorKind::kUsage), HasSubstr("recipe 'gptq+int4-g16' needs calibration data"));
}

TEST(WalkFailure, TokensOutsideTheModel) {
  CalibratedRun run = run_of("gpt2", "gptq+int4-g16");
  run.data.sequences[1][3] = 64;
  EXPECT_THAT(refusal_of(run, ErrorKind::kRefused), HasSubstr("64"));
  run.data = testing::some_data(run.model, {65});  // of 64 learned positions
  EXPECT_THAT(refusal_of(run, ErrorKind::kRefused), AllOf(HasSubstr("65"), HasSubstr("64")));
}

// One sequence is all that gradients need; of single tokens no label follows.
TEST(WalkFailure, GradientsOfOneSequence) {
  CalibratedRun run = run_of("llama", "ldlq:two-sided,drift=1+trellis2-l12+frame-in16-out16");
  run.data = testing::some_data(run.model, {24});
  EXPECT_FALSE(run.files().empty());
  run.data = testing::some_data(run.model, {1, 1, 1});
  EXPECT_THAT(refusal_of(run, ErrorKind::kFailed), HasSubstr("are 0 or not finite on all 3 calibration tokens"));
}

TEST(WalkFailure, BiasCorrectionWithoutBiases) {
  EXPECT_THAT(refusal_of(run_of("llama", "bias-correction+int4-g16"), ErrorKind::kUsage),
              HasSubstr("'bias-correction' finds no bias in this llama model's quantized layers; leave it out"));
}

std::vector<std::string> remarks_of(const std::string& model, const std::string& recipe) {
  const TempDir dir;
  Listener listener;
  run_of(model, recipe).into(dir.file("out"), listener);
  return listener.lines;
}

TEST(WalkRemarks, LayersWithoutABias) {
  EXPECT_THAT(remarks_of("qwen2", "bias-correction+int4-g16"),
              Contains("bias-correction: 12 of 21 quantized layers have no bias, such as "
                       "'model.layers.0.self_attn.o_proj.weight'"));
  EXPECT_THAT(remarks_of("opt", "bias-correction+int4-g16"), ::testing::Not(Contains(HasSubstr("bias"))));
}

TEST(WalkRemarks, InputsThatNoScaleCanBeTakenFrom) {
  const std::string reason = "nothing before them can take a scale back exactly";
  EXPECT_THAT(remarks_of("gpt2", "smoothquant+int8-row"),
              Contains("smoothquant: 2 of 8 inputs stay as they are, such as that of block 0, mlp_down: " + reason));
  EXPECT_THAT(remarks_of("gpt2", "awq:steps=2+int8-row"), Contains(HasSubstr("awq:2: 2 of 8 inputs")));
  // Inputs of 4 bits then are shifted as they are rounded, by all of it.
  EXPECT_THAT(remarks_of("gpt2", "preshift+e2m1-row@e2m1-tensor-joint-shift"),
              Contains("preshift: 2 of 8 inputs stay as they are, such as that of block 0, mlp_down: " + reason));
  EXPECT_THAT(remarks_of("llama", "smoothquant+int8-row"), ::testing::Not(Contains(HasSubstr(reason))));
}

TEST(WalkRemarks, GroupsWhoseScalesM2Binds) {
  const auto said =
      HasSubstr(" matrices, such as 'model.layers.0.mlp.down_proj.weight': M2 binds scales of groups to ");
  EXPECT_THAT(remarks_of("llama", "gptq+e2m1-g16-m2mse"), Contains(said));
  EXPECT_THAT(remarks_of("llama", "lorc+e2m1-g16-m2ceil+lowrank2-int8-row"), Contains(said));
  for (const char* recipe : {"gptq:static-groups+e2m1-g16-m2mse", "gptq+e2m1-row-m2mse", "gptq+e2m1-g16-m1"}) {
    EXPECT_THAT(remarks_of("llama", recipe), ::testing::Not(Contains(HasSubstr("M2")))) << recipe;
  }
  const auto weights = [](const std::string& recipe) {
    return run_of("llama", recipe).files().at("model.safetensors");
  };
  EXPECT_EQ(weights("gptq+e2m1-g16-m2mse"), weights("gptq:static-groups+e2m1-g16-m2mse"));
  EXPECT_NE(weights("gptq+e2m1-g16-m1"), weights("gptq:static-groups+e2m1-g16-m1"));
}

}  // namespace
}  // namespace bitloom
