// Recipes by name: the folder that comes with bitloom, files, and short names.

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.h"
#include "base/install_paths.h"
#include "base/text/text.h"
#include "recipe/parts.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

bool is_yaml(const fs::path& path) { return path.extension() == ".yaml" || path.extension() == ".yml"; }

/// The recipe files by stem; of equal stems the first directory's.
std::map<std::string, std::string> recipe_files() {
  std::map<std::string, std::string> result;
  for (const std::string& directory : recipe_directories()) {
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(directory, unreadable)) {
      if (is_yaml(entry.path())) result.emplace(entry.path().stem().string(), entry.path().string());
    }
  }
  return result;
}

Recipe read_recipe_file(const std::string& path, const std::string& options = "") {
  if (!fs::is_regular_file(path)) misuse("{}: no such recipe file", path);
  return parse_recipe(read_text(path), path, options);
}

/// What stands before a ':' may be a file, what follows are its options: "small.yaml:bits=3", "small:bits=3".
std::pair<std::string, std::string> split_options(const std::string& text) {
  size_t colon = text.find(':');
  for (const char* suffix : {".yaml:", ".yml:"}) {
    if (const size_t at = text.find(suffix); at != std::string::npos) colon = text.find(':', at);
  }
  if (colon == std::string::npos || is_yaml(text)) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

/// What other tools call their formats, and the nearest of ours.
struct ForeignName {
  const char *beginning, *ours;
};
constexpr ForeignName kForeignNames[] = {
    {"fp8", "mxfp8e4m3 and mxfp8e5m2"}, {"fp4", "mxfp4 and nvfp4"}, {"q8_", "int8-g32"},      {"q6_", "int6-g32-asym"},
    {"q5_", "int5-g32-asym"},           {"q4_", "int4-g32-asym"},   {"q3_", "int3-g32-asym"}, {"q2_", "int2-g32-asym"},
};

/// "; closest here: ..." or "".
std::string closest_to_foreign(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const ForeignName& foreign : kForeignNames)
    if (name.starts_with(foreign.beginning)) return fmt::format("; closest here: {}", foreign.ours);
  return "";
}

/// A text without '+' could have meant a file as well as a format.
Recipe short_recipe(const std::string& text, const std::map<std::string, std::string>& files) {
  try {
    return parse_short(text);
  } catch (const Error& error) {
    if (text.find('+') != std::string::npos) throw;
    std::vector<std::string> names;
    names.reserve(files.size());
    for (const auto& file : files) names.push_back(file.first);
    for (const PartRow& part : part_rows()) names.emplace_back(part.name);
    const std::string where = fmt::format("{}", fmt::join(recipe_directories(), ", "));
    misuse("'{}' is neither a recipe of {}{} nor a short recipe{}: {}", text, where.empty() ? "recipes/" : where,
           did_you_mean(text, names), closest_to_foreign(text), error.what());
  }
}

}  // namespace

std::vector<std::string> recipe_directories() { return data_directories("recipes"); }

std::vector<RecipeEntry> list_recipes() {
  std::vector<RecipeEntry> result;
  for (const auto& [name, path] : recipe_files()) result.push_back({name, path, read_recipe_file(path).description});
  return result;
}

Recipe load_recipe(const std::string& text) {
  const auto [name, options] = split_options(text);
  if (is_yaml(name) || name.find('/') != std::string::npos) return read_recipe_file(name, options);
  const auto files = recipe_files();
  // A file may be called as a part is; "billm:refine=2+planes" means the part.
  const bool is_short = options.find('+') != std::string::npos && find_part(name);
  if (const auto file = files.find(name); file != files.end() && !is_short) {
    return read_recipe_file(file->second, options);
  }
  return short_recipe(text, files);
}

}  // namespace bitloom
