// `bitloom bench` from outside: flags, fields, the table. No figure of it is tested, only how they belong together.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/simd/cpu_features.h"
#include "base/test_data.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;

const std::vector<std::string> kQuick = {"bench", "assets/demo", "-p", "8", "-n", "2", "-r", "2", "-t", "1"};

void expect_spread(const json& spread) {
  EXPECT_GT(spread.at("low"), 0);
  EXPECT_LE(spread.at("low"), spread.at("median"));
  EXPECT_LE(spread.at("median"), spread.at("high"));
}

TEST(BenchVerb, FieldsBelongTogether) {
  const json record = run_json(kQuick);
  EXPECT_EQ(record.at("model"), "assets/demo");
  EXPECT_EQ(record.at("format"), "BF16");
  EXPECT_EQ(record.at("threads"), 1);
  EXPECT_EQ(record.at("prompt_tokens"), 8);
  EXPECT_EQ(record.at("tokens"), 2);
  EXPECT_EQ(record.at("repetitions"), 2);
  EXPECT_EQ(record.at("bytes"), run_json({"info", "assets/demo"}).at("bytes"));
  EXPECT_EQ(record.at("bytes_per_token"), record.at("bytes")) << "its head is tied: all weights are read";
  expect_spread(record.at("prompt_tokens_per_second"));
  expect_spread(record.at("tokens_per_second"));
  const double bytes = record.at("bytes_per_token"), rate = record.at("tokens_per_second").at("median");
  EXPECT_DOUBLE_EQ(record.at("weight_bytes_per_second"), bytes * rate);
  EXPECT_GT(record.at("read_bandwidth"), 0);
  EXPECT_EQ(record.at("kv"), "fp32");
  EXPECT_FALSE(record.contains("kv_kl"));
  EXPECT_GE(record.at("bandwidth_share").get<double>() * 1.0001,
            bytes * record.at("tokens_per_second").at("low").get<double>() / record.at("read_bandwidth").get<double>());
  EXPECT_GT(record.at("dot_peak"), 0);
  EXPECT_GT(record.at("dot_share"), 0);
}

// Prompts round their inputs where the processor multiplies BF16, and then alone.
TEST(BenchVerb, PromptsOfBf16WeightsAreMeasuredByWhatMultipliesThem) {
  for (const Isa isa : every_isa()) {
    if (!machine_has(isa)) continue;
    const std::string with = "BITLOOM_ISA=" + std::string(name_of(isa)) + " \"$BITLOOM\" ";
    const bool bf16 = isa == Isa::kAvx512Bf16;
    const Outcome bench = run_shell(with + "bench assets/demo -p 16 -n 1 -r 1 -t 1 -o json");
    ASSERT_EQ(bench.code, 0) << bench.err;
    const json record = json::parse(bench.out);
    EXPECT_EQ(record.at("dot_peak_of"), bf16 ? "BF16" : "fp32") << with;
    EXPECT_EQ(record.at("fast_kl") > 0, bf16) << with;
    EXPECT_LT(record.at("fast_kl"), 5e-3) << with;
    const Outcome kl =
        run_shell(with + "eval kl --fast assets/demo --ref assets/demo --text assets/demo/evaluation.txt" +
                  " -c 32 --windows 2 --json");
    ASSERT_EQ(kl.code, 0) << kl.err;
    // As the errors' squares: of BF16 some 2^-18, of fp32 sums in another order, with passes of a few tokens, 2^-35.
    EXPECT_EQ(json::parse(kl.out).at("kl_mean") > 1e-8, bf16) << with;
    EXPECT_LT(json::parse(kl.out).at("kl_mean"), 5e-3) << with;
  }
}

