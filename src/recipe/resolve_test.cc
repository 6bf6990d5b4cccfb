#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "model/block_parts.h"
#include "recipe/recipe.h"
#include "round/adaround/adaround.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

/// A llama of three blocks.
Graph llama(bool tied, bool fused = false) {
  Graph graph;
  graph.architecture = "llama";
  graph.vocab_size = 64;
  graph.hidden = 8;
  graph.embedding = "model.embed_tokens.weight";
  graph.final_norm.weight = "model.norm.weight";
  graph.tied_head = tied;
  graph.head = {tied ? graph.embedding : "lm_head.weight", "", 64, 8, false};
  for (int b = 0; b < 3; ++b) {
    const auto linear = [b](const char* name) {
      return Linear{fmt::format("model.layers.{}.{}.weight", b, name), "", 8, 8, false};
    };
    Block block;
    block.attention_norm.weight = fmt::format("model.layers.{}.input_layernorm.weight", b);
    block.attention.layout = fused ? QkvLayout::kConcatenated : QkvLayout::kSeparate;
    const Linear k = fused ? Linear{} : linear("self_attn.k_proj"), v = fused ? Linear{} : linear("self_attn.v_proj");
    connect_attention(block, {linear("self_attn.q_proj"), k, v, linear("self_attn.o_proj")});
    block.mlp.gated = true;
    block.mlp.fused_gate_up = fused;
    const Linear up = fused ? Linear{} : linear("mlp.up_proj");
    connect_mlp(block, {linear("mlp.gate_proj"), up, linear("mlp.down_proj")});
    graph.blocks.push_back(block);
  }
  return graph;
}

/// The same with fused projections.
Graph fused() { return llama(true, true); }

/// A llama whose blocks have two experts and a shared one.
Graph mixture() {
  Graph graph = llama(false);
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    const auto linear = [b](const std::string& name) { return Linear{fmt::format("{}.{}.weight", b, name), "", 8, 8}; };
    const auto mlp = [&linear](const std::string& name) {
      return MlpLinears{linear(name + ".gate_proj"), linear(name + ".up_proj"), linear(name + ".down_proj")};
    };
    Block block;
    block.mlp.gated = true;
    connect_attention(block, {linear("q"), linear("k"), linear("v"), linear("o")});
    connect_experts(block,
                    {linear("gate"), linear("shared_gate"), mlp("shared"), {mlp("experts.0"), mlp("experts.1")}});
    graph.blocks[b] = block;
  }
  return graph;
}

/// Tensor names and their specs.
std::map<std::string, std::string> plan(const std::string& steps, const Graph& graph) {
  std::map<std::string, std::string> result;
  for (const auto& [name, step] : resolve(parse_recipe("steps: [" + steps + "]", "test.yaml"), graph)) {
    result[name] = to_string(*step.quantize);
  }
  return result;
}

std::vector<std::string> names(const std::string& steps, const Graph& graph) {
  std::vector<std::string> result;
  for (const auto& entry : plan(steps, graph)) result.push_back(entry.first);
  return result;
}

std::string refusal(const std::string& steps, const Graph& graph) {
  return testing::message_of(ErrorKind::kUsage, [&] { plan(steps, graph); });
}

TEST(ResolveRecipe, MeansTheBlocksByDefault) {
  const Graph graph = llama(false);
  EXPECT_EQ(names("{quantize: int4-g128}", graph).size(), 21u);
  // A pattern that matches sites of the blocks never reaches further.
  for (const char* wide : {"'*'", "'*.weight'", "'*e*'", "'model.*'"}) {
    const auto found = names(fmt::format("{{quantize: int4-g128, targets: [{}]}}", wide), graph);
    EXPECT_EQ(found.size(), 21u) << wide;
  }
}

TEST(ResolveRecipe, ARotationLeavesNothingWide) {
  const Graph graph = llama(false);
  const std::string int8 = to_string(parse_target("int8-row")), int6 = to_string(parse_target("int6-g8"));
  const std::string outer[] = {"model.embed_tokens.weight", "lm_head.weight"};
  const auto found = plan("{transform: hadamard}, {quantize: int4-g8}", graph);
  EXPECT_EQ(found.size(), 23u);
  for (const std::string& name : outer) EXPECT_EQ(found.at(name), int8);
  // What a step says of them holds.
  const auto said = plan("{transform: hadamard}, {quantize: int4-g8}, {quantize: int6-g8, targets: head}", graph);
  EXPECT_EQ(said.at(outer[0]), int8);
  EXPECT_EQ(said.at(outer[1]), int6);
  EXPECT_EQ(plan("{transform: hadamard}, {quantize: int4-g8}, {keep: [embedding, head]}", graph).size(), 21u);
  // Nothing is rounded where nothing of the residual stream is rotated, or nothing is to be rounded at all.
  EXPECT_EQ(plan("{transform: {hadamard: {outer: keep}}}, {quantize: int4-g8}", graph).size(), 21u);
  EXPECT_EQ(plan("{transform: {hadamard: {residual: false}}}, {quantize: int4-g8}", graph).size(), 21u);
  EXPECT_TRUE(plan("{transform: hadamard}, {keep: [q]}", graph).empty());
}

