// Recipes that round what matrices read: what is written, what is loaded, what is computed, what is walked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "forward/decoder.h"
#include "forward/test_inputs.h"
#include "forward/weights.h"
#include "ops/choose_isa.h"
#include "pipeline/walk_test_support.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using testing::CalibratedRun;
using testing::golden_model;
using ::testing::HasSubstr;
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

// Ranges found in the source's inputs hold for these alone.
TEST(Activations, OfTheSourceDoNotOutliveTransforms) {
  const TempDir dir;
  testing::quantize(golden_model("llama"), dir.file("first"), "int8-row@int8-tensor-at[3]");
  const auto data = testing::three_chunks(golden_model("llama"));
  for (const std::string transform : {"hadamard", "equalize", "smoothquant", "awq:2"}) {
    const CalibratedRun run{dir.file("first"), transform + "+int8-row", data};
    EXPECT_THAT(testing::refusal(ErrorKind::kUsage, [&] { run.into(dir.file("second")); }),
                AllOf(HasSubstr("recipe '" + transform + "+int8-row', step 1: " + transform + " changes the input '"),
                      HasSubstr("rounds to int8-tensor-at[3], a range found before that; name a format of activations, "
                                "such as int8-token")));
  }
  CalibratedRun{dir.file("first"), "smoothquant+int8-row@int8-token", data}.into(dir.file("named"));
  CalibratedRun{dir.file("first"), "gptq+int8-row", data}.into(dir.file("plain"));
  EXPECT_EQ(read_json(dir.file("plain") + "/config.json")["quantization_config"]["activations"]["blocks.1.mlp"],
            "int8-tensor-at[3]");
}

/// Median of the differences, as a share of the largest value.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<double> apart(a.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    apart[i] = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    most = std::max(most, std::abs(static_cast<double>(b[i])));
  }
  const auto middle = apart.begin() + static_cast<std::ptrdiff_t>(apart.size() / 2);
  std::nth_element(apart.begin(), middle, apart.end());
  return *middle / most;
}

// Kernels that round their inputs to 8 bits do not round again what a format has rounded: int8 tokens stay what they
// are, and of other formats exact kernels read.
TEST(Activations, AreNotRoundedAgainByKernels) {
  ThreadPool threads(2);
  const auto by = [&](const std::string& path, Activations activations) {
    Decoder decoder(Checkpoint::open(path), threads, activations);
    const std::span<const float> hidden = decoder.forward(std::vector<int32_t>{1, 4, 7, 10, 13, 16}, 1, 6);
    return std::vector<float>(hidden.begin(), hidden.end());  // of few tokens: every machine has kernels for them
  };
  for (const std::string recipe :
       {"int4-g16", "int4-g16@int8-token", "int4-g16@e4m3fn-token", "int8-row@mxfp4", "int8-row@int8-token-had64"}) {
    const TempDir dir;
    testing::quantize(testing::kDemo, dir.file("q"), recipe);
    const std::vector<float> a = by(dir.file("q"), Activations::kInt8), b = by(dir.file("q"), Activations::kExact);
    if (recipe == "int4-g16") {
      EXPECT_GT(difference(a, b), 1e-4);
    } else if (recipe.ends_with("@int8-token")) {
      // Sums are made in another order; a rounded value that lies at a tie may then go the other way, by one step.
      EXPECT_LT(difference(a, b), 1e-5);
    } else {
      EXPECT_EQ(a, b) << recipe;
    }
  }
}

