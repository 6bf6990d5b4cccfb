#pragma once
// For tests only: the checkpoints of tests/golden/forward, one or more of every architecture.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/test_data.h"

namespace bitloom::testing {

/// Names of those that have the file, in order.
inline std::vector<std::string> golden_models(const std::string& file = "config.json") {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("forward"))) {
    if (std::filesystem::exists(entry.path() / file)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Those and the one whose attention is bidirectional.
inline std::vector<std::string> all_golden_models() {
  std::vector<std::string> names = golden_models();
  names.emplace_back("bidirectional/gemma3_text");
  return names;
}

/// As GoogleTest allows names.
inline std::string test_name(std::string model) {
  std::replace(model.begin(), model.end(), '/', '_');
  return model;
}

}  // namespace bitloom::testing