TEST(ResolveRecipe, MatchesTensorRoleAndPlace) {
  const Graph graph = llama(false);
  EXPECT_THAT(names("{quantize: int4-row, targets: q}", graph),
              UnorderedElementsAre("model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight",
                                   "model.layers.2.self_attn.q_proj.weight"));
  EXPECT_THAT(names("{quantize: int4-row, targets: '*.1.mlp.down_proj.weight'}", graph),
              UnorderedElementsAre("model.layers.1.mlp.down_proj.weight"));
  EXPECT_THAT(names("{quantize: int4-row, targets: ['blocks.0.down', 'blocks.-1.g*']}", graph),
              UnorderedElementsAre("model.layers.0.mlp.down_proj.weight", "model.layers.2.mlp.gate_proj.weight"));
  EXPECT_THAT(names("{quantize: int4-row, targets: head}", graph), UnorderedElementsAre("lm_head.weight"));
  EXPECT_THAT(names("{quantize: int4-row, targets: '*embed*'}", graph),
              UnorderedElementsAre("model.embed_tokens.weight"));
  EXPECT_THAT(names("{quantize: int4-row, targets: [qkv, gate_up]}", fused()),
              UnorderedElementsAre("model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight",
                                   "model.layers.2.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight",
                                   "model.layers.1.mlp.gate_proj.weight", "model.layers.2.mlp.gate_proj.weight"));
}

TEST(ResolveRecipe, MatchesWhatASiteReadsWhetherFusedOrNot) {
  EXPECT_EQ(names("{quantize: int4-row, targets: [attention]}", llama(false)).size(), 9u);
  EXPECT_EQ(names("{quantize: int4-row, targets: [attention]}", fused()).size(), 3u);
  EXPECT_EQ(names("{quantize: int4-row, targets: [attention_output, mlp, mlp_down]}", fused()).size(), 9u);
}

TEST(ResolveRecipe, LetsLaterStepsOverride) {
  const auto found = plan(
      "{quantize: int4-g128}, {quantize: int8-row, targets: [down, head]}, {keep: ['blocks.0.*']}, {quantize: mxfp4, "
      "targets: "
      "blocks.0.q}",
      llama(false));
  EXPECT_EQ(found.at("model.layers.1.mlp.up_proj.weight"), to_string(parse_target("int4-g128")));
  EXPECT_EQ(found.at("model.layers.1.mlp.down_proj.weight"), to_string(parse_target("int8-row")));
  EXPECT_EQ(found.at("lm_head.weight"), to_string(parse_target("int8-row")));
  EXPECT_EQ(found.at("model.layers.0.self_attn.q_proj.weight"), "mxfp4");
  EXPECT_FALSE(found.contains("model.layers.0.mlp.down_proj.weight"));
  EXPECT_FALSE(found.contains("model.embed_tokens.weight"));
  EXPECT_EQ(found.size(), 16u);
  EXPECT_THAT(plan("{quantize: int4-g128}, {keep: '*'}", llama(false)), IsEmpty());
}

TEST(ResolveRecipe, TreatsATiedHeadAsTheEmbedding) {
  const Graph graph = llama(true);
  for (const char* targets : {"head", "embedding", "[embedding, head]", "'*embed_tokens*'"}) {
    EXPECT_THAT(names(fmt::format("{{quantize: int8-row, targets: {}}}", targets), graph),
                UnorderedElementsAre("model.embed_tokens.weight"))
        << targets;
  }
  // Repeating the same wish is no contradiction.
  EXPECT_EQ(names("{quantize: int8-row, targets: head}, {quantize: int8-row, targets: embedding}", graph).size(), 1u);
}

TEST(ResolveRecipe, RefusesTwoWishesForATiedHead) {
  const std::string steps = "{quantize: int8-row, targets: embedding}, {quantize: int4-g32, targets: head}";
  EXPECT_EQ(plan(steps, llama(false)).size(), 2u);
  EXPECT_THAT(refusal(steps, llama(true)),
              AllOf(HasSubstr("of the embedding (step 1)"), HasSubstr("of the head (step 2)"), HasSubstr("tied"),
                    HasSubstr("model.embed_tokens.weight")));
  EXPECT_THAT(refusal("{quantize: int8-row, targets: embedding}, {keep: head}", llama(true)),
              HasSubstr("keep of the head"));
}