TEST(BenchVerb, ABatchIsMeasuredBesideOneSequence) {
  const json record =
      run_json({"bench", "assets/demo", "-p", "0", "-n", "2", "-r", "1", "-t", "1", "-b", "3", "--json"});
  EXPECT_EQ(record.at("batch"), 3);
  expect_spread(record.at("batch_tokens_per_second"));
  EXPECT_NEAR(record.at("batch_gain").at("median"),
              record.at("batch_tokens_per_second").at("median").get<double>() /
                  record.at("tokens_per_second").at("median").get<double>(),
              1e-9);
}

// A token after d others reads d + 1 keys and values.
TEST(BenchVerb, TheCacheIsCounted) {
  const auto cache = [](const std::string& kv, const std::string& depth) {
    const json record = run_json(
        {"bench", "assets/demo", "-p", "0", "-n", "1", "-d", depth, "-r", "1", "-t", "1", "--kv", kv, "--json"});
    EXPECT_EQ(record.at("kv"), kv);
    EXPECT_EQ(record.contains("kv_kl"), kv != "fp32");
    if (kv != "fp32") {
      EXPECT_GT(record.at("kv_kl"), 0);
      EXPECT_LT(record.at("kv_kl"), 5e-3);
    }
    return record.at("cache_bytes_per_token").get<int64_t>();
  };
  const int64_t one = cache("fp32", "0");
  EXPECT_GT(one, 0);
  EXPECT_EQ(cache("fp32", "99"), 100 * one);
  EXPECT_EQ(cache("fp16", "99"), 50 * one);
  EXPECT_EQ(cache("bf16", "0"), one / 2);
  EXPECT_GT(cache("int8", "99"), 25 * one);
  EXPECT_LT(cache("int8", "99"), 32 * one);
  EXPECT_EQ(cache("fp8", "99"), cache("int8", "99"));
}

TEST(BenchVerb, OtherVerbsKeepRoundedKeysAndValuesToo) {
  const std::vector<std::string> run = {"run",    "assets/demo", "-p",    "Once upon a time", "-n", "8",
                                        "--temp", "0",           "--json"};
  for (const std::string kv : {"fp16", "int8", "fp8"}) {
    std::vector<std::string> with = run;
    with.insert(with.end(), {"--kv", kv});
    EXPECT_EQ(run_json(with).at("tokens"), 8);
  }
  const json kl = run_json({"eval", "kl", "assets/demo", "--ref", "assets/demo", "--kv", "int8", "--text",
                            "assets/demo/evaluation.txt", "-c", "32", "--windows", "2", "--json"});
  EXPECT_GT(kl.at("kl_mean"), 0);
  EXPECT_LT(kl.at("kl_mean"), 5e-3);
}

// Tokens are decoded with 8-bit inputs by every set of instructions; prompts in groups of whole blocks alone.
TEST(BenchVerb, RoundedInputsCostSomethingAlsoWhereNoKernelServesPrompts) {
  const TempDir dir;
  for (const std::string recipe : {"int4-g32", "int4-g12"}) {
    const std::string path = dir.file(recipe);
    ASSERT_EQ(run_bitloom({"quantize", "assets/demo", path, "--recipe", recipe}).code, 0);
    for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512Vnni}) {
      if (!machine_has(isa)) continue;
      const std::string with = "BITLOOM_ISA=" + std::string(name_of(isa)) + " \"$BITLOOM\" ";
      const Outcome bench = run_shell(with + "bench " + path + " -p 8 -n 2 -r 1 -t 1 -o json");
      ASSERT_EQ(bench.code, 0) << bench.err;
      const json record = json::parse(bench.out);
      EXPECT_GT(record.at("fast_kl"), 0) << with << recipe;
      EXPECT_LT(record.at("fast_kl"), 0.02) << with << recipe;
      const bool prompts = recipe == "int4-g32";
      EXPECT_EQ(record.at("dot_peak_of"), prompts ? "8-bit" : "fp32") << with << recipe;
      EXPECT_GT(record.at("dot_share"), 0) << with << recipe;
      const Outcome kl = run_shell(with + "eval kl --fast " + path + " --ref " + path +
                                   " --text assets/demo/evaluation.txt -c 32 --windows 2 --json");
      ASSERT_EQ(kl.code, 0) << kl.err;
      EXPECT_GT(json::parse(kl.out).at("kl_mean"), 0) << with << recipe;
      EXPECT_LT(json::parse(kl.out).at("kl_mean"), 0.02) << with << recipe;
    }
  }
}

