#include "model/graph.h"

#include "model/test_names.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::NameSet;

Graph llama() { return build_graph(testing::llama_config(), "config.json", NameSet()); }

std::vector<std::string> weights(const std::vector<Site>& sites) {
  std::vector<std::string> names;
  names.reserve(sites.size());
  for (const Site& site : sites) names.push_back(site.reads->name + " " + site.linear->weight);
  return names;
}

TEST(Graph, SitesComeInOrderOfExecution) {
  const Graph graph = llama();
  EXPECT_THAT(
      weights(linear_sites(graph, 1)),
      ElementsAre("attention model.layers.1.self_attn.q_proj.weight",
                  "attention model.layers.1.self_attn.k_proj.weight",
                  "attention model.layers.1.self_attn.v_proj.weight",
                  "attention_output model.layers.1.self_attn.o_proj.weight", "mlp model.layers.1.mlp.gate_proj.weight",
                  "mlp model.layers.1.mlp.up_proj.weight", "mlp_down model.layers.1.mlp.down_proj.weight"));
  const std::vector<Site> all = linear_sites(graph);
  ASSERT_EQ(all.size(), 14u);
  EXPECT_EQ(all[6].block, 0);
  EXPECT_EQ(all[7].block, 1);
}

TEST(Graph, FusedSitesAreOne) {
  Json config = testing::llama_config();
  config["model_type"] = "phi3";
  const Graph graph = build_graph(config, "config.json", NameSet());
  EXPECT_THAT(weights(linear_sites(graph, 0)), ElementsAre("attention model.layers.0.self_attn.qkv_proj.weight",
                                                           "attention_output model.layers.0.self_attn.o_proj.weight",
                                                           "mlp model.layers.0.mlp.gate_up_proj.weight",
                                                           "mlp_down model.layers.0.mlp.down_proj.weight"));
}

TEST(Graph, ParametersCountATiedHeadOnce) {
  // Per layer: q, o 32x32; k, v 16x32; gate, up, down 48x32; two norms.
  const int64_t layer = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32 + 2 * 32;
  EXPECT_EQ(parameter_count(llama()), 2 * 40 * 32 + 2 * layer + 32);
  const Json tied = testing::with(testing::llama_config(), "tie_word_embeddings", true);
  EXPECT_EQ(parameter_count(build_graph(tied, "config.json", NameSet())), 40 * 32 + 2 * layer + 32);
}

}  // namespace
}  // namespace bitloom