// What is rounded in a frame's coordinates is multiplied there by kernels for 8-bit inputs, and decoded back elsewhere.
TEST(Activations, AreReadWhereTheirFrameRoundsThem) {
  ThreadPool threads(2);
  const TempDir dir;
  const PackOptions fast = {best_isa(), Activations::kInt8};
  for (const std::string recipe :
       {"int4-row+frame-in64@int4-token-had64", "int4-row+frame-infull@int4-token-clip0.9-hadfull"}) {
    testing::quantize(testing::kDemo, dir.file("q"), recipe);
    const auto model = Checkpoint::open(dir.file("q"));
    EXPECT_EQ(load_weights(*model, fast).blocks[0].rotated.size(), model->graph().blocks[0].inputs.size());
    std::vector<float> logits[2];
    for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
      Decoder decoder(model, threads, activations);
      logits[activations == Activations::kInt8] = hidden_of(decoder);
    }
    EXPECT_NE(logits[0], logits[1]) << "not one sum in another order: the kernels did not run";
    // A rounded value that lies at a tie may go the other way, by one step.
    EXPECT_LT(difference(logits[0], logits[1]), 1e-5) << recipe;
    std::filesystem::remove_all(dir.file("q"));
  }
  for (const std::string other :
       {"int4-row+frame-in64-seed1@int4-token-had64", "int4-row+frame-in64@int4-token-hadfull"}) {
    testing::quantize(testing::kDemo, dir.file("q"), other);
    EXPECT_TRUE(load_weights(*Checkpoint::open(dir.file("q")), fast).blocks[0].rotated.empty()) << other;
    std::filesystem::remove_all(dir.file("q"));
  }
}

// The manifest says what multiplies rounded inputs, and the decoder the same: integers where a token is a multiple of
// integers and the weights have a kernel for such, else exact products.
TEST(Activations, TheManifestSaysWhatMultipliesThem) {
  const auto layers = static_cast<int64_t>(linear_sites(Checkpoint::open(testing::kDemo)->graph()).size());
  const std::vector<std::pair<std::string, int64_t>> integers = {{"int8-row@int8-token", layers},
                                                                 {"int4-g256@int8-token", layers},
                                                                 {"int4-row+frame-in64@int4-token-had64", layers},
                                                                 {"e2m1-g256@e4m3fn-token", 0},
                                                                 {"int8-row@int8-asym-token", 0},
                                                                 {"int4-row@int4-token-had64", 0},
                                                                 {"int4-row+frame-in64@int8-token", 0}};
  ThreadPool threads(2);
  for (const auto& [recipe, count] : integers) {
    const TempDir dir;
    testing::quantize(testing::kDemo, dir.file("q"), recipe);
    const Json products = read_json(dir.file("q") + "/bitloom.json")["products"];
    EXPECT_EQ(products["integers"], count) << recipe;
    EXPECT_EQ(products["exact"], layers - count) << recipe;
    EXPECT_EQ(products["isa"], name_of(isa_from_environment()));
    const auto model = Checkpoint::open(dir.file("q"));
    EXPECT_EQ(Decoder(model, threads, Activations::kInt8).rounded_products().integers, count) << recipe;
    EXPECT_EQ(Decoder(model, threads).rounded_products().integers, 0) << recipe;
  }
}

// Keys and values lie in the cache as they were rounded: the same, one token at a time.
TEST(Activations, OfAttentionAreThoseOfTheCache) {
  const std::string operands = "+kv:int4-asym-token-had8+queries:int8-token+probabilities:int8-asym-token";
  for (const std::string name : {"llama", "gpt_neox", "deepseek_v2", "gpt_oss"}) {
    const TempDir dir;
    testing::quantize(golden_model(name), dir.file("first"), "int8-row" + operands);
    testing::quantize(dir.file("first"), dir.file("q"), "int8-row");  // the source's formats stay
    testing::quantize(golden_model(name), dir.file("plain"), "int8-row");
    const auto model = Checkpoint::open(dir.file("q"));
    EXPECT_EQ(to_string(model->graph().blocks.back().attention.format_of(Operand::kKeys).value()),
              "int4-asym-token-had8");
    ThreadPool threads(2);
    Decoder decoder(model, threads);
    const std::vector<float> whole = hidden_of(decoder);
    KvCache cache(model->graph(), 12);
    std::vector<float> stepped;
    for (int32_t token = 1; token < 37; token += 3) {
      const std::span<const float> hidden = decoder.step(std::span(&token, 1), cache);
      stepped.insert(stepped.end(), hidden.begin(), hidden.end());
    }
    EXPECT_LT(difference(stepped, whole), 1e-5) << name;
    EXPECT_GT(difference(whole, hidden_of(dir.file("plain"))), 1e-4) << name;
  }
}

