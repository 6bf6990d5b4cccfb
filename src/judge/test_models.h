#pragma once
// For the tests of this folder: the demo model, what it becomes at a few bits, and a short text.

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/test_data.h"
#include "io/json.h"
#include "judge/evaluation_text.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"

namespace bitloom::testing {

inline constexpr const char* kDemo = "assets/demo";

/// Threads, and what was logged and warned of.
class Quiet final : public Progress {
  ThreadPool pool_{2};

 public:
  Context context{pool_, *this};
  std::vector<std::string> lines, warnings;
  Warn warn = [this](const std::string& message) { warnings.push_back(message); };

  void log(const std::string& line) override { lines.push_back(line); }
};

/// Two windows of 64 tokens.
inline TextOptions short_text() {
  TextOptions options;
  options.file = "assets/demo/evaluation.txt";
  options.context = 64;
  options.windows = 2;
  return options;
}

inline QuantizeResult quantize_demo(const std::string& out, const std::string& recipe, Quiet& quiet) {
  return quantize_model(make_task(Checkpoint::open(kDemo), load_recipe(recipe), {}, quiet.context.threads), out,
                        quiet.context);
}

inline void edit_json(const std::string& path, const std::function<void(Json&)>& edit) {
  Json value = read_json(path);
  edit(value);
  std::ofstream(path) << value.dump();
}

/// The demo model with two words of its vocabulary exchanged.
inline void copy_with_other_words(const std::string& to) {
  std::filesystem::copy(kDemo, to, std::filesystem::copy_options::recursive);
  edit_json(to + "/tokenizer.json", [](Json& json) {
    Json& vocabulary = json["model"]["vocab"];
    std::swap(vocabulary["\u0120was"], vocabulary["\u0120the"]);
  });
}

}  // namespace bitloom::testing
