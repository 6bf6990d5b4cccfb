// Configurations and files that lie: whatever they say, the answer is a graph or an Error, never a crash.

#include "base/rng.h"
#include "base/test_data.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/test_checkpoint.h"

namespace bitloom {
namespace {

using testing::NameSet;
using testing::TempDir;
using testing::write_file;

/// True when `body` threw an Error; any other exception fails the test by itself.
bool is_refused(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused) << error.what();
    return true;
  }
  return false;
}

TEST(Hostile, EveryKeyMayHoldAnything) {
  const Json values = Json::parse(R"([null, true, false, -1, 0, 1, 3, 0.5, 1e300, -1e300, 18446744073709551615,
                                      1073741824, "x", "", [], [1, 2], ["x"], [[]], {}, {"rope_type": "yarn"},
                                      {"rope_type": "longrope", "short_factor": [1e300]}, {"quant_method": 3}])");
  int refused = 0, built = 0;
  for (const Json& item : read_json(testing::golden("model/graphs.json"))) {
    std::set<std::string> keys = {"rope_scaling", "text_config",       "quantization_config",  "attention_types",
                                  "rope_theta",   "max_window_layers", "partial_rotary_factor"};
    for (const auto& [key, value] : item["config"].items()) keys.insert(key);
    for (const std::string& key : keys) {
      for (const Json& value : values) {
        Json config = item["config"];
        config[key] = value;
        const bool no = is_refused([&] { expected_tensors(build_graph(config, "config.json", NameSet())); });
        (no ? refused : built) += 1;
      }
    }
  }
  EXPECT_GT(refused, 2000);
  EXPECT_GT(built, 2000);
}

TEST(Hostile, GgufBytesMayBeAnything) {
  const TempDir dir;
  Rng rng(1, 77);
  int refused = 0;
  for (const char* name : {"llama", "gemma3", "phi3", "gpt2", "gptneox", "gpt-oss", "deepseek3", "deepseek3_split"}) {
    const std::string good = read_text(testing::golden(std::string("model/gguf/") + name + ".gguf"));
    for (int i = 0; i < 150; ++i) {
      std::string bad = good;
      // Metadata and tensor infos lie in the first two kilobytes.
      for (int flips = 0; flips < 2; ++flips) bad[rng.next_u32() % 2048] = static_cast<char>(rng.next_u32());
      write_file(dir.file("bad.gguf"), bad);
      refused += is_refused([&] {
        const auto checkpoint = Checkpoint::open(dir.file("bad.gguf"));
        for (const CheckpointTensor& tensor : checkpoint->tensors()) tensor.rows->decode_all();
        checkpoint->companion_files();
      });
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace bitloom
