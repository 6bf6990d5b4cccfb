#include "model/architecture.h"

#include <map>

#include "base/test_data.h"
#include "model/graph_text.h"
#include "model/test_linears.h"
#include "model/test_names.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::llama_config;
using testing::NameSet;
using testing::refusal;
using testing::with;
using testing::without;

using Shapes = std::map<std::string, std::vector<int64_t>>;

Graph build(const Json& config, const std::set<std::string>& names = {}) {
  return build_graph(config, "config.json", NameSet(names));
}

std::string refused(const Json& config) {
  return refusal([&] { build(config); });
}

TEST(Architecture, GraphsAgreeWithTransformers) {
  const Json cases = read_json(testing::golden("model/graphs.json"));
  ASSERT_GE(cases.size(), 20u);
  for (const Json& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const auto expected = item["tensors"].get<Shapes>();
    std::set<std::string> names;
    for (const auto& [name, shape] : expected) names.insert(name);
    const Graph graph = build(item["config"], names);
    Shapes found;
    for (const ExpectedTensor& tensor : expected_tensors(graph)) found[tensor.name] = tensor.shape;
    EXPECT_EQ(found, expected);
    EXPECT_EQ(graph.tied_head, item["tied"].get<bool>());
    ASSERT_EQ(graph.blocks.size(), item["scales"].size());
    for (size_t i = 0; i < graph.blocks.size(); ++i) {
      const Attention& attention = graph.blocks[i].attention;
      EXPECT_FLOAT_EQ(attention.scale, item["scales"][i].get<float>()) << "layer " << i;
      EXPECT_EQ(attention.window, item["windows"][i].get<int64_t>()) << "layer " << i;
    }
  }
}

TEST(Architecture, AbsentKeysTakeTransformersDefaults) {
  const Json minimal =
      without(without(without(llama_config(), "rms_norm_eps"), "max_position_embeddings"), "num_key_value_heads");
  const Graph llama = build(minimal);
  EXPECT_EQ(llama.norm_eps, 1e-6f);
  EXPECT_EQ(llama.max_positions, 2048);
  EXPECT_EQ(llama.blocks[0].attention.kv_heads, 4);
  EXPECT_FALSE(llama.tied_head);
  EXPECT_THAT(llama.bos_ids, ElementsAre(1));
  EXPECT_THAT(llama.eos_ids, ElementsAre(2));

  Json mistral = with(with(minimal, "model_type", "mistral"), "num_attention_heads", 16);
  EXPECT_EQ(build(mistral).blocks[0].attention.kv_heads, 8);
  EXPECT_EQ(build(mistral).blocks[0].attention.window, 4096);
  mistral["num_key_value_heads"] = nullptr;
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(build(mistral).blocks[0].attention.kv_heads, 16);
  EXPECT_EQ(build(mistral).blocks[0].attention.window, 0);

  const Graph gemma2 = build(with(minimal, "model_type", "gemma2"));
  EXPECT_TRUE(gemma2.tied_head);
  EXPECT_EQ(gemma2.blocks[0].attention.head_dim, 256);
  EXPECT_EQ(gemma2.blocks[0].attention.softcap, 50.0f);
  EXPECT_EQ(gemma2.logit_softcap, 30.0f);
  EXPECT_EQ(gemma2.blocks[0].attention.window, 4096);
  EXPECT_EQ(gemma2.blocks[1].attention.window, 0);
  const Json uncapped = with(with(minimal, "model_type", "gemma2"), "attn_logit_softcapping", nullptr);
  EXPECT_EQ(build(uncapped).blocks[0].attention.softcap, 0.0f);
}

TEST(Architecture, TokenIdsAreOneOrMany) {
  EXPECT_THAT(build(with(llama_config(), "eos_token_id", Json::array({5, 6}))).eos_ids, ElementsAre(5, 6));
  EXPECT_THAT(build(with(llama_config(), "eos_token_id", 7)).eos_ids, ElementsAre(7));
  EXPECT_TRUE(build(with(llama_config(), "eos_token_id", nullptr)).eos_ids.empty());
  EXPECT_THAT(refused(with(llama_config(), "eos_token_id", "</s>")),
              HasSubstr("'eos_token_id' is \"</s>\", expected a token id or a list of token ids"));
}

