#include "model/checkpoint/unused_tensors.h"

#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/test_checkpoint.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::refusal;

const std::set<std::string> kUsed = {"a.q_proj.weight", "a.q_proj.bias", "a.norm.weight"};

std::string refused(const std::string& name) {
  return refusal([&] { refuse_qualifying_tensors("config.json", kUsed, {{name, "m.safetensors"}}); });
}

TEST(UnusedTensors, RefusesWhatChangesAUsedTensor) {
  EXPECT_EQ(refused("a.q_proj.weight_scale"),
            "m.safetensors: tensor 'a.q_proj.weight_scale' changes what 'a.q_proj.weight' means (a scale of quantized "
            "values), and config.json does not say how; bitloom reads unquantized checkpoints, its own and GGUF");
  for (const char* name : {"weight.absmax", "weight.quant_state.bitsandbytes__nf4", "weight_mask", "bias_orig"}) {
    EXPECT_THAT(refused(std::string("a.q_proj.") + name), HasSubstr("(a part of its values)")) << name;
  }
  for (const char* name :
       {"weight_scale_inv", "weight_scale_2", "input_scale", "scale", "scales", "scale_weight", "pre_quant_scale"}) {
    EXPECT_THAT(refused(std::string("a.q_proj.") + name), HasSubstr("(a scale of quantized values)")) << name;
  }
  EXPECT_THAT(refused("a.q_proj.qzeros"), HasSubstr("(a zero point"));
  EXPECT_THAT(refused("a.q_proj.weight_zero_point"), HasSubstr("(a zero point"));
  EXPECT_THAT(refused("a.q_proj.g_idx"), HasSubstr("(the groups of"));
  EXPECT_THAT(refused("a.q_proj.SCB"), HasSubstr("(the scales of quantized rows)"));
  EXPECT_THAT(refused("a.q_proj.lora_A.default.weight"), HasSubstr("(an adapter"));
}

TEST(UnusedTensors, LeavesOthersAlone) {
  for (const char* name : {"a.k_proj.weight_scale", "a.q_proj.weights", "a.q_projection.scale", "a.q_proj.k_scale",
                           "b.norm.weight", "a.q_proj.extra"}) {
    EXPECT_NO_THROW(refuse_qualifying_tensors("config.json", kUsed, {{name, "m.safetensors"}})) << name;
  }
}

TEST(UnusedTensors, RemarksOnAllButBuffersAndTiedHeads) {
  const auto remark = [](bool tied, std::initializer_list<const char*> names) {
    std::map<std::string, std::string> unused;
    for (const char* name : names) unused[name] = "m.safetensors";
    return remark_on_unused("m", unused, tied);
  };
  EXPECT_EQ(remark(true, {"lm_head.weight", "l.0.rotary_emb.inv_freq", "h.0.attn.bias", "h.0.attn.masked_bias",
                          "l.0.attention.bias"}),
            "");
  EXPECT_EQ(remark(false, {"lm_head.weight", "l.0.q_proj.bias", "l.1.q_proj.bias", "h.0.attn.bias"}),
            "m: tensors that the model does not use are left out: 3, such as 'l.0.q_proj.bias'");
  EXPECT_EQ(remark(true, {"blk.0.attn_q_norm.weight"}),
            "m: tensors that the model does not use are left out: 1, such as 'blk.0.attn_q_norm.weight'");
}

TEST(UnusedTensors, WhoeverOpensACheckpointIsToldOnce) {
  testing::TinyCheckpoint tiny(testing::llama_config());
  tiny.set("model.layers.0.self_attn.q_proj.bias", {32});
  const testing::TempDir dir;
  tiny.write(dir.path());
  std::vector<std::string> told;
  const auto checkpoint = Checkpoint::open(dir.path(), [&](const std::string& remark) { told.push_back(remark); });
  EXPECT_EQ(told, checkpoint->remarks());
  EXPECT_THAT(told, ::testing::ElementsAre(HasSubstr("left out: 1, such as 'model.layers.0.self_attn.q_proj.bias'")));
}

TEST(UnusedTensors, ADirectoryWithScalesButNoQuantizationConfigIsRefused) {
  const std::string q = "model.layers.1.self_attn.q_proj.weight";
  testing::TinyCheckpoint tiny(testing::llama_config());
  tiny.set_bytes(q, DType::kF8E4M3, {32, 32}, std::string(32 * 32, '\x38'));
  tiny.set(q + "_scale", {});
  const testing::TempDir dir;
  tiny.write(dir.path());
  EXPECT_EQ(refusal([&] { Checkpoint::open(dir.path()); }),
            dir.file("model.safetensors") + ": tensor '" + q + "_scale' changes what '" + q +
                "' means (a scale of quantized values), and " + dir.file("config.json") +
                " does not say how; bitloom reads unquantized checkpoints, its own and GGUF");
}

}  // namespace
}  // namespace bitloom