// Behind the attention; RangesOfCalibration looks at later blocks.
TEST(Activations, OfAttentionAreRoundedWhileTheModelIsWalked) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  CalibratedRun{model, "gptq+int3-g16", testing::three_chunks(model)}.into(dir.file("plain"));
  CalibratedRun{model, "gptq+int3-g16+kv:int2-token", testing::three_chunks(model)}.into(dir.file("rounded"));
  const auto a = Checkpoint::open(dir.file("plain")), b = Checkpoint::open(dir.file("rounded"));
  const std::string first = "model.layers.0.self_attn.q_proj.weight", output = "model.layers.0.self_attn.o_proj.weight";
  EXPECT_EQ(a->tensor(first).rows->decode_all(), b->tensor(first).rows->decode_all());
  EXPECT_NE(a->tensor(output).rows->decode_all(), b->tensor(output).rows->decode_all());
}

ActivationFormat format_in(const std::string& path, int block, int input) {
  const auto model = Checkpoint::open(path);
  const std::optional<ActivationFormat> format = input_at(model->graph(), block, input).activations;
  EXPECT_TRUE(format) << input;
  return format.value_or(ActivationFormat());
}

// Ranges found beforehand: of what every input really gets from the quantized, rounded model before it, its keys and
// values rounded too.
TEST(Activations, RangesOfCalibration) {
  const std::string model = golden_model("llama");
  for (const char* recipe : {"int8-row@int8-tensor-absmax", "int8-row@int8-tensor-absmax+kv:int2-token"}) {
    const TempDir dir;
    const CalibratedRun run{model, recipe, testing::some_data(model, {24})};
    run.into(dir.file("q"));
    EXPECT_FALSE(testing::verify(dir.file("q")).empty());
    const auto quantized = Checkpoint::open(dir.file("q"));
    ThreadPool threads(2);
    int seen = 0;
    testing::visit_inputs(*quantized, run.data.sequences[0], 1, 24, threads, [&](int block, int input, auto x) {
      const ActivationFormat format = format_in(dir.file("q"), block, input);
      float most = 0;
      for (const float value : x) most = std::max(most, std::abs(value));
      EXPECT_EQ(format.range.kind, ActivationRange::Kind::kFixed);
      EXPECT_NEAR(format.range.high, most, 1e-5f * most) << recipe << ": " << block << " " << input;
      ++seen;
    });
    EXPECT_EQ(seen, static_cast<int>(4 * quantized->graph().blocks.size()));
  }
}

// Every rule, and the same bytes however often it stops, in whichever order.
TEST(Activations, RangesComeOutOfTheJournal) {
  const std::string model = golden_model("llama");
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    const TempDir dir;
    CalibratedRun run{model, "smoothquant+gptq+int4-g16@int8-asym-tensor-p99.5", testing::three_chunks(model)};
    run.options.order = order;
    run.into(dir.file("whole"));
    testing::Listener stopped(20);
    EXPECT_THROW(run.into(dir.file("again"), stopped), std::runtime_error);
    run.into(dir.file("again"));
    testing::expect_same_files(testing::files_of(dir.file("whole")), testing::files_of(dir.file("again")), "stopped");
    const ActivationFormat format = format_in(dir.file("whole"), 1, 3);
    EXPECT_LT(format.range.low, 0);
    EXPECT_GT(format.range.high, 0);
  }
  for (const std::string rule : {"e4m3fn-tensor-mse", "int8-tensor-kl", "nvfp4-absmax"}) {
    const TempDir dir;
    CalibratedRun{model, "int8-row@" + rule, testing::three_chunks(model)}.into(dir.file("q"));
    const float high = format_in(dir.file("q"), 0, 0).range.high;
    EXPECT_GT(high, 0) << rule;
    CalibratedRun{model, "int8-row@" + rule.substr(0, rule.rfind('-')) + "-absmax", testing::three_chunks(model)}.into(
        dir.file("most"));
    EXPECT_LE(high, format_in(dir.file("most"), 0, 0).range.high) << rule;
  }
  const TempDir dir;
  EXPECT_THAT(
      testing::refusal(ErrorKind::kUsage, [&] { testing::quantize(model, dir.file("q"), "int8-row@int8-tensor-mse"); }),
      HasSubstr("needs calibration data"));
}