TEST(Architecture, EmbeddingScaleIsRoundedToTheDtype) {
  const Json gemma = without(with(llama_config(), "model_type", "gemma"), "hidden_act");
  const Json config = with(gemma, "hidden_size", 3072);
  EXPECT_EQ(build(config).embedding_scale, 55.425625f);
  EXPECT_EQ(build(with(config, "torch_dtype", "bfloat16")).embedding_scale, 55.5f);
  EXPECT_EQ(build(with(config, "dtype", "bfloat16")).embedding_scale, 55.5f);
  EXPECT_EQ(build(with(config, "dtype", "float16")).embedding_scale, 55.4375f);
}

TEST(Architecture, ActivationsHaveManyNames) {
  const auto activation = [](const char* model_type, const char* key, const char* name) {
    return build(with(with(llama_config(), "model_type", model_type), key, name)).blocks[0].mlp.activation;
  };
  EXPECT_EQ(activation("llama", "hidden_act", "swish"), Activation::kSilu);
  EXPECT_EQ(activation("llama", "hidden_act", "gelu"), Activation::kGelu);
  EXPECT_EQ(activation("llama", "hidden_act", "gelu_new"), Activation::kGeluTanh);
  EXPECT_EQ(activation("llama", "hidden_act", "relu"), Activation::kRelu);
  EXPECT_EQ(activation("gemma", "hidden_act", "gelu"), Activation::kGeluTanh);  // as transformers reads the first files
  EXPECT_EQ(activation("gemma2", "hidden_activation", "gelu"), Activation::kGelu);
}

TEST(Architecture, PrefixesVary) {
  const Json opt = {{"model_type", "opt"}, {"vocab_size", 40},       {"hidden_size", 32},
                    {"ffn_dim", 48},       {"num_hidden_layers", 1}, {"num_attention_heads", 4}};
  EXPECT_EQ(build(opt).embedding, "model.decoder.embed_tokens.weight");
  EXPECT_EQ(testing::linear_of(build(opt, {"decoder.embed_tokens.weight"}), 0, "up").weight,
            "decoder.layers.0.fc1.weight");
  const Json gpt2 = {{"model_type", "gpt2"}, {"vocab_size", 40}, {"n_embd", 32}, {"n_layer", 1}, {"n_head", 4}};
  EXPECT_EQ(testing::linear_of(build(gpt2, {"wte.weight"}), 0, "qkv").weight, "h.0.attn.c_attn.weight");
  EXPECT_EQ(build(gpt2, {"transformer.wte.weight"}).final_norm.bias, "transformer.ln_f.bias");
  EXPECT_EQ(build(gpt2).max_positions, 1024);
  const Json neox = with(without(llama_config(), "num_key_value_heads"), "model_type", "gpt_neox");
  EXPECT_EQ(build(neox, {"embed_out.weight"}).head.weight, "embed_out.weight");
  EXPECT_EQ(build(neox).head.weight, "lm_head.weight");
}

Json gemma3_multimodal() {
  Json text = without(llama_config(), "model_type");
  text["model_type"] = "gemma3_text";
  return {{"model_type", "gemma3"},
          {"eos_token_id", {1, 106}},
          {"torch_dtype", "bfloat16"},
          {"text_config", text},
          {"vision_config", {{"hidden_size", 1152}}}};
}

TEST(Architecture, Gemma3TextLiesInsideTheMultimodalModel) {
  for (const char* prefix : {"model.language_model.", "language_model.model."}) {
    const Graph graph = build(gemma3_multimodal(), {std::string(prefix) + "embed_tokens.weight"});
    EXPECT_EQ(graph.architecture, "gemma3");
    EXPECT_EQ(graph.hidden, 32);
    EXPECT_EQ(graph.embedding, std::string(prefix) + "embed_tokens.weight");
    EXPECT_EQ(graph.embedding_scale, 5.65625f);  // sqrt(32) in bfloat16
    EXPECT_THAT(graph.eos_ids, ElementsAre(1, 106));
  }
  Json config = gemma3_multimodal();
  config["text_config"]["use_bidirectional_attention"] = true;
  config["text_config"]["sliding_window"] = 8;
  for (const Block& block : build(config).blocks) {
    EXPECT_EQ(block.attention.mask, Mask::kBidirectional);
    EXPECT_EQ(block.attention.window, 5);
  }
  EXPECT_THAT(refused(with(llama_config(), "use_bidirectional_attention", true)),
              HasSubstr("'use_bidirectional_attention' is true, only causal attention is supported"));
}

