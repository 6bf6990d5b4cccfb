#pragma once
// For tests only: where their data lies, where they write, and the text of the errors they provoke. Tests run in the
// source tree's root.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace bitloom::testing {

/// Committed golden files: tests/golden/<name>.
inline std::string golden(const std::string& name) { return "tests/golden/" + name; }

/// Data beside a developer's checkout; "" when absent (users have none).
inline std::string shared_path(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path("../shared") / name;
  return std::filesystem::exists(path) ? path.string() : "";
}

/// The real 135M model, where tools/get_smollm2.sh puts it; "" when absent.
inline std::string smollm2_path() {
  const std::filesystem::path path = "build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  return std::filesystem::exists(path) ? path.string() : "";
}

/// A fresh directory that is removed at the end of the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "bitloom-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Message of the Error that `body` throws; fails the test when it throws none or one of another kind.
template <typename Body>
std::string message_of(ErrorKind kind, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error";
  return "";
}

/// `text` with the first `from` replaced.
inline std::string edited(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

/// The numbers behind a name in a golden file (its path in tests/golden/) of lines "NAME NUMBER ...".
inline std::vector<float> golden_line(const std::string& path, const std::string& name) {
  std::ifstream file(golden(path));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first != name) continue;
    std::vector<float> values;
    for (double value = 0; words >> value;) values.push_back(static_cast<float>(value));
    return values;
  }
  ADD_FAILURE() << path << ": no line " << name;
  return {};
}

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.flush().good()) << path;
}

}  // namespace bitloom::testing

/// Skips the test, saying why, when the data beside the checkout is absent.
#define BITLOOM_REQUIRE_SHARED(name) \
  if (::bitloom::testing::shared_path(name).empty()) GTEST_SKIP() << "needs ../shared/" << name

/// Skips the test when the real model has not been fetched.
#define BITLOOM_REQUIRE_SMOLLM2() \
  if (::bitloom::testing::smollm2_path().empty()) GTEST_SKIP() << "needs SmolLM2: run tools/get_smollm2.sh"
