#include "model/gguf/gguf_names.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/test_data.h"
#include "model/checkpoint/checkpoint.h"
#include "model/graph_text.h"
#include "model/test_names.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::refusal;
using testing::text_of;

std::string golden(const std::string& name) { return testing::golden("model/gguf/" + name); }

class GgufCheckpoint : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Checkpoint> gguf_ = Checkpoint::open(golden(GetParam() + ".gguf"));
  std::shared_ptr<const Checkpoint> hf_ = Checkpoint::open(golden(GetParam()));
};

TEST_P(GgufCheckpoint, HasTheSameTensors) {
  EXPECT_EQ(gguf_->kind(), CheckpointKind::kGguf);
  const std::vector<CheckpointTensor> all = hf_->tensors(), in_gguf = gguf_->tensors();
  ASSERT_EQ(in_gguf.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const CheckpointTensor& expected = all[i];
    const CheckpointTensor& found = in_gguf[i];
    SCOPED_TRACE(expected.name);
    EXPECT_EQ(found.name, expected.name);
    EXPECT_EQ(found.shape, expected.shape);
    EXPECT_EQ(found.rows->decode_all(), expected.rows->decode_all());
  }
  EXPECT_TRUE(gguf_->unused_tensors().empty());
}

TEST_P(GgufCheckpoint, HasTheSameMatrices) {
  for (const Site& site : linear_sites(hf_->graph())) {
    const RowSourcePtr expected = hf_->matrix(*site.linear), found = gguf_->matrix(*site.linear);
    ASSERT_EQ(found->rows(), expected->rows());
    const int64_t begin = expected->rows() / 3, end = expected->rows() - 1;
    std::vector<float> a(static_cast<size_t>((end - begin) * expected->cols())), b = a;
    expected->decode_rows(begin, end, a.data());
    found->decode_rows(begin, end, b.data());
    EXPECT_EQ(a, b) << site.linear->weight;
  }
}

TEST_P(GgufCheckpoint, HasTheSameGraph) {
  EXPECT_EQ(text_of(gguf_->graph()), text_of(hf_->graph()));
  for (size_t r = 0; r < hf_->graph().ropes.size(); ++r) {
    const Rope& expected = hf_->graph().ropes[r];
    const Rope& found = gguf_->graph().ropes[r];
    EXPECT_EQ(found.max_length, expected.max_length);
    // attention_factor travels as fp32.
    EXPECT_FLOAT_EQ(static_cast<float>(found.attention_factor), static_cast<float>(expected.attention_factor));
    ASSERT_EQ(found.inv_freq.size(), expected.inv_freq.size());
    for (size_t i = 0; i < expected.inv_freq.size(); ++i) {
      // llama3's smoothing becomes a factor rounded to fp32 and a division: some ten roundings of 2^-24 in all, the
      // same as a frequency's own. All other types are equal.
      const double tolerance = GetParam() == "llama3" ? 10 * 0x1p-24 * expected.inv_freq[i] : 0.0;
      EXPECT_NEAR(found.inv_freq[i], expected.inv_freq[i], tolerance) << "pair " << i;
    }
  }
}

