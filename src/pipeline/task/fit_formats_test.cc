#include "pipeline/task/fit_formats.h"

#include <gmock/gmock.h>

#include <set>

#include "base/test_data.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

using testing::kDemo;
using ::testing::MatchesRegex;

std::map<std::string, RecipeStep> steps_of(const char* recipe) {
  ThreadPool threads(2);
  return make_task(Checkpoint::open(kDemo), parse_short(recipe), {}, threads).steps;
}

std::map<std::string, std::set<std::string>> storages_by_role(const std::map<std::string, RecipeStep>& steps) {
  std::map<std::string, std::set<std::string>> storages;
  const auto model = Checkpoint::open(kDemo);
  for (const Site& site : linear_sites(model->graph())) {
    storages[site.linear->role].insert(to_string(steps.at(site.linear->weight).storage()));
  }
  return storages;
}

std::set<std::string> all_of(const std::map<std::string, std::set<std::string>>& by_role) {
  std::set<std::string> all;
  for (const auto& [role, storages] : by_role) all.insert(storages.begin(), storages.end());
  return all;
}

TEST(FitFormats, AreSharedByTheModelARoleOrNobody) {
  const auto by_model = storages_by_role(steps_of("pow4-row"));
  ASSERT_EQ(all_of(by_model).size(), 1u);
  EXPECT_THAT(*all_of(by_model).begin(), MatchesRegex("pow4\\[0\\.[0-9]+\\]-row"));
  const auto by_role = storages_by_role(steps_of("table4[role]-g32"));
  for (const auto& [role, storages] : by_role) EXPECT_EQ(storages.size(), 1u) << role;
  EXPECT_EQ(all_of(by_role).size(), by_role.size());
  const auto steps = steps_of("table4[matrix]-g32");
  EXPECT_EQ(all_of(storages_by_role(steps)).size(), steps.size());
}

TEST(FitFormats, FilesHoldWhatWasFitted) {
  const testing::TempDir dir;
  for (const char* recipe : {"pow3-row", "table2[role]-g32-mse"}) {
    const std::string out = dir.file("out");
    std::filesystem::remove_all(out);
    testing::quantize(kDemo, out, recipe);
    EXPECT_NO_THROW(testing::verify(out)) << recipe;
    const Json manifest = read_json(out + "/bitloom.json");
    EXPECT_EQ(manifest["recipe"]["name"], recipe);
    for (const auto& [name, tensor] : manifest["tensors"].items()) {
      const auto storage = tensor["storage"].get<std::string>();
      EXPECT_THAT(storage, MatchesRegex("(pow3|table)\\[[-0-9.;]+\\]-.*")) << name;
    }
  }
}

}  // namespace
}  // namespace bitloom