TEST(Architecture, Gemma4HasHeadsOfTwoKinds) {
  Json config = without(llama_config(), "hidden_act");
  config.update({{"model_type", "gemma4_text"},
                 {"hidden_size_per_layer_input", 0},
                 {"attention_k_eq_v", true},
                 {"global_head_dim", 24},
                 {"num_global_key_value_heads", 1},
                 {"head_dim", 16}});
  EXPECT_THAT(refused(config), HasSubstr("key 'rope_parameters' is missing"));
  config["rope_parameters"] = {{"full_attention", {{"rope_type", "proportional"}, {"partial_rotary_factor", 0.25}}}};
  const Graph graph = build(config);
  EXPECT_EQ(graph.blocks[0].attention.head_dim, 16);
  EXPECT_GE(graph.blocks[0].attention.v, 0);
  EXPECT_EQ(graph.blocks[1].attention.head_dim, 24);
  EXPECT_EQ(graph.blocks[1].attention.kv_heads, 1);
  EXPECT_LT(graph.blocks[1].attention.v, 0);
  EXPECT_EQ(graph.ropes[0].inv_freq.size(), 12u);  // of the global layer: the first three turn
  EXPECT_GT(graph.ropes[0].inv_freq[2], 0.0);
  EXPECT_EQ(graph.ropes[0].inv_freq[3], 0.0);
  EXPECT_EQ(graph.ropes[1].inv_freq.size(), 8u);
  const Json outer = {{"model_type", "gemma4"}, {"text_config", config}};
  EXPECT_EQ(build(outer).blocks[1].output_scale, "model.layers.1.layer_scalar");
  EXPECT_EQ(build(with(config, "use_bidirectional_attention", "vision")).blocks[0].attention.mask, Mask::kCausal);
  EXPECT_THAT(refused(with(config, "use_bidirectional_attention", "all")), HasSubstr("is \"all\", only causal"));
  EXPECT_THAT(refused(without(config, "hidden_size_per_layer_input")), HasSubstr("which means 256; supported: 0"));
  EXPECT_THAT(refused(with(config, "hidden_size_per_layer_input", 8)), HasSubstr("embeddings of each layer are not"));
  EXPECT_THAT(refused(with(config, "num_kv_shared_layers", 1)), HasSubstr("shared between layers are not supported"));
  EXPECT_THAT(refused(with(config, "enable_moe_block", true)), HasSubstr("experts beside an MLP are not supported"));
}

TEST(Architecture, StablelmRefusesWhatItsGraphLacks) {
  const Json config = with(llama_config(), "model_type", "stablelm");
  EXPECT_THAT(refused(with(config, "qk_layernorm", true)), HasSubstr("'qk_layernorm' is true, norms of each head"));
  EXPECT_THAT(refused(with(config, "use_parallel_residual", true)), HasSubstr("parallel blocks are not supported"));
}

TEST(Architecture, RefusesUnknownOnes) {
  const std::string message = refused(with(llama_config(), "model_type", "qwen4"));
  EXPECT_THAT(message, HasSubstr("config.json: unknown architecture 'qwen4' (did you mean 'qwen2'?); known: llama, "
                                 "mistral, qwen2, qwen3, gemma, gemma2, gemma3, gemma3_text, phi3, opt, gpt2, gpt_neo, "
                                 "gpt_neox"));
  EXPECT_THAT(refused(without(llama_config(), "model_type")), HasSubstr("key 'model_type' is missing"));
  EXPECT_THAT(refused(Json::array()), HasSubstr("config.json: the document is [], expected an object"));
}

