#include "cli/pages/site_tables.h"

#include <gmock/gmock.h>

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsNan;
using ::testing::Pair;

SiteRecord site(const std::string& name, double weight_error, std::optional<double> output_error) {
  SiteRecord record;
  record.name = name;
  record.rows = record.cols = 2;
  record.weight_error = weight_error;
  record.output_error = output_error;
  return record;
}

TEST(SiteNames, KindAndBlock) {
  EXPECT_THAT(kind_and_block("model.layers.3.mlp.up_proj.weight"), Pair("*.mlp.up_proj.weight", "3"));
  EXPECT_THAT(kind_and_block("model.layers.3.mlp.experts.12.up_proj.weight"),
              Pair("*.mlp.experts.*.up_proj.weight", "3"));
  EXPECT_THAT(kind_and_block("transformer.h.12.attn.c_attn.weight"), Pair("*.attn.c_attn.weight", "12"));
  EXPECT_THAT(kind_and_block("lm_head.weight"), Pair("lm_head.weight", ""));
}

TEST(SizeTable, TheWholeModelStandsBesideTheBlocks) {
  QuantizeResult result;
  result.block_weights = 1 << 23, result.weights = 1 << 24;
  result.bits_nominal = 4, result.bits_true = 4.25, result.bits_model = 10, result.bytes = 20 << 20;
  const std::string text = size_table(result).to_text(false);
  EXPECT_THAT(text, ::testing::ContainsRegex("matrices of the blocks +8\\.39 M +4\\.00 +4\\.25 +4\\.25\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("whole model +16\\.8 M +- +10\\.00 +20\\.0\n"));
}

TEST(ExpertTable, CountsTokensOfEachBlock) {
  std::vector<SiteRecord> sites = {site("m.0.q.w", 0.1, 0.01)};
  EXPECT_EQ(expert_table(sites).rows(), 0u);
  for (int e = 0; e < 3; ++e) {
    for (const char* kind : {"up", "down"}) {
      sites.push_back(site(fmt::format("m.4.experts.{}.{}.w", e, kind), 0.1, 0.01));
      sites.back().tokens = 10 * e;
      sites.back().rounding = e == 0 ? "nearest" : "gptq";
    }
  }
  EXPECT_EQ(expert_table(sites).rows(), 1u);
  EXPECT_THAT(expert_table(sites).to_text(false),
              ::testing::HasSubstr("4        3              0      10    20             1"));
}

/// Error feedback in block 0, learned rounding in blocks 1 and 2 of one kind of layer.
std::vector<SiteRecord> roundings() {
  std::vector<SiteRecord> sites = {site("m.0.q.w", 0.1, 0.01), site("m.1.up.w", 0.1, 0.01),
                                   site("m.2.up.w", 0.1, 0.01)};
  sites[0].compensation_ratio = 12.5;
  for (size_t i = 1; i < 3; ++i) sites[i].flipped = 1, sites[i].rows_kept = 2;
  sites[2].cols = 8;
  sites[2].flipped = 4;
  return sites;
}

TEST(LayerTable, ShowsWhatSomeRoundingTells) {
  const std::string text = layer_table(roundings()).to_text(false);
  EXPECT_THAT(text, ::testing::ContainsRegex("highest damping +compensation +flipped +rows kept\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\\*\\.q\\.w .* 12\\.5 +- +-\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\\*\\.up\\.w .* - +25\\.0 % +4\n"));  // 5 of 4 + 16 codes
}

TEST(SiteTable, HasColumnsForWhatSomeSiteHas) {
  std::vector<SiteRecord> sites = roundings();
  EXPECT_THAT(site_table(sites).to_text(false),
              ::testing::ContainsRegex("dead channels +compensation +flipped +rows kept\n"));
  EXPECT_EQ(
      rounding_note(sites),
      "compensation: largest weight after compensation over the largest before; flipped: codes that are not those "
      "of nearest rounding; rows kept: rows for which nearest rounding did better");
  sites.resize(1);
  EXPECT_THAT(site_table(sites).to_text(false), ::testing::ContainsRegex("dead channels +compensation\n"));
  sites[0].compensation_ratio.reset();
  EXPECT_THAT(site_table(sites).to_text(false), ::testing::ContainsRegex("dead channels\n"));
  EXPECT_THAT(layer_table(sites).to_text(false), ::testing::ContainsRegex("highest damping\n"));
  EXPECT_EQ(rounding_note(sites), "");
}

TEST(Overcompensated, WorstFirst) {
  std::vector<SiteRecord> sites = roundings();
  sites[1].compensation_ratio = 10;  // not above
  sites[2].compensation_ratio = 40;
  const std::vector<const SiteRecord*> beyond = overcompensated(sites);
  EXPECT_THAT(beyond, ElementsAre(&sites[2], &sites[0]));
  EXPECT_EQ(compensation_warning(sites),
            "error feedback made weights of 2 matrices more than 10 times the largest, so its damping is too small; "
            "worst: m.2.up.w, 40.0");
  sites = {sites[1]};
  EXPECT_TRUE(overcompensated(sites).empty());
  EXPECT_EQ(compensation_warning(sites), "");
}

TEST(SiteStrips, PlaceFiguresByKindAndBlock) {
  SiteRecord taken = site("m.2.q.w", 0, std::nullopt);
  taken.taken_over = true;
  const std::vector<SiteRecord> sites = {site("m.0.q.w", 0.1, 0.01), site("m.0.down.w", 0.2, std::nullopt), taken,
                                         site("m.10.q.w", 0.3, 0.03), site("head.w", 0.9, 0.9)};
  const StripPlot plot =
      site_strips({"t", "d"}, "y", true, {{"weight", sites, weight_error_of}, {"output", sites, output_error_of}});
  EXPECT_THAT(plot.rows, ElementsAre("*.q.w", "*.down.w"));
  EXPECT_THAT(plot.columns, ElementsAre("0", "2", "10"));  // by number, not by spelling
  EXPECT_THAT(plot.series.at(0).values.at(0), ElementsAre(0.1, IsNan(), 0.3));
  EXPECT_THAT(plot.series.at(0).values.at(1), ElementsAre(0.2, IsNan(), IsNan()));
  EXPECT_THAT(plot.series.at(1).values.at(0), ElementsAre(0.01, IsNan(), 0.03));
}

}  // namespace
}  // namespace bitloom
