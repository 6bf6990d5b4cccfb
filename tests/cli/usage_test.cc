// Wrong use: exit code 2, one line that says what would be right.

#include <gtest/gtest.h>

#include "base/test_data.h"
#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

struct WrongUse {
  std::string command;
  std::vector<std::string> parts;
};

class Usage : public ::testing::TestWithParam<WrongUse> {};

TEST_P(Usage, IsToldInOneLine) { expect_error(run_bitloom(split_command(GetParam().command)), 2, GetParam().parts); }

INSTANTIATE_TEST_SUITE_P(
    WrongUse, Usage,
    ::testing::Values(
        WrongUse{"quantise assets/demo", {"unknown verb 'quantise'", "did you mean 'quantize'?", "tokenize"}},
        WrongUse{"--verison", {"unknown flag --verison", "did you mean '--version'?"}},
        WrongUse{"eval", {"needs one of: ppl, kl"}},
        WrongUse{"eval pll assets/demo", {"unknown measure 'pll'", "did you mean 'ppl'?"}},
        WrongUse{"help quantiz", {"unknown verb 'quantiz'", "did you mean 'quantize'?"}},
        WrongUse{"quantize", {"quantize: MODEL is required", "'" BITLOOM_PROGRAM " quantize --help'"}},
        WrongUse{"quantize a", {"OUT is required"}},
        WrongUse{"quantize a b --recpie int4", {"unknown flag --recpie", "did you mean '--recipe'?"}},
        WrongUse{"quantize a b --recipe=int4 --shard-sise=5G", {"unknown flag --shard-sise", "'--shard-size'"}},
        WrongUse{"quantize a b --recipe", {"--recipe needs a value"}},
        WrongUse{"quantize a b c --recipe int4", {"unexpected argument 'c'"}},
        WrongUse{"run assets/demo", {"-f - reads standard input"}},
        WrongUse{"run assets/demo Once", {"unexpected argument 'Once'; a text goes behind -p"}},
        WrongUse{"quantize assets/demo b --recipe int4 --shard-size 5X", {"--shard-size", "5X"}},
        WrongUse{"quantize assets/demo /tmp/out.gguf --recipe int4-g32", {"/tmp/out.gguf", "no GGUF file"}},
        WrongUse{"quantize assets/demo /tmp/out.GGUF/ --recipe int4-g32 --dry-run", {"/tmp/out.GGUF/", "no GGUF file"}},
        WrongUse{"quantize assets/demo /tmp/out.safetensors --recipe int4-g32", {"no .safetensors file"}},
        WrongUse{"run assets/demo -p x --n-predict 3", {"unknown flag --n-predict: it is --tokens here"}},
        WrongUse{"run assets/demo -p x --max_new_tokens=3", {"unknown flag --max_new_tokens: it is --tokens here"}},
        WrongUse{"run assets/demo -p x -ngl 99", {"unknown flag -ngl: bitloom computes on the CPU alone"}},
        WrongUse{"run assets/demo -cnv -p x", {"unknown flag -cnv: it is --chat here"}},
        WrongUse{"eval ppl assets/demo --text x --ctx-size 64", {"unknown flag --ctx-size: it is --context here"}},
        WrongUse{"quantize assets/demo /tmp/out --nsamples 3", {"unknown flag --nsamples: it is --samples here"}},
        WrongUse{"run assets/demo -p x -p y", {"--prompt is given twice"}},
        WrongUse{"run assets/demo -m assets/demo -p x", {"MODEL is given twice"}},
        WrongUse{"quantize assets/demo /tmp/none -r q4_k_m", {"'q4_k_m'", "int4-g32-asym"}},
        WrongUse{"recipes fp8", {"'fp8'", "mxfp8e4m3"}}, WrongUse{"recipes awk", {"did you mean 'awq'?"}},
        WrongUse{"eval ppl assets/demo", {"--text is required"}},
        WrongUse{"eval ppl assets/demo --text assets/demo/evaluation.txt --protocol gtpq",
                 {"gtpq", "gptq", "llamacpp", "rolling"}},
        WrongUse{"eval ppl assets/demo --text assets/demo/evaluation.txt --text-format csv",
                 {"csv", "plain", "hf-rows", "jsonl:FIELD"}},
        WrongUse{"eval ppl assets/demo --text assets/demo/evaluation.txt --bos maybe",
                 {"maybe", "auto", "none", "always"}},
        WrongUse{"eval ppl assets/demo --text assets/demo/evaluation.txt -c 1",
                 {"--context", "'1' is no integer from 2"}},
        WrongUse{"eval kl assets/demo --text assets/demo/evaluation.txt", {"--ref", "--save-ref"}},
        WrongUse{"eval kl assets/demo --ref assets/demo --ref-size 1M --text assets/demo/evaluation.txt",
                 {"--ref-size", "--save-ref"}},
        WrongUse{"eval kl assets/demo --save-ref /tmp/none.ref --ref-size lots --text assets/demo/evaluation.txt",
                 {"--ref-size", "lots"}},
        WrongUse{"compare --ref assets/demo --text assets/demo/evaluation.txt", {"compare: no MODEL"}},
        WrongUse{"compare assets/demo --text assets/demo/evaluation.txt", {"--ref", "--per-byte"}},
        WrongUse{"compare assets/demo --per-byte --windows 3 --text assets/demo/evaluation.txt",
                 {"--per-byte", "--windows 3"}},
        WrongUse{"compare assets/demo --ref assets/demo --text assets/demo/evaluation.txt --tasks story_ending",
                 {"story_ending", "story_endings"}},
        WrongUse{"compare assets/demo --ref assets/demo --text assets/demo/evaluation.txt --arithmetic few",
                 {"--arithmetic few"}},
        WrongUse{"compare --json assets/demo --ref assets/demo --text assets/demo/evaluation.txt",
                 {"--json assets/demo", ".json", "models stand before"}},
        WrongUse{"eval tasks assets/demo", {"--tasks is required", "arc_easy, boolq, gsm8k"}},
        WrongUse{"eval tasks assets/demo --tasks story_ending",
                 {"unknown task 'story_ending'", "did you mean 'story_endings'?"}},
        WrongUse{"eval tasks assets/demo --tasks piqa", {"no piqa.jsonl in", "--data DIR"}},
        WrongUse{"run assets/demo", {"-p TEXT or -f FILE is required"}},
        WrongUse{"run assets/demo -p x -f y", {"--prompt excludes --file"}},
        WrongUse{"run assets/demo -p x --system y", {"--system needs --chat"}},
        WrongUse{"run assets/demo -p x -n 0", {"--tokens", "'0' is no integer of at least 1"}},
        WrongUse{"run assets/demo -p x -t many", {"--threads", "'many' is no integer from 1 to 1024"}},
        WrongUse{"run assets/demo -p x --temp hot", {"--temp: 'hot' is no number"}},
        WrongUse{"run assets/demo -p x --top-p 1.5", {"top", "1.5"}},
        WrongUse{"tokenize assets/demo -p x --decode", {"'x' is no token id", "0 to 4095"}},
        WrongUse{"tokenize assets/demo -p 4096 --decode", {"'4096' is no token id"}},
        WrongUse{"formats e2m7", {"unknown format 'e2m7'", "did you mean"}},
        WrongUse{"formats e0m3 --sqnr gaussian", {"'e0m3' has no exponent bits", "int4-narrow", "e1m2"}},
        WrongUse{"formats e4m33 --sqnr gaussian", {"unknown format 'e4m33'", "did you mean 'e4m3'?"}},
        WrongUse{"formats --sqnr outlier", {"--sqnr 'outlier'", "did you mean 'outliers'?", "FILE:TENSOR"}},
        WrongUse{"formats --sqnr student-t:2", {"student-t:2", "from 2.001", "to 1000"}},
        WrongUse{"formats --sqnr student:8", {"no distribution", "no file 'student'", "did you mean 'student-t:8'?"}},
        WrongUse{"formats table[-1;0] --sqnr gaussian", {"table[-1;0]", "no level above 0"}},
        WrongUse{"formats --plot x.svg", {"--plot is of --sqnr"}},
        WrongUse{"formats int4 int5", {"several NAMEs", "--sqnr"}},
        WrongUse{"cost --acts int8", {"--weights is required"}},
        WrongUse{"cost --weights e4m33 --acts int8",
                 {"cost: --weights: unknown format 'e4m33'", "did you mean 'e4m3'?"}},
        WrongUse{"cost --weights int4 --acts e0m7", {"cost: --acts: 'e0m7' has no exponent bits", "int8-narrow"}},
        WrongUse{"cost --weights nf4 --acts int8", {"nf4 is a table of levels", "neither exponent bits"}},
        WrongUse{"cost --weights int4 --acts int8 --acc fp8", {"cost: --acc: unknown accumulator 'fp8'", "fp16"}},
        WrongUse{"cost --weights int4 --acts int8 --dot 0", {"--dot", "'0' is no integer from 1"}},
        WrongUse{"pareto x.json --cost area", {"'area' is no cost", "lut, gates, bytes"}},
        WrongUse{"pareto x.json --quality top1", {"pareto: --quality: unknown quality 'top1'", "kl_mean, ppl"}},
        WrongUse{"pareto x.json --acts intt8", {"pareto: --acts: unknown format 'intt8'", "did you mean 'int8'?"}},
        WrongUse{"recipes int4-g12x", {"int4-g12x", "-gN"}},
        WrongUse{"recipes small5", {"small5", "did you mean 'small"}},
        WrongUse{"demo --schemes int4-g32,int99", {"int99"}}));