// Formats, ranges and shifts searched with the weights that read them; the same bytes however often it stops.
TEST(Activations, AreSearchedWithTheWeights) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  const CalibratedRun run{model, "fpq:tokens=40+e2m1-row@e2m1-tensor-joint-shift", testing::three_chunks(model)};
  run.into(dir.file("whole"));
  testing::Listener stopped(20);
  EXPECT_THROW(run.into(dir.file("again"), stopped), std::runtime_error);
  run.into(dir.file("again"));
  testing::expect_same_files(testing::files_of(dir.file("whole")), testing::files_of(dir.file("again")), "stopped");
  EXPECT_FALSE(testing::verify(dir.file("whole")).empty());
  const auto quantized = Checkpoint::open(dir.file("whole"));
  const Graph& graph = quantized->graph();
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (int input = 0; input < input_count(graph, b); ++input) {
      const ActivationFormat format = format_in(dir.file("whole"), b, input);
      EXPECT_EQ(bits_of(format.format), 4);
      EXPECT_EQ(static_cast<int64_t>(format.shifts.size()), input_at(graph, b, input).width);
      EXPECT_GT(*std::max_element(format.shifts.begin(), format.shifts.end()), 0) << b << " " << input;
    }
  }
  // With weights that nothing searches, of an expert that no token reached, and of gradients' importance.
  CalibratedRun{model, "gptq+int4-g16@e4m3fn-tensor-output", testing::three_chunks(model)}.into(dir.file("gptq"));
  EXPECT_EQ(format_in(dir.file("gptq"), 1, 2).range.kind, ActivationRange::Kind::kFixed);
  // Weights that are chosen by themselves are no part of the search: as before nearest rounding.
  const auto range_before = [&](const std::string& weights) {
    CalibratedRun{model, weights + "@e2m1-tensor-output", testing::three_chunks(model)}.into(dir.file(weights));
    return format_in(dir.file(weights), 0, 0);
  };
  EXPECT_EQ(range_before("fpq:search=weights+e2m1-row"), range_before("e2m1-row"));
  const std::string experts = golden_model("qwen2_moe");
  const QuantizeResult result =
      CalibratedRun{experts, "fpq+e2m1-row@e2m1-tensor-joint-shift", testing::some_data(experts, {1})}.into(
          dir.file("experts"));
  EXPECT_THAT(result.remarks, ::testing::Contains(HasSubstr("no range for e2m1-tensor-joint-shift")));
  CalibratedRun{model, "fpq:fisher+e2m1-row@e2m1-tensor-joint-shift", testing::three_chunks(model)}.into(
      dir.file("fisher"));
  EXPECT_FALSE(testing::verify(dir.file("fisher")).empty());
  CalibratedRun{model, "fpq+e2m1-row@e2m1-tensor-joint-shift", testing::three_chunks(model)}.into(dir.file("alike"));
  const auto weights_of = [&](const std::string& name) {
    const auto checkpoint = Checkpoint::open(dir.file(name));
    std::vector<std::vector<float>> weights;
    for (const Site& site : linear_sites(checkpoint->graph()))
      weights.push_back(checkpoint->matrix(*site.linear)->decode_all());
    return weights;
  };
  EXPECT_NE(weights_of("fisher"), weights_of("alike"));
  EXPECT_THAT(
      testing::refusal(ErrorKind::kUsage,
                       [&] { testing::quantize(model, dir.file("q"), "int8-row@e2m1-tensor-at[3]-shift[01]"); }),
      HasSubstr("2 shifts for the 32 channels of block 0, attention"));
}

