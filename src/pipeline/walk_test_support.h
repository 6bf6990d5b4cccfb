#pragma once
// For the tests of calibrated quantization: token sequences, statistics to quantize with, directories to compare.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/test_data.h"
#include "forward/golden_models.h"
#include "pipeline/test_models.h"
#include "pipeline/walk/stream/calibration_stream.h"

namespace bitloom::testing {

inline std::string golden_model(const std::string& name) { return golden("forward/" + name); }

/// Arbitrary tokens, one sequence of each length.
inline CalibrationData some_data(const std::string& model, const std::vector<int64_t>& lengths, uint64_t seed = 1) {
  const int64_t vocab = Checkpoint::open(model)->graph().vocab_size;
  CalibrationData data;
  std::string ids;
  for (size_t s = 0; s < lengths.size(); ++s) {
    Rng rng(seed, s);
    std::vector<int32_t>& sequence = data.sequences.emplace_back();
    for (int64_t t = 0; t < lengths[s]; ++t) {
      sequence.push_back(static_cast<int32_t>(rng.uniform() * static_cast<float>(vocab)));
      ids += std::to_string(sequence.back()) + " ";
    }
    ids += "\n";
  }
  data.record = {{"source", "arbitrary tokens"}, {"ids_sha256", sha256_hex(ids)}, {"seed", seed}};
  return data;
}

/// Three chunks: sequences of one length, a shorter one, and the first length again.
inline CalibrationData three_chunks(const std::string& model, uint64_t seed = 1) {
  return some_data(model, {24, 24, 17, 24}, seed);
}

/// Every file below a directory.
inline std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().lexically_relative(directory).string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

/// Says which files differ, not how.
inline void expect_same_files(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b,
                              const std::string& what) {
  EXPECT_EQ(a.size(), b.size()) << what;
  for (const auto& [name, bytes] : a) EXPECT_TRUE(b.contains(name) && b.at(name) == bytes) << what << ": " << name;
}

/// One way to run a model through calibrated quantization.
struct CalibratedRun {
  std::string model, recipe;
  CalibrationData data;
  QuantizeOptions options = {};
  int threads = 2;
  const Tuner* tuner = nullptr;

  QuantizeResult into(const std::string& out, Progress& progress) const {
    QuantizeOptions with_data = options;
    with_data.data = &data;
    return quantize(model, out, load_recipe(recipe), progress, with_data, threads, tuner);
  }
  QuantizeResult into(const std::string& out) const {
    Progress silent;
    return into(out, silent);
  }
  std::map<std::string, std::string> files() const {
    const TempDir dir;
    into(dir.file("out"));
    EXPECT_FALSE(std::filesystem::exists(dir.file("out.journal")));
    return files_of(dir.file("out"));
  }
};

}  // namespace bitloom::testing