/// Every file beside whose name is a directory of the same model.
std::vector<std::string> golden_files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden(""))) {
    if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, GgufCheckpoint, ::testing::ValuesIn(golden_files()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GgufNames, Llama3FactorsArriveInTheFrequencies) {
  const auto scaled = Checkpoint::open(golden("llama3.gguf"));
  ASSERT_EQ(scaled->graph().ropes[0].inv_freq.size(), 8u);
  EXPECT_EQ(scaled->graph().ropes[0].inv_freq[0], 1.0);
  // The slowest pair turns 8 times more slowly: 500000^(-14/16) / 8.
  EXPECT_NEAR(scaled->graph().ropes[0].inv_freq[7] * 8 * std::pow(500000.0, 14.0 / 16.0), 1.0, 1e-6);
}

TEST(GgufNames, ConfigIsWhatTransformersReads) {
  const Json config = Checkpoint::open(golden("gemma2.gguf"))->config();
  EXPECT_EQ(config["architectures"], Json::array({"Gemma2ForCausalLM"}));
  EXPECT_EQ(config["model_type"], "gemma2");
  EXPECT_EQ(config["rms_norm_eps"], 1e-6);
  EXPECT_EQ(config["final_logit_softcapping"], 30.0);
  EXPECT_EQ(config["query_pre_attn_scalar"], 8);
}

TEST(GgufNames, RowOrders) {
  GgufPlace place;
  place.layout = GgufLayout::kPairedRows;
  place.heads = place.kv_heads = 2;
  place.head_dim = 4;
  EXPECT_THAT(gguf_row_order(place), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  place.layout = GgufLayout::kGroupedRows;
  place.head_dim = 1;
  EXPECT_THAT(gguf_row_order(place), ElementsAre(0, 2, 4, 1, 3, 5));
  place.heads = 4;
  EXPECT_THAT(gguf_row_order(place), ElementsAre(0, 1, 4, 6, 2, 3, 5, 7));
}

TEST(GgufNames, ShortestDecimals) {
  EXPECT_EQ(shortest_decimal(static_cast<double>(1e-5f)), 1e-5);
  EXPECT_EQ(shortest_decimal(0.1), 0.1);  // no fp32 value
  EXPECT_EQ(shortest_decimal(500000.0), 500000.0);
}

std::string refused(const std::string& name) {
  return refusal([&] { Checkpoint::open(golden("refused/" + name + ".gguf")); });
}

TEST(GgufNames, RefusesWhatItCannotHonour) {
  EXPECT_THAT(
      refused("architecture"),
      AllOf(HasSubstr("architecture.gguf: unknown general.architecture 'mamba'; known: llama, qwen2, qwen3, gemma, "
                      "gemma2, gemma3, phi3, gpt2, gptneox, "),
            EndsWith(", qwen2moe, qwen3moe, olmoe, granitemoe, gpt-oss, deepseek2, glm4moe, ernie4_5-moe")));
  EXPECT_THAT(refused("experts"), EndsWith("'gemma.expert_count' is 8, mixtures of experts are not supported"));
  EXPECT_THAT(refused("no_experts"), EndsWith("'olmoe.expert_count' is 0, expected a mixture of experts"));
  EXPECT_THAT(refused("gating"), EndsWith("'glm4moe.expert_gating_func' is 1, supported: 2"));
  for (const char* name : {"missing_tensor", "nameless_tensor"}) {
    EXPECT_THAT(refused(name), EndsWith("tensor 'blk.0.attn_norm.weight' is missing, expected with shape [16]"));
  }
  EXPECT_THAT(refused("value_length"), HasSubstr("'llama.attention.key_length' is 8 and "
                                                 "'llama.attention.value_length' is 4, expected equal lengths"));
  EXPECT_THAT(refused("partial"), EndsWith("'llama.rope.dimension_count' is 2, expected the heads' width 4"));
  EXPECT_THAT(refused("scaling"), HasSubstr("'qwen2.rope.scaling.type' is 'dynamic', supported: none, linear, yarn"));
  EXPECT_THAT(refused("yarn"), EndsWith("'qwen3.rope.scaling.attn_factor' is 0.5, supported: 1"));
  EXPECT_THAT(refused("both_scalings"),
              HasSubstr("'llama.rope.scaling.type' is 'linear' with factor 2 beside the tensor 'rope_freqs.weight'"));
  EXPECT_THAT(refused("factor_count"), HasSubstr("tensor 'rope_freqs.weight' has shape [3], expected [2]"));
  EXPECT_THAT(refused("no_key"), HasSubstr("gpt2.attention.layer_norm_epsilon"));
  EXPECT_THAT(refused("heads"),
              HasSubstr("'llama.attention.head_count' is 32, more than 'llama.embedding_length' = 16"));
}

}  // namespace
}  // namespace bitloom
