// Perplexities of real models against PyPI transformers in fp32 (tests/oracle/eval_ppl.py).
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <string>

#include "base/test_data.h"
#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "io/hash.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

struct Judge {
  explicit Judge(const std::string& path) : checkpoint(Checkpoint::open(path)), decoder(checkpoint, pool) {}

  ThreadPool pool;
  Progress silent;
  Context context{pool, silent};
  std::shared_ptr<const Checkpoint> checkpoint;
  Decoder decoder;
};

WindowOptions options_of(const Json& entry) {
  return {.protocol = parse_protocol(entry.at("protocol")),
          .bos = parse_bos_policy(entry.at("bos")),
          .context = entry.at("context"),
          .max_windows = entry.at("max_windows")};
}

std::string text_of(const Json& entry) {
  const std::string text = read_text(entry.at("text")).substr(0, entry.at("text_bytes").get<size_t>());
  EXPECT_EQ(sha256_hex(text), entry.at("text_sha256").get<std::string>()) << entry.at("text");
  return text;
}

std::string hash_of(const std::vector<int32_t>& ids) {
  return sha256_hex({reinterpret_cast<const char*>(ids.data()), 4 * ids.size()});
}

/// The ids that the protocol is given, as the reference tokenizer makes them.
void expect_same_ids(const Tokenizer& tokenizer, const std::string& text, const Json& entry) {
  const WindowOptions options = options_of(entry);
  std::vector<int32_t> ids = tokenizer.encode(text, with_special(options));
  if (options.bos == BosPolicy::kAlways && ids.at(0) != tokenizer.bos_id())
    ids.insert(ids.begin(), *tokenizer.bos_id());
  ASSERT_EQ(static_cast<int64_t>(ids.size()), entry.at("ids").get<int64_t>());
  ASSERT_EQ(hash_of(ids), entry.at("ids_sha256").get<std::string>());
}

void expect_parity(Judge& judge, const Json& entry) {
  const std::string text = text_of(entry);
  const Tokenizer& tokenizer = judge.checkpoint->tokenizer();
  expect_same_ids(tokenizer, text, entry);
  if (::testing::Test::HasFatalFailure()) return;
  const TextWindows windows = cut_windows(text, tokenizer, options_of(entry));
  EXPECT_EQ(static_cast<int64_t>(windows.windows.size()), entry.at("windows").get<int64_t>());
  EXPECT_EQ(windows.scored_tokens, entry.at("scored_tokens").get<int64_t>());
  const std::unique_ptr<LogitsSource> model = logits_of(judge.decoder);
  const PerplexityResult out = perplexity(*model, windows, judge.context);
  const double expected = std::exp(entry.at("nll").get<double>());
  // The promise is 1e-4 relative. Two fp32 executions of 30 layers differ by about 1e-6; the file rounds nll to 5e-7.
  EXPECT_NEAR(out.perplexity / expected, 1, 1e-4);
  std::cout << entry.at("protocol").get<std::string>() << ", context " << entry.at("context") << ": perplexity "
            << out.perplexity << ", relative difference " << out.perplexity / expected - 1 << ", " << out.seconds
            << " s\n";
}

void expect_parity_of_model(const std::string& path) {
  Judge judge(path);
  int cases = 0;
  for (const Json& entry : read_json(testing::golden("eval/ppl.json"))) {
    if (entry.at("model").get<std::string>() != path) continue;
    SCOPED_TRACE(entry.dump());
    expect_parity(judge, entry);
    ++cases;
  }
  EXPECT_GE(cases, 3) << path;
}

TEST(Parity, Demo) { expect_parity_of_model("assets/demo"); }

TEST(Parity, English3m) {
  BITLOOM_REQUIRE_SHARED("models/english-3m");
  expect_parity_of_model("../shared/models/english-3m");
}

TEST(Parity, Stories260K) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  expect_parity_of_model("../shared/models/stories260K");
}

TEST(Parity, BabyllamaChar) {
  BITLOOM_REQUIRE_SHARED("models/babyllama-char");
  expect_parity_of_model("../shared/models/babyllama-char");
}

TEST(Parity, SmolLM2) {
  BITLOOM_REQUIRE_SMOLLM2();
  expect_parity_of_model(testing::smollm2_path());
}

TEST(Parity, DemoFromItselfAndFromItsReferenceFile) {
  Judge judge("assets/demo");
  const std::string text = read_text("assets/demo/evaluation.txt").substr(0, 6000);
  const Tokenizer& tokenizer = judge.checkpoint->tokenizer();
  const TextWindows windows = cut_windows(text, tokenizer, {.protocol = Protocol::kLlamaCpp, .context = 256});
  const std::unique_ptr<LogitsSource> one = logits_of(judge.decoder), other = logits_of(judge.decoder);
  const DivergenceResult direct = divergence(*one, *other, windows, judge.context);
  EXPECT_EQ(direct.kl_max, 0);
  EXPECT_EQ(direct.top1, 1);
  const testing::TempDir dir;
  write_reference(dir.file("ref"), *one, windows, tokenizer.hash(), sha256_hex(text), judge.context);
  const std::unique_ptr<LogitsSource> file =
      open_reference(dir.file("ref"), windows, tokenizer.hash(), sha256_hex(text));
  const DivergenceResult stored = divergence(*file, *other, windows, judge.context);
  EXPECT_LT(stored.kl_mean, 1e-7);  // reference/format.h: E^2 / 2 is 5e-7 at worst, about 1e-8 on average
  EXPECT_EQ(stored.top1, 1);
  EXPECT_EQ(stored.nll, direct.nll);
  EXPECT_NEAR(stored.nll_ref, direct.nll, 1e-3);
}

TEST(Parity, MoreThreadsChangeNoBit) {
  const std::string text = read_text("assets/demo/evaluation.txt").substr(0, 6000);
  const auto checkpoint = Checkpoint::open("assets/demo");
  const TextWindows windows = cut_windows(text, checkpoint->tokenizer(), {.context = 256, .max_windows = 2});
  const auto nll_with = [&](int threads) {
    ThreadPool pool(threads);
    Progress silent;
    Context context{pool, silent};
    Decoder decoder(checkpoint, pool);
    return perplexity(*logits_of(decoder), windows, context).nll;
  };
  const double one = nll_with(1);
  EXPECT_EQ(one, nll_with(2));
  EXPECT_EQ(one, nll_with(5));
}

}  // namespace
}  // namespace bitloom