TEST(ResolveRecipe, RefusesAPatternThatMatchesNothing) {
  const std::string message = refusal("{quantize: int4-g128}, {keep: '*.down_prj.weight'}", llama(true));
  EXPECT_THAT(message, AllOf(HasSubstr("step 2"),
                             HasSubstr("the pattern '*.down_prj.weight' matches no matrix of this llama model"),
                             HasSubstr("did you mean '*.down_proj.weight'?"),
                             HasSubstr("roles q, k, v, output, gate, up, down, embedding, head"),
                             HasSubstr("'model.layers.0.self_attn.q_proj.weight'")));
  EXPECT_THAT(refusal("{quantize: int4-g128, targets: dow}", llama(true)), HasSubstr("did you mean 'down'?"));
  EXPECT_THAT(refusal("{quantize: int4-g128, targets: v}", fused()), HasSubstr("roles qkv, output, gate_up, down"));
  EXPECT_THAT(refusal("{quantize: int4-g128, targets: lm_head.weight}", llama(true)), HasSubstr("matches no matrix"));
  EXPECT_THAT(refusal("{quantize: int4-g128, targets: blocks.3.q}", llama(true)), HasSubstr("did you mean 'blocks."));
  // One good pattern does not excuse another.
  EXPECT_THAT(refusal("{quantize: int4-g128, targets: [q, nothing]}", llama(true)), HasSubstr("'nothing'"));
  EXPECT_THAT(refusal("{keep: 'model.norm.weight'}", llama(true)),
              HasSubstr("never quantized, such as 'model.norm.weight'"));
}

TEST(ResolveRecipe, GivesEachMatrixItsRounding) {
  const Recipe recipe = parse_recipe(
      "steps: [{transform: equalize}, {quantize: int4-g128, rounding: {gptq: {damping: 0.5}}}, {quantize: int8-row, "
      "targets: down}]",
      "r");
  const auto found = resolve(recipe, llama(false));
  EXPECT_EQ(found.size(), 21u) << "a transform quantizes nothing";
  EXPECT_EQ(found.at("model.layers.1.mlp.up_proj.weight").rounding, Rounding(GptqRounding{.damping = 0.5}));
  EXPECT_EQ(found.at("model.layers.1.mlp.down_proj.weight").rounding, Rounding{});
}

InputFormats formats_of(const std::string& steps, const Graph& graph) {
  const Recipe recipe = parse_recipe("steps: [" + steps + "]", "r");
  return resolve_activations(recipe, resolve(recipe, graph), graph);
}

TEST(ResolveActivations, GivesEachInputOneFormat) {
  const Graph graph = llama(false);
  EXPECT_TRUE(formats_of("{quantize: int4-g128}", graph).empty());
  const InputFormats all = formats_of("{quantize: int4-g128, activations: int8-token}", graph);
  EXPECT_EQ(all.size(), 4 * graph.blocks.size());
  for (const auto& [place, format] : all) EXPECT_EQ(format, parse_activation_format("int8-token"));
  const InputFormats some = formats_of(
      "{quantize: int4-g128, activations: int8-token}, {quantize: int8-row, targets: down}, "
      "{quantize: int8-row, activations: e4m3fn-tensor, targets: mlp}",
      graph);
  EXPECT_EQ(some.size(), 3 * graph.blocks.size()) << "what down reads stays";
  for (const auto& [place, format] : some) {
    const bool mlp = input_at(graph, place.first, place.second).name == "mlp";
    EXPECT_EQ(to_string(format), mlp ? "e4m3fn-tensor" : "int8-token");
  }
}

TEST(ResolveActivations, KeepsWhatTheModelHas) {
  Graph graph = llama(false);
  graph.blocks[1].inputs[0].activations = parse_activation_format("int8-g32");
  EXPECT_EQ(formats_of("{quantize: int4-g128}", graph), (InputFormats{{{1, 0}, parse_activation_format("int8-g32")}}));
  EXPECT_EQ(formats_of("{quantize: int4-g128, activations: int8-token}", graph).at({1, 0}),
            parse_activation_format("int8-token"));
}