// What rounds its inputs is shown, and what multiplies them is said.
TEST(BenchVerb, SaysWhatMultipliesRoundedInputs) {
  const TempDir dir;
  const std::string path = dir.file("q");
  ASSERT_EQ(
      run_bitloom({"quantize", "assets/demo", path, "--recipe", "int8-row@int8-token+kv:int4-asym-token-had4096"}).code,
      0);
  const Outcome info = run_bitloom({"info", path});
  EXPECT_NE(info.out.find("keys int4-asym-token-had4096 at "), std::string::npos) << info.out;
  std::vector<std::string> words = kQuick;
  words[1] = path;
  const json products = run_json(words).at("products");
  EXPECT_GT(products.at("integers"), 0);
  EXPECT_EQ(products.at("exact"), 0);
  EXPECT_EQ(run_json({"run", path, "-p", "Once", "-n", "2", "--json"}).at("products"), products);
  const json exact = run_json({"run", path, "-p", "Once", "-n", "2", "--exact", "--json"}).at("products");
  EXPECT_EQ(exact.at("integers"), 0);
  EXPECT_EQ(exact.at("exact"), products.at("integers"));
  const std::string sentence =
      fmt::format("{0} of {0} layers with rounded inputs by ", products.at("integers").get<int>());
  EXPECT_NE(run_bitloom(words).out.find(sentence + "integer kernels"), std::string::npos);
  const Outcome run = run_bitloom({"run", path, "-p", "Once", "-n", "2", "--exact"});
  EXPECT_NE(run.err.find(sentence + "exact products of the rounded values"), std::string::npos) << run.err;
  EXPECT_FALSE(run_json(kQuick).contains("products"));
}

TEST(BenchVerb, PrintsAMarkdownTableOrJson) {
  std::vector<std::string> words = kQuick;
  const Outcome table = run_bitloom(words);
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(table.out.rfind("| model | format | MiB | threads | test | tokens/s | rate | of the roof |\n", 0), 0u)
      << table.out;
  EXPECT_NE(table.out.find("| assets/demo | BF16 | 6.00 | 1 | prompt of 8 | "), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("| 2 tokens | "), std::string::npos) << table.out;
  words.insert(words.end(), {"-o", "json"});
  EXPECT_EQ(json::parse(run_bitloom(words).out).at("repetitions"), 2);
}

TEST(BenchVerb, MistakesAreTold) {
  expect_error(run_bitloom({"bench", "assets/demo", "-o", "xml"}), 2, {"--output", "'xml'", "allowed: md, json"});
  expect_error(run_bitloom({"bench", "assets/demo", "--kv", "int7"}), 2,
               {"--kv", "'int7'", "allowed: fp32, fp16, bf16, int8, fp8"});
  expect_error(run_bitloom({"bench", "assets/demo", "-r", "0"}), 2, {"--repetitions", "'0' is no integer from 1"});
  expect_error(run_bitloom({"bench", "assets/demo", "-p", "0", "-n", "0"}), 2, {"nothing to measure"});
  expect_error(run_bitloom({"bench", "assets/demo", "-p", "257"}), 3,
               {"-p 257 is more than the model's context of 256"});
  expect_error(run_bitloom({"bench", "assets/demo", "-n", "300"}), 3,
               {"-n 300 is more than the model's context of 256"});
  expect_error(run_bitloom({"bench", "assets/demo", "-n", "100", "-d", "200"}), 3,
               {"-n 100 after -d 200 is more than the model's context of 256"});
}

}  // namespace
}  // namespace bitloom::testing
