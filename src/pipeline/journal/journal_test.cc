#include "pipeline/journal/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/memory/dense_matrix.h"
#include "pipeline/walk_test_support.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal;
using testing::TempDir;

const Json kIdentity = {{"journal", kJournalVersion}, {"recipe", "r"}, {"calibration seed", 0}};

BlockOutcome some_outcome(uint64_t seed) {
  ThreadPool threads(1);
  BlockOutcome outcome;
  Rng rng(seed, 0);
  for (const auto& [name, format] :
       std::vector<std::pair<std::string, std::string>>{{"a.weight", "int4-g16"}, {"b.weight", "mxfp4"}}) {
    std::vector<float> w(8 * 32);
    for (float& value : w) value = rng.uniform() - 0.5f;
    const GridTarget spec = parse_grid_target(format);
    RoundReport report;
    outcome.quantized[name] = quantize_nearest(name, *dense_matrix(8, 32, w), spec, threads, &report);
    SiteRecord site;
    site.name = name, site.storage = to_string(spec), site.rounding = "gptq", site.rows = 8, site.cols = 32;
    site.weight_error = report.weight_error, site.max_abs_error = report.max_abs_error;
    site.bytes = outcome.quantized[name]->stored_bytes(), site.bits_true = 4.5, site.bits_nominal = 4.25;
    site.tokens = 40, site.dropped_tokens = 2, site.dead_channels = 1, site.output_error = 0.1 + 0.2,
    site.damping = 0.02;
    site.saturated = 3, site.zero_groups = 1;
    outcome.sites.push_back(site);
  }
  outcome.rewritten["norm"] = {0.1f, -0.0f, 1e-38f};
  outcome.activations[2] = parse_activation_format("int8-asym-tensor-at[-0.1;3.3333333]");
  outcome.remarks = {"one", "two"};
  return outcome;
}

void expect_equal(const BlockOutcome& a, const BlockOutcome& b) {
  ASSERT_EQ(a.quantized.size(), b.quantized.size());
  for (const auto& [name, tensor] : a.quantized) {
    EXPECT_EQ(tensor->decode_all(), b.quantized.at(name)->decode_all());
    EXPECT_EQ(to_string(tensor->spec()), to_string(b.quantized.at(name)->spec()));
  }
  EXPECT_EQ(a.rewritten, b.rewritten);
  EXPECT_EQ(a.activations, b.activations);
  EXPECT_EQ(a.remarks, b.remarks);
  ASSERT_EQ(a.sites.size(), b.sites.size());
  for (size_t s = 0; s < a.sites.size(); ++s) {
    EXPECT_EQ(a.sites[s].name, b.sites[s].name);
    EXPECT_EQ(a.sites[s].output_error, b.sites[s].output_error) << "every bit of a number";
    EXPECT_EQ(a.sites[s].weight_error, b.sites[s].weight_error);
    EXPECT_EQ(a.sites[s].damping, b.sites[s].damping);
    EXPECT_EQ(a.sites[s].dropped_tokens, b.sites[s].dropped_tokens);
  }
}

std::string refusal_of(const std::string& out, const Json& identity, bool restart = false) {
  return refusal(ErrorKind::kUsage, [&] { Journal(out, identity, restart); });
}

TEST(Journal, GivesBackBlocksAfterReopening) {
  const TempDir dir;
  {
    Journal journal(dir.file("out"), kIdentity, false);
    EXPECT_EQ(journal.finished(), 0);
    journal.store(0, some_outcome(1));
    journal.store(1, some_outcome(2));
    EXPECT_EQ(journal.finished(), 2);
    expect_equal(journal.load(1), some_outcome(2));
  }
  Journal journal(dir.file("out/"), kIdentity, false);
  EXPECT_EQ(journal.directory(), dir.file("out.journal"));
  ASSERT_EQ(journal.finished(), 2);
  expect_equal(journal.load(0), some_outcome(1));
  journal.discard();
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Journal, UnfinishedBlockDoesNotCount) {
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  fs::create_directory(dir.file("out.journal/block-0001.partial"));
  std::ofstream(dir.file("out.journal/block-0001.partial/model.safetensors")) << "half";
  std::ofstream(dir.file("out.journal/block-0001.partial.lock")).flush();
  Journal journal(dir.file("out"), kIdentity, false);
  EXPECT_EQ(journal.finished(), 1);
  journal.store(1, some_outcome(2));
  expect_equal(journal.load(1), some_outcome(2));
}