TEST(Architecture, RefusesKnownOnesByWhatTheyNeed) {
  EXPECT_EQ(refused(with(llama_config(), "model_type", "mamba2")),
            "config.json: architecture 'mamba2' is not supported: its layers with a recurrent state (state space or "
            "linear attention)");
  EXPECT_THAT(refused(with(llama_config(), "model_type", "gemma3n")), HasSubstr("'gemma3n' is not supported: its par"));
  EXPECT_THAT(refused(with(llama_config(), "model_type", "internlm2")), HasSubstr("'internlm2' is not supported"));
}

TEST(Architecture, RefusesMissingAndMistypedKeys) {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    EXPECT_EQ(refused(without(llama_config(), key)), fmt::format("config.json: key '{}' is missing", key));
    EXPECT_EQ(refused(with(llama_config(), key, "four")),
              fmt::format("config.json: '{}' is \"four\", expected an integer from 1 to 1073741824", key));
  }
  EXPECT_THAT(refused(with(llama_config(), "hidden_size", 32.5)), HasSubstr("'hidden_size' is 32.5, expected"));
  EXPECT_THAT(refused(with(llama_config(), "hidden_size", 0)), HasSubstr("'hidden_size' is 0, expected"));
  EXPECT_THAT(refused(with(llama_config(), "num_hidden_layers", 1000000)),
              HasSubstr("'num_hidden_layers' is 1000000, expected at most 10000"));
  EXPECT_THAT(refused(with(llama_config(), "attention_bias", 1)),
              HasSubstr("'attention_bias' is 1, expected true or false"));
  EXPECT_THAT(refused(with(llama_config(), "num_key_value_heads", 3)),
              HasSubstr("num_attention_heads = 4 is no multiple of num_key_value_heads = 3"));
  EXPECT_THAT(refused(with(llama_config(), "hidden_size", 33)),
              HasSubstr("hidden_size = 33 is no multiple of num_attention_heads = 4"));
}