TEST(Usage, WithJsonStandardOutputHoldsTheError) {
  const Outcome outcome = run_bitloom({"info", "/nowhere", "--json"});
  const nlohmann::json record = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(record.at("exit_code"), outcome.code);
  EXPECT_NE(record.at("error").get<std::string>().find("/nowhere"), std::string::npos);
  EXPECT_NE(outcome.err.find("bitloom: error: "), std::string::npos);
}

TEST(Usage, NewcomersAreAnswered) {
  EXPECT_EQ(run_bitloom({"help", "help"}).code, 0);
  EXPECT_EQ(run_bitloom({"help", "help"}).out, run_bitloom({"--help"}).out);
  for (const char* scheme : {"nvfp4", "int4-g64"}) {
    const Outcome outcome = run_bitloom({"formats", scheme});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("4.50 bits nominal") != std::string::npos,
              outcome.out.find("4.25 bits nominal") != std::string::npos);
  }
  const TempDir dir;
  const Outcome rows = run_bitloom({"quantize", "assets/demo", dir.file("a"), "-r", "int4", "--dry-run"});
  EXPECT_NE(rows.err.find("recipe 'int4' means int4-row: one scale for each row"), std::string::npos) << rows.err;
}

TEST(Usage, CompareSkipsWhatIsNoModel) {
  const Outcome outcome =
      run_bitloom({"compare", "assets/demo", "assets/demo/evaluation.txt", "assets", "--ref", "assets/demo", "--text",
                   "assets/demo/evaluation.txt", "-c", "16", "--windows", "2", "--speed", "0"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("skipped, since they are no models: assets/demo/evaluation.txt, assets"),
            std::string::npos)
      << outcome.err;
}

TEST(Usage, InfoShowsFormatsOfActivations) {
  const TempDir dir;
  ASSERT_EQ(run_bitloom({"quantize", "assets/demo", dir.file("q"), "-r", "int4-g32@int8-token"}).code, 0);
  const std::string text = run_bitloom({"info", dir.file("q")}).out;
  EXPECT_NE(text.find("int8-token at 24 of 24 inputs of the blocks"), std::string::npos) << text;
  EXPECT_EQ(run_bitloom({"info", "assets/demo"}).out.find("inputs of the blocks"), std::string::npos);
}

TEST(Usage, NothingAtAll) { expect_error(run_bitloom({}), 2, {"a verb is missing", BITLOOM_PROGRAM " --help"}); }

TEST(Usage, UnknownRecipeKey) {
  const TempDir dir;
  write_bytes(dir.file("bad.yaml"), "name: bad\nsteps:\n  - quantise: int4-g32\n");
  expect_error(run_bitloom({"quantize", "assets/demo", dir.file("out"), "--recipe", dir.file("bad.yaml")}), 2,
               {dir.file("bad.yaml"), "quantise", "did you mean 'quantize'?"});
}

TEST(Usage, PatternThatMatchesNothing) {
  const TempDir dir;
  write_bytes(dir.file("none.yaml"),
              "name: none\nsteps:\n  - quantize: int4-g32\n    targets: [\"*.dwon_proj.weight\"]\n");
  expect_error(run_bitloom({"quantize", "assets/demo", dir.file("out"), "--recipe", dir.file("none.yaml")}), 2,
               {"*.dwon_proj.weight", "matches no"});
}

TEST(Usage, ExistingOutputNeedsForce) {
  const TempDir dir;
  const std::vector<std::string> command = {"quantize", "assets/demo", dir.file("out"), "--recipe", "int4-g32"};
  ASSERT_EQ(run_bitloom(command).code, 0);
  const std::string before = read_bytes(dir.file("out/bitloom.json"));
  expect_error(run_bitloom({"quantize", "assets/demo", dir.file("out"), "--recipe", "int8-row"}), 2,
               {dir.file("out"), "exists", "--force"});
  EXPECT_EQ(read_bytes(dir.file("out/bitloom.json")), before);
  ASSERT_EQ(run_bitloom({"quantize", "assets/demo", dir.file("out"), "--recipe", "int8-row", "--force"}).code, 0);
  EXPECT_NE(read_bytes(dir.file("out/bitloom.json")), before);
}

// A server that could not do what it is told does not begin.
TEST(Usage, ServeChecksItsLimitsFirst) {
  const auto refused = [](std::vector<std::string> flags, const std::vector<std::string>& parts) {
    flags.insert(flags.begin(), {"serve", "assets/demo"});
    expect_error(run_bitloom(flags), 2, parts);
  };
  refused({"--cache", "1K"}, {"--cache 1K", "a page of 32 tokens takes 96.0 KiB"});
  refused({"--max-body", "much"}, {"--max-body", "much"});
  refused({"--grace", "-1"}, {"--grace -1"});
  refused({"--grace", "nan"}, {"--grace nan"});
  refused({"--grace", "1e12"}, {"--grace 1000000000000", "from 0 to 1e8 seconds"});
  refused({"--time-limit", "1e12"}, {"--time-limit 1000000000000", "at most 1e8 seconds"});
  refused({"--time-limit", "nan"}, {"--time-limit nan"});
  refused({"--time-limit", "0"}, {"--time-limit 0"});
  refused({"--port", "70000"}, {"--port", "70000"});
  refused({"--top-p", "2"}, {"top-p 2"});
}

}  // namespace
}  // namespace bitloom::testing