TEST(Journal, BlockAfterAGapIsReplaced) {
  const TempDir dir;
  {
    Journal journal(dir.file("out"), kIdentity, false);
    for (int b = 0; b < 3; ++b) journal.store(b, some_outcome(static_cast<uint64_t>(b)));
  }
  fs::remove_all(dir.file("out.journal/block-0001"));
  Journal journal(dir.file("out"), kIdentity, false);
  EXPECT_EQ(journal.finished(), 1);
  journal.store(1, some_outcome(7));
  journal.store(2, some_outcome(8));
  expect_equal(journal.load(2), some_outcome(8));
}

TEST(Journal, NamesEveryDifference) {
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  const Json other = {{"journal", kJournalVersion}, {"recipe", "s"}, {"bitloom", "9"}};
  EXPECT_THAT(refusal_of(dir.file("out"), other),
              AllOf(HasSubstr(dir.file("out.journal")), HasSubstr("recipe was \"r\", is \"s\""),
                    HasSubstr("bitloom was absent, is \"9\""), HasSubstr("calibration seed was 0, is absent"),
                    HasSubstr("--restart")));
  Json newer = kIdentity;
  newer["journal"] = kJournalVersion + 1;
  EXPECT_THAT(refusal_of(dir.file("out"), newer),
              HasSubstr(fmt::format("journal was {}, is {}", kJournalVersion, kJournalVersion + 1)));
  EXPECT_EQ(Journal(dir.file("out"), kIdentity, false).finished(), 1) << "a refusal lets go of the lock";
}

TEST(Journal, OfTwoRecipesNamesTheLeafThatDiffers) {
  const TempDir dir;
  const auto identity = [](const char* format) {
    const Json step = {{"quantize", format}, {"rounding", "gptq"}};
    return Json{{"journal", kJournalVersion}, {"recipe", {{"name", format}, {"steps", Json::array({step})}}}};
  };
  { Journal(dir.file("out"), identity("int4-g32"), false).store(0, some_outcome(1)); }
  EXPECT_THAT(refusal_of(dir.file("out"), identity("int3-g32")),
              HasSubstr("1 finished block of another run for '" + dir.file("out") +
                        "' lies there: recipe.steps.0.quantize was \"int4-g32\", is \"int3-g32\"; repeat"));
}

TEST(Journal, WithoutAFinishedBlockGivesWay) {
  const TempDir dir;
  { const Journal journal(dir.file("out"), kIdentity, false); }
  EXPECT_TRUE(fs::is_empty(dir.path())) << "a run that failed before its first block leaves nothing";
  // One that was killed there does leave it.
  fs::create_directory(dir.file("out.journal"));
  std::ofstream(dir.file("out.journal/identity.json")) << dump_json(kIdentity);
  Json other = kIdentity;
  other["recipe"] = "s";
  EXPECT_EQ(Journal(dir.file("out"), other, false).finished(), 0);
}

