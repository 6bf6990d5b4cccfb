// Recipes that round what matrices read: what is written, what is loaded, what is computed, what is walked.
#include <gtest/gtest.h>

#include "forward/decoder.h"
#include "pipeline/walk_test_support.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using testing::CalibratedRun;
using testing::golden_model;
using testing::TempDir;

std::vector<float> hidden_of(Decoder& decoder) {
  std::vector<int32_t> tokens(12);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(3 * i + 1);
  const std::span<const float> hidden = decoder.forward(tokens, 1, static_cast<int64_t>(tokens.size()));
  return {hidden.begin(), hidden.end()};
}

std::vector<float> hidden_of(const std::string& path) {
  ThreadPool threads(2);
  Decoder decoder(Checkpoint::open(path), threads);
  return hidden_of(decoder);
}

// The directory says it, the graph knows it, the decoder does it: as if the formats had been set by hand.
TEST(Activations, OfARecipeAreAppliedWhereverTheModelRuns) {
  const TempDir dir;
  const std::string model = golden_model("llama");
  testing::quantize(model, dir.file("plain"), "int4-g16");
  testing::quantize(model, dir.file("rounded"), "int4-g16@int8-token");
  const Json config = read_json(dir.file("rounded") + "/config.json");
  const Json& activations = config["quantization_config"]["activations"];
  const auto source = Checkpoint::open(model);
  EXPECT_EQ(activations.size(), 4 * source->graph().blocks.size());
  EXPECT_EQ(activations["blocks.1.mlp_down"], "int8-token");
  EXPECT_FALSE(read_json(dir.file("plain") + "/config.json")["quantization_config"].contains("activations"));
  EXPECT_FALSE(testing::verify(dir.file("rounded")).empty());

  ThreadPool threads(2);
  Decoder by_hand(Checkpoint::open(dir.file("plain")), threads);
  const std::vector<float> plain = hidden_of(by_hand);
  for (int b = 0; b < static_cast<int>(source->graph().blocks.size()); ++b) {
    for (int input = 0; input < input_count(source->graph(), b); ++input) {
      by_hand.set_activation_format(b, input, parse_activation_format("int8-token"));
    }
  }
  EXPECT_EQ(hidden_of(dir.file("rounded")), hidden_of(by_hand));
  EXPECT_NE(hidden_of(dir.file("rounded")), plain);
}

// Later blocks see what the rounded inputs of earlier ones made; the first input of the first block sees no difference.
TEST(Activations, AreRoundedWhileTheModelIsWalked) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  CalibratedRun plain{model, "gptq+int3-g16", testing::three_chunks(model)};
  CalibratedRun rounded{model, "gptq+int3-g16@int4-token", testing::three_chunks(model)};
  plain.into(dir.file("plain")), rounded.into(dir.file("rounded"));
  const auto a = Checkpoint::open(dir.file("plain")), b = Checkpoint::open(dir.file("rounded"));
  const std::string first = "model.layers.0.self_attn.q_proj.weight", last = "model.layers.2.mlp.down_proj.weight";
  EXPECT_EQ(a->tensor(first).rows->decode_all(), b->tensor(first).rows->decode_all());
  EXPECT_NE(a->tensor(last).rows->decode_all(), b->tensor(last).rows->decode_all());
  // The same bytes however often it stops.
  testing::Listener stopped(20);
  EXPECT_THROW(rounded.into(dir.file("again"), stopped), std::runtime_error);
  rounded.into(dir.file("again"));
  testing::expect_same_files(testing::files_of(dir.file("rounded")), testing::files_of(dir.file("again")), "stopped");
}

// A source that rounds its inputs goes on to do so.
TEST(Activations, OfTheSourceStay) {
  const TempDir dir;
  testing::quantize(golden_model("llama"), dir.file("first"), "int8-row@int8-token");
  testing::quantize(dir.file("first"), dir.file("second"), "int4-g16");
  const Json first = read_json(dir.file("first") + "/config.json"),
             second = read_json(dir.file("second") + "/config.json");
  EXPECT_EQ(first["quantization_config"]["activations"], second["quantization_config"]["activations"]);
}

}  // namespace
}  // namespace bitloom