// A journal tells ranges, or it is damaged.
TEST(Activations, OfTheJournalAreChecked) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  const CalibratedRun run{model, "int8-row@int8-tensor-absmax", testing::three_chunks(model)};
  testing::Listener complete;
  run.into(dir.file("whole"), complete);
  testing::Listener stopped(complete.calls - 1);
  EXPECT_THROW(run.into(dir.file("q"), stopped), std::runtime_error);
  const std::string path = dir.file("q.journal/block-0000/block.json");
  const Json whole = read_json(path);
  const auto refusal_of = [&](const auto& spoil) {
    Json spoilt = whole;
    spoil(spoilt["activations"]);
    std::ofstream(path) << dump_json(spoilt);
    return testing::refusal(ErrorKind::kRefused, [&] { run.into(dir.file("q")); });
  };
  for (const std::string text : {"", "int8-tensor-kl", "e4m3fn-tensor-at[3]"}) {
    const std::string kind = text.ends_with(']') ? "e4m3fn-tensor-at[...]" : text;
    EXPECT_THAT(refusal_of([&](Json& a) { text.empty() ? void(a.erase("2")) : void(a["2"] = text); }),
                AllOf(HasSubstr("block 0, mlp: its inputs' format is " + (text.empty() ? "missing" : kind)),
                      HasSubstr("expected what came of int8-tensor-absmax; add --restart to begin anew")));
  }
  EXPECT_THAT(refusal_of([](Json& a) { a["2x"] = a["2"]; }),
              AllOf(HasSubstr("block-0000"), HasSubstr("activations of input '2x'"), HasSubstr("--restart")));
}

// Of order none all statistics are the float model's: transforms find the same, whatever is rounded.
TEST(Activations, AreNotRoundedInFloatStatistics) {
  const std::string model = golden_model("llama");
  const TempDir dir;
  for (const std::string name : {"plain", "rounded"}) {
    CalibratedRun run{model, "smoothquant+gptq+int4-g16", testing::three_chunks(model)};
    if (name == "rounded") run.recipe += "@int4-token";
    run.options.order = WalkOrder::kNone;
    run.into(dir.file(name));
  }
  const auto a = Checkpoint::open(dir.file("plain")), b = Checkpoint::open(dir.file("rounded"));
  for (const Site& site : linear_sites(a->graph())) {
    const std::string& name = site.linear->weight;
    EXPECT_EQ(a->tensor(name).rows->decode_all(), b->tensor(name).rows->decode_all()) << name;
  }
}

// An expert that no token reached has no range.
TEST(Activations, WhatCalibrationNeverSawIsRoundedByTokens) {
  const TempDir dir;
  const std::string model = golden_model("qwen2_moe");
  const QuantizeResult result =
      CalibratedRun{model, "int8-row@int8-tensor-absmax", testing::some_data(model, {1})}.into(dir.file("q"));
  const auto about_ranges = HasSubstr("no range for int8-tensor-absmax");
  ASSERT_THAT(result.remarks, ::testing::Contains(about_ranges));
  const auto quantized = Checkpoint::open(dir.file("q"));
  int by_tokens = 0, fixed = 0;
  for (int b = 0; b < static_cast<int>(quantized->graph().blocks.size()); ++b) {
    for (int input = 0; input < input_count(quantized->graph(), b); ++input) {
      const ActivationFormat format = format_in(dir.file("q"), b, input);
      format.range.kind == ActivationRange::Kind::kFixed ? ++fixed : ++by_tokens;
    }
  }
  EXPECT_EQ(by_tokens, std::count_if(result.remarks.begin(), result.remarks.end(), [&](const std::string& remark) {
              return ::testing::Matches(about_ranges)(remark);
            }));
  EXPECT_GT(fixed, 0);
}

}  // namespace
}  // namespace bitloom