TEST(Journal, MomentsAreKeptForTheSameRunAlone) {
  const TempDir dir;
  { fs::create_directory(Journal(dir.file("out"), kIdentity, false).moments_directory()); }
  EXPECT_EQ(Journal::kept_for(dir.file("out")), "the layers' moments");
  EXPECT_TRUE(Journal(dir.file("out"), kIdentity, false).has_moments());
  Json other = kIdentity;
  other["recipe"] = "s";
  EXPECT_THAT(refusal_of(dir.file("out"), other), AllOf(HasSubstr("the layers' moments of another run for"),
                                                        HasSubstr("recipe was "), HasSubstr("--restart")));
  EXPECT_TRUE(Journal(dir.file("out"), kIdentity, false).has_moments()) << "what is refused is not touched";
  EXPECT_FALSE(Journal(dir.file("out"), other, true).has_moments());
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

// A run that differentiates was killed; on ranks that do not lead moments lie in such a directory.
TEST(Journal, ScratchDirectoriesOfAKilledRunAreItsOwn) {
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  fs::create_directory(dir.file("out.journal/scratch-Ab3dEf"));
  EXPECT_EQ(Journal(dir.file("out"), kIdentity, false).finished(), 1);
}

TEST(Journal, RestartBeginsAnew) {
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  const Json other = {{"journal", kJournalVersion}, {"recipe", "s"}};
  EXPECT_EQ(Journal(dir.file("out"), other, true).finished(), 0);
  EXPECT_EQ(Journal(dir.file("out"), other, false).finished(), 0);
}

TEST(Journal, OneRunAtATime) {
  const TempDir dir;
  const Journal journal(dir.file("out"), kIdentity, false);
  for (const bool restart : {false, true}) {
    EXPECT_THAT(refusal_of(dir.file("out"), kIdentity, restart),
                AllOf(HasSubstr("is being made by another run"), HasSubstr("out.journal/lock")));
  }
}

TEST(Journal, ForeignDirectoryIsLeftAlone) {
  const std::vector<std::map<std::string, std::string>> foreign = {
      {{"notes.txt", "mine"}},
      {{"identity.json", R"({"name": "somebody"})"}},
      {{"identity.json", dump_json(kIdentity)}, {"thesis.tex", "mine"}},
  };
  for (const auto& files : foreign) {
    const TempDir dir;
    fs::create_directory(dir.file("out.journal"));
    for (const auto& [name, text] : files) std::ofstream(dir.file("out.journal/" + name)) << text;
    for (const bool restart : {false, true}) {
      EXPECT_THAT(refusal_of(dir.file("out"), kIdentity, restart), HasSubstr("no journal of an unfinished run"));
      EXPECT_EQ(testing::files_of(dir.file("out.journal")), files);
    }
  }
  const TempDir dir;
  std::ofstream(dir.file("out.journal")) << "a file";
  EXPECT_THAT(refusal_of(dir.file("out"), kIdentity, true), HasSubstr("no journal of an unfinished run"));
}

// What a kill may leave: before the identity was there, or while the journal was being removed.
TEST(Journal, LeftoversWithoutAnIdentityCountForNothing) {
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  fs::remove(dir.file("out.journal/identity.json"));
  std::ofstream(dir.file("out.journal/identity.json.new")) << "{";
  std::ofstream(dir.file("out.journal/activations-Ab3dEf")) << "";
  EXPECT_EQ(Journal(dir.file("out"), kIdentity, false).finished(), 0);
  EXPECT_FALSE(fs::exists(dir.file("out.journal/block-0000")));
  EXPECT_FALSE(fs::exists(dir.file("out.journal/activations-Ab3dEf")));
}

TEST(Journal, DamageIsRefused) {
  for (const std::string file : {"model.safetensors", "block.json"}) {
    const TempDir dir;
    { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
    const std::string path = dir.file("out.journal/block-0000/" + file);
    // The last byte of block.json is a line break.
    for (auto size = static_cast<int64_t>(fs::file_size(path)) - 2; size >= 0;
         size = size > 40 ? size * 3 / 4 : size - 1) {
      fs::resize_file(path, static_cast<uintmax_t>(size));
      const Journal journal(dir.file("out"), kIdentity, false);
      EXPECT_THAT(refusal(ErrorKind::kRefused, [&] { journal.load(0); }),
                  AllOf(HasSubstr("out.journal/block-0000"), HasSubstr("--restart")))
          << file << " of " << size;
    }
  }
  const TempDir dir;
  { Journal(dir.file("out"), kIdentity, false).store(0, some_outcome(1)); }
  fs::resize_file(dir.file("out.journal/identity.json"), 5);
  EXPECT_THAT(refusal_of(dir.file("out"), kIdentity), AllOf(HasSubstr("cannot be read"), HasSubstr("--restart")));
  EXPECT_EQ(Journal(dir.file("out"), kIdentity, true).finished(), 0);
}

}  // namespace
}  // namespace bitloom
