// Sizes that are printed are those of the files, whatever the recipe.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <regex>
#include <set>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Every recipe in recipes/, and every word of the documents that is one in short form and names a format with its
/// bits.
std::set<std::string> recipes_that_users_meet() {
  std::set<std::string> recipes, words;
  for (const auto& entry : fs::directory_iterator("recipes")) recipes.insert(entry.path().stem().string());
  std::vector<std::string> documents = {"README.md"};
  for (const auto& entry : fs::directory_iterator("docs"))
    if (entry.path().extension() == ".md") documents.push_back(entry.path().string());
  const std::regex word("[a-z][a-z0-9:=.,_@+-]*[a-z0-9]"), format(".*(int|nf|mxfp|nvfp|e[1-5]m)[1-8].*");
  for (const std::string& document : documents) {
    const std::string text = read_bytes(document);
    for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) {
      if (std::regex_match(at->str(), format)) words.insert(at->str());
    }
  }
  for (const std::string& text : words) {
    if (run_bitloom({"recipes", text}).code == 0) recipes.insert(text);
  }
  return recipes;
}

int64_t weight_bytes(const std::string& directory) {
  int64_t total = 0;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors") total += static_cast<int64_t>(entry.file_size());
  }
  return total;
}

TEST(Sizes, PrintedBitsOfTheModelAreThoseOfItsFiles) {
  ModelCopy model;
  model.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 1; });
  const TempDir dir;
  int tried = 0;
  for (const std::string& recipe : recipes_that_users_meet()) {
    SCOPED_TRACE(recipe);
    const std::string out = dir.file("out");
    const std::vector<std::string> command = {"quantize", model.path(), out,  "--force", "--recipe",
                                              recipe,     "--samples",  "16", "--seq",   "16"};
    if (recipe == "aqlm-1x16") {  // of use for large matrices alone
      const Outcome refused = run_bitloom(command);
      EXPECT_EQ(refused.code, 2);
      EXPECT_NE(refused.err.find("more than fp16"), std::string::npos) << refused.err;
      continue;
    }
    const json made = run_json(command);
    const auto bytes = static_cast<double>(weight_bytes(out));
    const json info = run_json({"info", out});
    EXPECT_NEAR(made.at("bytes").get<double>() / bytes, 1, 1e-3);
    EXPECT_NEAR(made.at("bits_model").get<double>() * info.at("parameters").get<double>() / 8 / bytes, 1, 1e-3);
    EXPECT_NEAR(info.at("bits_model").get<double>() * info.at("parameters").get<double>() / 8 / bytes, 1, 1e-3);
    ++tried;
  }
  EXPECT_GT(tried, 20);
}

}  // namespace
}  // namespace bitloom::testing