TEST(ResolveActivations, RefusesTwoFormatsOfOneInput) {
  const auto message = [](const std::string& steps, const Graph& graph) {
    return testing::message_of(ErrorKind::kUsage, [&] { formats_of(steps, graph); });
  };
  EXPECT_THAT(message("{quantize: int4-g128, activations: int8-token, targets: q}", llama(false)),
              AllOf(HasSubstr("'model.layers.0.self_attn.q_proj.weight' reads int8-token"),
                    HasSubstr("'model.layers.0.self_attn.k_proj.weight' reads the same input as it is")));
  EXPECT_THAT(
      message("{quantize: int4-g128}, {quantize: int8-row, activations: int8-token, targets: head}", llama(false)),
      HasSubstr("'lm_head.weight' lies outside the blocks"));
  // A router reads what the experts read, and keeps its own weights.
  EXPECT_FALSE(formats_of("{quantize: int4-g128, activations: int8-token}", mixture()).empty());
}

TEST(ResolveOperands, FindsThemByNameAndPlace) {
  Graph graph = llama(false);
  const auto last = static_cast<int>(graph.blocks.size()) - 1;
  graph.blocks[0].attention.operands[static_cast<size_t>(Operand::kQueries)] = parse_activation_format("int8-g32");
  const auto found = [&](const std::string& steps) {
    return resolve_operands(parse_recipe("steps: [{quantize: int4-g128}, " + steps + "]", "r"), graph);
  };
  const OperandFormats all = found(
      "{attention: int4-token, targets: [keys, values]}, {attention: int8-token, targets: [blocks.-1.keys]}, "
      "{attention: e4m3fn-token, targets: blocks.0.*s}");
  EXPECT_EQ(all.size(), 2 * graph.blocks.size() + 2) << "the first block has all four";
  EXPECT_EQ(to_string(all.at({last, Operand::kKeys})), "int8-token");
  EXPECT_EQ(to_string(all.at({last, Operand::kValues})), "int4-token");
  EXPECT_EQ(to_string(all.at({0, Operand::kProbabilities})), "e4m3fn-token");
  EXPECT_EQ(found("{attention: int4-token, targets: keys}").at({0, Operand::kQueries}),
            parse_activation_format("int8-g32"))
      << "what the model has stays";
  const auto message = [&](const std::string& steps) {
    return testing::message_of(ErrorKind::kUsage, [&] { found(steps); });
  };
  EXPECT_THAT(message("{attention: int4-token, targets: key}"),
              HasSubstr("step 2: the pattern 'key' matches nothing that attention multiplies (did you mean 'keys'?)"));
  EXPECT_THAT(message("{attention: int4-token, targets: mlp_down}"),
              HasSubstr("step 2: 'mlp_down' is what linear layers read or are"));
  EXPECT_THAT(message("{attention: int4-token-had8, targets: blocks.1.*}"),
              HasSubstr("int4-token-had8 for 'probabilities'"));
}

TEST(ResolveRecipe, RefusesRoundingAnEmbeddingByData) {
  const std::string steps = "{quantize: int4-g32, rounding: gptq, targets: [embedding]}";
  EXPECT_THAT(refusal(steps, llama(false)), AllOf(HasSubstr("step 1: rounding 'gptq' needs the activations"),
                                                  HasSubstr("the embedding 'model.embed_tokens.weight' reads ids")));
  EXPECT_EQ(plan(steps, llama(true)).size(), 1u) << "as a head it has inputs";
  EXPECT_EQ(plan("{quantize: int4-g32, rounding: gptq, targets: [head]}", llama(false)).size(), 1u);
  EXPECT_EQ(plan(steps + ", {keep: embedding}", llama(false)).size(), 0u);
}

TEST(ResolveRecipe, TellsRoundingsOfATiedHeadApart) {
  EXPECT_THAT(refusal("{quantize: int8-row, targets: embedding}, {quantize: int8-row, rounding: gptq, targets: head}",
                      llama(true)),
              HasSubstr("asks int8-row of the embedding (step 1) and gptq+int8-row of the head (step 2)"));
}

TEST(ResolveRecipe, ChecksTheRecipe) {
  Recipe recipe = parse_short("int4-g128");
  recipe.steps.emplace_back();
  EXPECT_THROW(resolve(recipe, llama(true)), Error);
  EXPECT_THROW(resolve_transforms(recipe, llama(true)), Error);
}

std::vector<TransformSites> transforms(const std::string& steps, const Graph& graph) {
  return resolve_transforms(parse_recipe("steps: [" + steps + "]", "test.yaml"), graph);
}

std::string transforms_refusal(const std::string& steps, const Graph& graph) {
  return testing::message_of(ErrorKind::kUsage, [&] { transforms(steps, graph); });
}

