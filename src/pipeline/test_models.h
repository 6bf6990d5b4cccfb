#pragma once
// For the tests of this folder: models to quantize and ways to break them.

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "base/test_data.h"
#include "io/hash.h"
#include "io/json.h"
#include "pipeline/output/verify_model.h"
#include "pipeline/quantize_model.h"

namespace bitloom::testing {

inline constexpr const char* kDemo = "assets/demo";

/// Collects remarks; stops the work at the given call of advance().
class Listener final : public Progress {
 public:
  explicit Listener(int stop_at = -1) : stop_at_(stop_at) {}
  void begin(const std::string&, int64_t total) override { announced += total; }
  void advance(int64_t units, const std::string&) override {
    done += units;
    if (calls++ == stop_at_) throw std::runtime_error("stopped");
  }
  void log(const std::string& line) override { lines.push_back(line); }

  int64_t announced = 0;
  std::atomic<int64_t> done = 0;
  std::atomic<int> calls = 0;
  std::vector<std::string> lines;

 private:
  int stop_at_;
};

inline QuantizeResult quantize(const std::string& model, const std::string& out, const Recipe& recipe,
                               Progress& progress, const QuantizeOptions& options = {}, int threads = 2,
                               const Tuner* tuner = nullptr) {
  ThreadPool pool(threads);
  Context context{pool, progress};
  return quantize_model(make_task(Checkpoint::open(model), recipe, options, context.threads), out, context, tuner);
}

inline QuantizeResult quantize(const std::string& model, const std::string& out, const std::string& recipe,
                               const QuantizeOptions& options = {}, int threads = 2) {
  Progress silent;
  return quantize(model, out, load_recipe(recipe), silent, options, threads);
}

inline std::vector<std::string> verify(const std::string& model) {
  ThreadPool pool(2);
  Progress silent;
  Context context{pool, silent};
  return verify_model(model, context);
}

/// The message of the Error that `body` throws, which must be of `kind`.
inline std::string refusal(ErrorKind kind, const std::function<void()>& body) {
  return testing::message_of(kind, [&] { body(); });
}

inline void copy_model(const std::string& from, const std::string& to) {
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

/// Overwrites bytes of a tensor in a safetensors file.
inline void patch_tensor(const std::string& file, const std::string& tensor, int64_t offset, const std::string& bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t length = 0;
  stream.read(reinterpret_cast<char*>(&length), sizeof length);
  std::string text(length, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(length));
  const Json header = Json::parse(text);
  ASSERT_TRUE(header.contains(tensor)) << tensor;
  stream.seekp(static_cast<std::streamoff>(8 + length) + header[tensor]["data_offsets"][0].get<int64_t>() + offset);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Edits the manifest; `file`'s entry is made true again, so that only what was broken on purpose is found.
inline void edit_manifest(const std::string& model, const std::function<void(Json&)>& edit) {
  const std::string path = model + "/bitloom.json";
  Json manifest = read_json(path);
  edit(manifest);
  std::ofstream(path) << dump_json(manifest);
}
inline void rehash(const std::string& model, const std::string& file) {
  edit_manifest(model, [&](Json& manifest) {
    const std::string path = model + "/" + file;
    manifest["files"][file] = {{"sha256", sha256_file(path)}, {"bytes", std::filesystem::file_size(path)}};
  });
}

}  // namespace bitloom::testing