TEST(Architecture, RefusesKeysThatWouldChangeResults) {
  const auto message = [](const std::string& key, const Json& value) {
    return refused(with(llama_config(), key, value));
  };
  EXPECT_THAT(message("hidden_act", "quick_gelu"),
              HasSubstr("'hidden_act' is \"quick_gelu\", supported: silu, swish, gelu, gelu_python, gelu_new"));
  EXPECT_THAT(message("num_experts", 8), HasSubstr("'num_experts' is 8, mixtures of experts are not supported"));
  EXPECT_THAT(message("num_local_experts", 8), HasSubstr("mixtures of experts"));
  EXPECT_THAT(message("clip_qkv", 8.0), HasSubstr("'clip_qkv' is 8.0, clipping"));
  EXPECT_THAT(message("is_causal", false), HasSubstr("'is_causal' is false, only causal attention"));
  EXPECT_THAT(message("layer_types", {"full_attention", "sliding_attention"}),
              HasSubstr("but all layers of this architecture are full_attention here"));
  EXPECT_THAT(message("layer_types", {"full_attention", "chunked_attention"}),
              HasSubstr("'layer_types' has \"chunked_attention\", supported: full_attention, sliding_attention"));
  EXPECT_THAT(message("layer_types", Json::array({"full_attention"})), HasSubstr("expected 2 entries, one per layer"));
  EXPECT_THAT(message("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}),
              HasSubstr("quantization_config.quant_method is \"gptq\"; bitloom reads unquantized checkpoints"));
  EXPECT_EQ(build(with(llama_config(), "quantization_config", nullptr)).hidden, 32);
  EXPECT_EQ(build(with(llama_config(), "num_experts", 0)).hidden, 32);
}

TEST(Architecture, ExpertsOfSomeLayers) {
  Json config = with(with(llama_config(), "model_type", "qwen3_moe"), "num_hidden_layers", 5);
  config.update({{"num_experts", 4}, {"num_experts_per_tok", 2}, {"decoder_sparse_step", 2}, {"mlp_only_layers", {3}}});
  std::vector<size_t> experts;
  for (const Block& block : build(config).blocks) experts.push_back(block.experts.mlps.size());
  EXPECT_EQ(experts, (std::vector<size_t>{0, 4, 0, 0, 0}));
  const Graph graph = build(config);
  std::vector<std::string> names;
  for (const Input& input : graph.blocks[1].inputs) names.push_back(input.name);
  EXPECT_EQ(names, (std::vector<std::string>{"attention", "attention_output", "mlp", "experts.0.mlp", "experts.1.mlp",
                                             "experts.2.mlp", "experts.3.mlp", "experts.0.mlp_down",
                                             "experts.1.mlp_down", "experts.2.mlp_down", "experts.3.mlp_down"}));
  EXPECT_THAT(refused(with(config, "num_experts_per_tok", 5)), HasSubstr("num_experts_per_tok is 5 of 4 experts"));
  EXPECT_THAT(refused(with(config, "num_experts", 5000)), HasSubstr("5000 experts, expected at most 4096"));
  EXPECT_THAT(refused(with(with(config, "num_experts", 4096), "num_hidden_layers", 33)),
              HasSubstr("135168 experts in all layers, expected at most 131072"));
  config["model_type"] = "qwen2_moe";
  EXPECT_THAT(refused(with(config, "use_sliding_window", true)), HasSubstr("'use_sliding_window' is true"));
}

Json deepseek_v3() {
  Json config = with(without(llama_config(), "num_key_value_heads"), "model_type", "deepseek_v3");
  config.update({{"q_lora_rank", 12},
                 {"kv_lora_rank", 8},
                 {"qk_nope_head_dim", 6},
                 {"qk_rope_head_dim", 4},
                 {"v_head_dim", 5},
                 {"n_routed_experts", 8},
                 {"num_experts_per_tok", 3},
                 {"n_group", 4},
                 {"topk_group", 2},
                 {"moe_intermediate_size", 16},
                 {"first_k_dense_replace", 1}});
  return config;
}

TEST(Architecture, LatentAttentionIsLinearsWithInputsOfTheirOwn) {
  const Graph graph = build(deepseek_v3());
  const Block& block = graph.blocks[0];
  std::vector<std::string> names, roles;
  for (const Input& input : block.inputs) names.push_back(fmt::format("{} {}", input.name, input.width));
  for (const Linear& linear : block.linears) roles.push_back(fmt::format("{} {}", linear.role, linear.out));
  EXPECT_EQ(names, (std::vector<std::string>{"attention 32", "q_latent 12", "kv_latent 8", "attention_output 20",
                                             "mlp 32", "mlp_down 48"}));
  EXPECT_EQ(roles, (std::vector<std::string>{"q_a 12", "kv_a 12", "q_b 40", "kv_b 44", "output 32", "gate 48", "up 48",
                                             "down 32"}));
  EXPECT_TRUE(graph.ropes[0].interleaved);
  EXPECT_EQ(graph.ropes[0].inv_freq.size(), 2u);
  const Block direct = build(with(deepseek_v3(), "q_lora_rank", nullptr)).blocks[0];
  EXPECT_EQ(direct.linears[0].role, "q");
  EXPECT_EQ(direct.inputs[1].name, "kv_latent");
}

// mscale_all_dim scales scores: (0.1 * 0.5 ln 8 + 1)^2 / sqrt(10).
TEST(Architecture, YarnScalesScoresOfLatentAttention) {
  const Json yarn = {{"type", "yarn"},
                     {"factor", 8.0},
                     {"mscale", 0.5},
                     {"mscale_all_dim", 0.5},
                     {"original_max_position_embeddings", 16}};
  const Graph graph = build(with(deepseek_v3(), "rope_scaling", yarn));
  EXPECT_NEAR(graph.blocks[0].attention.scale, 1.2187555 / std::sqrt(10.0), 1e-6);
  EXPECT_EQ(graph.ropes[0].attention_factor, 1.0);
}

TEST(Architecture, RefusesGroupsThatDoNotFit) {
  const auto message = [](const char* key, const Json& value) { return refused(with(deepseek_v3(), key, value)); };
  EXPECT_THAT(message("n_group", 3), HasSubstr("'n_group' is 3, expected a divisor of 8 experts"));
  EXPECT_THAT(message("n_group", 8), HasSubstr("'n_group' is 8, expected a divisor of 8 experts, with at least 2 in"));
  EXPECT_THAT(message("topk_group", 5), HasSubstr("'topk_group' is 5, expected at most n_group = 4"));
  EXPECT_THAT(message("topk_group", 1), HasSubstr("'topk_group' is 1, expected at most n_group = 4 and enough for 3"));
  EXPECT_THAT(message("num_key_value_heads", 2), HasSubstr("'num_key_value_heads' is 2, but latent attention has"));
  EXPECT_THAT(message("scoring_func", "softmax"), HasSubstr("'scoring_func' is \"softmax\", supported: sigmoid"));
  Json v2 = with(deepseek_v3(), "model_type", "deepseek_v2");
  EXPECT_EQ(build(v2).blocks[1].experts.groups, 1);  // greedy
  EXPECT_THAT(refused(with(v2, "norm_topk_prob", true)), HasSubstr("'norm_topk_prob' is true, weights that sum"));
  EXPECT_THAT(refused(with(v2, "topk_method", "noaux_tc")), HasSubstr("supported: greedy, group_limited_greedy"));
}

TEST(Architecture, OnlyGptOssMayBeMxfp4) {
  const Json section = {{"quant_method", "mxfp4"}};
  EXPECT_THAT(refused(with(llama_config(), "quantization_config", section)), HasSubstr("quant_method is \"mxfp4\""));
  Json config = with(with(llama_config(), "model_type", "gpt_oss"), "quantization_config", section);
  config.update({{"num_local_experts", 4}, {"num_experts_per_tok", 2}, {"sliding_window", 8}});
  const std::string experts = "model.layers.1.mlp.experts.";
  const Graph graph = build(config, {experts + "gate_up_proj_blocks"});
  const TensorSlice& up = graph.slices.at(experts + "3.up_proj.weight");
  EXPECT_EQ(up.scales, experts + "gate_up_proj_scales");
  EXPECT_EQ(up.shape, (std::vector<int64_t>{4, 96, 32}));
  EXPECT_EQ(up.first, 1);
  EXPECT_EQ(graph.slices.at(experts + "3.down_proj.weight").tensor, experts + "down_proj");
  EXPECT_TRUE(graph.slices.at(experts + "3.down_proj.weight").transposed);
  EXPECT_THAT(refusal([&] { build(config, {experts + "down_proj_blocks"}); }),
              HasSubstr("tensor '" + experts + "down_proj_blocks' holds blocks of 32 columns, which do not divide 48"));
}

TEST(Architecture, PhimoeScalesBothKindsOfRopeAlike) {
  Json config = with(llama_config(), "model_type", "phimoe");
  config["rope_scaling"] = {{"type", "longrope"},   {"short_factor", {1.0, 1.0, 1.0, 1.0}},
                            {"short_mscale", 1.25}, {"long_factor", {2.0, 2.0, 2.0, 2.0}},
                            {"long_mscale", 1.25},  {"original_max_position_embeddings", 16}};
  EXPECT_EQ(build(config).ropes[0].attention_factor, 1.25);
  config["rope_scaling"]["long_mscale"] = 1.5;
  EXPECT_THAT(refused(config), HasSubstr("'rope_scaling.long_mscale' is 1.5, supported: short_mscale = 1.25"));
  config.erase("rope_scaling");
  EXPECT_THAT(refused(with(config, "num_experts_per_tok", 3)), HasSubstr("'num_experts_per_tok' is 3, supported: 2"));
}

TEST(Architecture, RefusesWindowsWithoutAWindow) {
  Json config = with(llama_config(), "model_type", "qwen3");
  config["layer_types"] = {"full_attention", "sliding_attention"};
  config["sliding_window"] = 8;  // without use_sliding_window it is off
  EXPECT_THAT(refused(config), HasSubstr("'sliding_window' is 8, but layer 1 is sliding_attention"));
}

TEST(Architecture, RefusesGptNeoPatternsThatDoNotFit) {
  Json config = {
      {"model_type", "gpt_neo"}, {"vocab_size", 40}, {"hidden_size", 32}, {"num_layers", 3}, {"num_heads", 4}};
  config["attention_types"] = Json::parse(R"([[["global", "local"], 2]])");
  EXPECT_THAT(refused(config), HasSubstr("which gives 4 layers where num_layers = 3"));
  config["attention_types"] = Json::parse(R"([[["global", "lokal", "local"], 1]])");
  EXPECT_THAT(refused(config), HasSubstr("expected [[[\"global\" or \"local\", ...], repetitions], ...]"));
  config["attention_types"] = "global";
  EXPECT_THAT(refused(config), HasSubstr("expected [[["));
  config["attention_types"] = Json::parse(R"([[["global"], 999999999999]])");
  EXPECT_THAT(refused(config), HasSubstr("expected [[["));
  config["attention_layers"] = {"global", "local"};
  EXPECT_THAT(refused(config), HasSubstr("'attention_layers' is [\"global\",\"local\"], which gives 2 layers"));
}

// As in transformers: the list decides, whatever its short form says.
TEST(Architecture, GptNeoTakesTheListOfLayers) {
  Json config = {
      {"model_type", "gpt_neo"}, {"vocab_size", 40}, {"hidden_size", 32}, {"num_layers", 2}, {"num_heads", 4}};
  config["attention_types"] = Json::parse(R"([[["global", "local"], 1]])");
  config["attention_layers"] = {"local", "global"};
  const Graph graph = build(config);
  EXPECT_GT(graph.blocks[0].attention.window, 0);
  EXPECT_EQ(graph.blocks[1].attention.window, 0);
}

TEST(Architecture, OptNormsNeedWeights) {
  const Json opt = {{"model_type", "opt"},
                    {"vocab_size", 40},
                    {"hidden_size", 32},
                    {"ffn_dim", 48},
                    {"num_hidden_layers", 1},
                    {"num_attention_heads", 4},
                    {"layer_norm_elementwise_affine", false}};
  EXPECT_THAT(refused(opt), HasSubstr("'layer_norm_elementwise_affine' is false, norms without weights"));
}

TEST(Architecture, Smollm3ListsItsLayersWithoutRope) {
  const Json config = with(llama_config(), "model_type", "smollm3");
  EXPECT_EQ(build(config).blocks[1].attention.rope, 0);  // every fourth has none
  EXPECT_EQ(build(with(config, "no_rope_layers", Json::array({1, 0}))).blocks[1].attention.rope, -1);
  EXPECT_THAT(refused(with(config, "no_rope_layers", Json::array({1}))),
              HasSubstr("expected 2 entries, one per layer"));
  EXPECT_THAT(refused(with(llama_config(), "no_rope_layers", Json::array({1, 0}))),
              HasSubstr("layers without rotary positions are not supported"));
}

TEST(Architecture, Cohere2HasNoNormsOfQueries) {
  const Json config = with(llama_config(), "model_type", "cohere2");
  EXPECT_THAT(refused(with(config, "use_qk_norm", true)), HasSubstr("'use_qk_norm' is true, this architecture has no"));
}

TEST(Architecture, Exaone4WithoutAWindowRotatesEveryLayer) {
  const Json config = with(llama_config(), "model_type", "exaone4");
  EXPECT_EQ(build(with(config, "sliding_window_pattern", 2)).blocks[1].attention.rope, -1);
  EXPECT_EQ(build(with(config, "sliding_window", nullptr)).blocks[1].attention.rope, 0);
  EXPECT_THAT(refused(with(config, "sliding_window_pattern", "LG")), HasSubstr("'sliding_window_pattern' is \"LG\""));
  Json listed = with(config, "sliding_window_pattern", "LG");
  listed["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(build(listed).blocks[1].attention.rope, -1);
}

TEST(Architecture, Ministral3NeedsItsQueryScale) {
  Json config = with(llama_config(), "model_type", "ministral3");
  EXPECT_THAT(refused(config), HasSubstr("key 'rope_parameters.llama_4_scaling_beta' is missing"));
  config["rope_parameters"] = {{"llama_4_scaling_beta", 0.5}, {"original_max_position_embeddings", 32}};
  EXPECT_EQ(build(config).blocks[0].attention.query_scale.beta, 0.5f);
  EXPECT_EQ(build(config).blocks[0].attention.query_scale.length, 32);
}

TEST(Architecture, Mistral3TextLiesInsideTheMultimodalModel) {
  Json config = {{"model_type", "mistral3"}, {"text_config", with(llama_config(), "model_type", "mistral")}};
  const Graph old = build(config, {"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"});
  EXPECT_EQ(old.architecture, "mistral3");
  EXPECT_EQ(old.embedding, "language_model.model.embed_tokens.weight");
  EXPECT_EQ(old.head.weight, "language_model.lm_head.weight");
  const Graph tied = build(config, {"model.language_model.embed_tokens.weight"});
  EXPECT_TRUE(tied.tied_head);
  EXPECT_FALSE(build(with(config, "tie_word_embeddings", false)).tied_head);
  config["text_config"]["model_type"] = "qwen2";
  EXPECT_THAT(refused(config), HasSubstr("'text_config.model_type' is \"qwen2\", supported: mistral, ministral3"));
}

TEST(Architecture, HunyuanRefusesSharedKeys) {
  const Json config = with(llama_config(), "model_type", "hunyuan_v1_dense");
  EXPECT_THAT(refused(with(config, "use_cla", true)), HasSubstr("'use_cla' is true, keys and values shared"));
}

TEST(Architecture, BloomKnowsOlderKeys) {
  const Json config = {{"model_type", "bloom"},
                       {"vocab_size", 40},
                       {"n_embed", 32},
                       {"num_hidden_layers", 1},
                       {"num_attention_heads", 4}};
  const Graph graph = build(config);
  EXPECT_EQ(graph.hidden, 32);
  EXPECT_THAT(graph.blocks[0].attention.alibi, ElementsAre(0.25f, 0.0625f, 0.015625f, 0.00390625f));
  EXPECT_THAT(refused(with(config, "apply_residual_connection_post_layernorm", true)),
              HasSubstr("residuals behind the norms are not supported"));
}

TEST(Architecture, FalconRefusesTwoNormsOfTheOldKind) {
  const Json config = with(llama_config(), "model_type", "falcon");
  EXPECT_THAT(refused(with(config, "num_ln_in_parallel_attn", 2)),
              HasSubstr("'num_ln_in_parallel_attn' is 2, supported: 1, and 2 with new_decoder_architecture"));
  EXPECT_EQ(build(with(config, "new_decoder_architecture", true)).blocks[0].mlp_norm.weight,
            "transformer.h.0.ln_mlp.weight");
}

TEST(Architecture, MptRefusesWhatItsGraphLacks) {
  Json config = {{"model_type", "mpt"}, {"vocab_size", 40}, {"d_model", 32}, {"n_layers", 1}, {"n_heads", 4}};
  EXPECT_EQ(build(config).blocks[0].mlp.width, 128);
  EXPECT_THAT(refused(with(config, "no_bias", false)), HasSubstr("'no_bias' is false, biases are not supported"));
  EXPECT_THAT(refused(with(config, "expansion_ratio", 2)), HasSubstr("'expansion_ratio' is 2, supported: 4"));
  EXPECT_THAT(refused(with(config, "logit_scale", "inv_sqrt_d_model")), HasSubstr("scaled logits are not supported"));
  const std::pair<const char*, Json> others[] = {{"attn_type", "multiquery_attention"},
                                                 {"qk_ln", true},
                                                 {"prefix_lm", true},
                                                 {"alibi", false},
                                                 {"alibi_bias_max", 16}};
  for (const auto& [key, value] : others) {
    config["attn_config"] = {{key, value}};
    EXPECT_THAT(refused(config), HasSubstr(fmt::format("'attn_config.{}' is {}, ", key, value.dump())));
  }
}

TEST(Architecture, GptjCountsItsRotaryChannels) {
  Json config = {{"model_type", "gptj"}, {"vocab_size", 40}, {"n_embd", 32}, {"n_layer", 1}, {"n_head", 2}};
  EXPECT_EQ(build(with(config, "rotary_dim", 8)).ropes[0].inv_freq.size(), 4u);
  EXPECT_THAT(refused(config), HasSubstr("rotary embedding of 64 channels does not fit heads of 16 channels"));
  EXPECT_THAT(refused(with(config, "rotary_dim", nullptr)), HasSubstr("'rotary_dim' is null, expected a number of"));
}

}  // namespace
}  // namespace bitloom