TEST(ResolveTransforms, KeepsTheirOrderAndFindsTheirSites) {
  const auto found = transforms(
      "{transform: hadamard}, {quantize: int8-row}, {transform: {smoothquant: {alpha: 0.7}}, targets: [attention]}, "
      "{keep: down}, {transform: smoothquant, targets: [up, 'blocks.-1.gate']}",
      llama(false));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].transform, Transform(HadamardTransform{}));
  EXPECT_EQ(found[0].step, 0u);
  EXPECT_EQ(found[0].tensors.size(), 21u) << "every site of the blocks, no matrix outside";
  EXPECT_EQ(found[1].transform, Transform(SmoothTransform{0.7}));
  EXPECT_EQ(found[1].step, 2u);
  EXPECT_EQ(found[1].tensors.size(), 9u);
  EXPECT_TRUE(found[1].tensors.contains("model.layers.2.self_attn.k_proj.weight"));
  EXPECT_EQ(found[2].step, 4u);
  EXPECT_THAT(found[2].tensors,
              UnorderedElementsAre("model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight",
                                   "model.layers.2.mlp.up_proj.weight", "model.layers.2.mlp.gate_proj.weight"));
  EXPECT_THAT(transforms("{quantize: int4-g128}", llama(false)), IsEmpty());
  EXPECT_EQ(transforms("{transform: equalize, targets: '*'}", llama(true))[0].tensors.size(), 21u);
}

TEST(ResolveTransforms, RefusesPatternsWithoutASite) {
  EXPECT_THAT(transforms_refusal("{transform: smoothquant, targets: dwn}", llama(true)),
              AllOf(HasSubstr("step 1: the pattern 'dwn' matches no matrix"), HasSubstr("did you mean 'down'?")));
  EXPECT_THAT(transforms_refusal("{transform: smoothquant, targets: [q, head]}", llama(true)),
              HasSubstr("step 1: the pattern 'head' names a matrix outside the blocks, and 'smoothquant' is for their "
                        "sites only"));
}

// Different patterns can meet at a site, which only the model tells.
TEST(ResolveTransforms, RefusesTwoScalingsOfASite) {
  const std::string steps = "{transform: smoothquant, targets: up}, {transform: %, targets: mlp}, {quantize: int8-row}";
  const auto with = [&steps](const char* name) {
    std::string text = steps;
    return text.replace(text.find('%'), 1, name);
  };
  EXPECT_THAT(transforms_refusal(with("awq"), llama(true)),
              HasSubstr("steps 1 and 2, 'model.layers.0.mlp.up_proj.weight': 'smoothquant' and 'awq' both scale"));
  EXPECT_THAT(transforms_refusal(with("{smoothquant: {alpha: 1}}"), llama(true)),
              HasSubstr("'model.layers.0.mlp.up_proj.weight': 'smoothquant' is given twice"));
  EXPECT_EQ(transforms(with("bias-correction"), llama(true)).size(), 2u);
}

TEST(Resolve, RoutersStayUnlessNamed) {
  const Graph graph = mixture();
  const auto all = plan("{quantize: int4-g8}", graph);
  EXPECT_EQ(all.size(), 3u * (4 + 3 * 3));
  EXPECT_FALSE(all.contains("0.gate.weight"));
  EXPECT_FALSE(plan("{quantize: int4-g8, targets: ['*']}", graph).contains("0.shared_gate.weight"));
  EXPECT_EQ(plan("{quantize: int8-row, targets: [router]}", graph).size(), 3u);
  EXPECT_EQ(plan("{quantize: int8-row, targets: [blocks.1.router]}", graph).size(), 1u);
  EXPECT_EQ(plan("{quantize: int8-row, targets: [shared_expert_gate]}", graph).size(), 3u);
}

TEST(Resolve, ExpertsGoByTheirKindOrTheirNumber) {
  const Graph graph = mixture();
  EXPECT_EQ(plan("{quantize: int4-g8, targets: [down]}", graph).size(), 9u);
  EXPECT_EQ(plan("{quantize: int4-g8, targets: [mlp_down]}", graph).size(), 9u);
  EXPECT_EQ(plan("{quantize: int4-g8, targets: [mlp]}", graph).size(), 18u);
  EXPECT_EQ(plan("{quantize: int4-g8, targets: ['experts.*.gate']}", graph).size(), 6u);
  EXPECT_EQ(plan("{quantize: int4-g8, targets: [experts.1.gate]}", graph).size(), 3u);
  EXPECT_EQ(plan("{quantize: int4-g8, targets: [blocks.-1.shared_expert.up]}", graph).size(), 1u);
}

}  // namespace
}  // namespace bitloom
