#include "judge/demo_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "judge/test_models.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class DemoRows : public ::testing::Test {
 protected:
  DemoPlan plan() const {
    DemoPlan plan;
    plan.model = testing::kDemo;
    plan.text = testing::short_text().file;
    plan.directory = dir_.file("demo");
    plan.prompt = "Once";
    plan.context = 64;
    plan.windows = 2;
    plan.speed_tokens = 1;
    plan.schemes = {"int2-g32"};
    return plan;
  }
  std::string scheme_file() const { return dir_.file("demo/int2-g32.json"); }

  testing::TempDir dir_;
  testing::Quiet quiet_;
};

TEST_F(DemoRows, AreTheFiguresOfTheModels) {
  const DemoResult result = run_demo(plan(), quiet_.context);
  ASSERT_EQ(result.rows.size(), 2u);
  EXPECT_EQ(result.tokens, 2 * 63);
  const auto original = Checkpoint::open(testing::kDemo), model = Checkpoint::open(demo_output(plan(), "int2-g32"));
  Decoder original_decoder(original, quiet_.context.threads), decoder(model, quiet_.context.threads);
  const auto reference = logits_of(original_decoder), logits = logits_of(decoder);
  const TextWindows windows = cut_evaluation_text(testing::short_text(), *original, 64, quiet_.warn).windows;
  const DivergenceResult kl = divergence(*reference, *logits, windows, quiet_.context);
  EXPECT_EQ(result.rows[0].scheme, "original");
  EXPECT_EQ(result.rows[0].perplexity, perplexity(*reference, windows, quiet_.context).perplexity);
  EXPECT_EQ(result.rows[0].bits_true, 16);
  EXPECT_EQ(result.rows[1].scheme, "int2-g32");
  EXPECT_EQ(result.rows[1].kl_mean, kl.kl_mean);
  EXPECT_EQ(result.rows[1].top1, kl.top1);
  EXPECT_EQ(result.rows[1].perplexity, std::exp(kl.nll));
  EXPECT_EQ(result.rows[1].bits_true, 2.5);
  EXPECT_THAT(quiet_.lines, ElementsAre(HasSubstr("[1/2] original"), HasSubstr("[2/2] int2-g32")));
}

// A kept figure that was changed shows who was asked.
TEST_F(DemoRows, AreKeptUntilTheirInputsChange) {
  run_demo(plan(), quiet_.context);
  testing::edit_json(scheme_file(), [](Json& kept) { kept["row"]["kl_mean"] = 42; });
  EXPECT_EQ(run_demo(plan(), quiet_.context).rows[1].kl_mean, 42);

  DemoPlan longer = plan();
  longer.windows = 3;
  const auto written = fs::last_write_time(dir_.file("demo/int2-g32/bitloom.json"));
  EXPECT_LT(run_demo(longer, quiet_.context).rows[1].kl_mean, 42);
  EXPECT_EQ(fs::last_write_time(dir_.file("demo/int2-g32/bitloom.json")), written);  // not quantized again
}

TEST_F(DemoRows, AModelThatWasChangedIsMadeAgain) {
  run_demo(plan(), quiet_.context);
  const std::string manifest = dir_.file("demo/int2-g32/bitloom.json");
  const Json before = read_json(manifest);
  testing::edit_json(manifest, [](Json& json) { json["bitloom"] = "another"; });
  run_demo(plan(), quiet_.context);
  EXPECT_EQ(read_json(manifest), before);
}

TEST_F(DemoRows, ABrokenMemoryIsNone) {
  const double kl = run_demo(plan(), quiet_.context).rows[1].kl_mean;
  testing::write_file(scheme_file(), "{");
  testing::write_file(dir_.file("demo/original.json"), "[1]");
  EXPECT_EQ(run_demo(plan(), quiet_.context).rows[1].kl_mean, kl);
}

TEST_F(DemoRows, NothingOfTheUsersIsReplaced) {
  fs::create_directories(dir_.file("demo/int2-g32"));
  testing::write_file(dir_.file("demo/int2-g32/letter.txt"), "dear");
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { run_demo(plan(), quiet_.context); }),
              HasSubstr("exists and is no quantized model"));
  EXPECT_TRUE(fs::exists(dir_.file("demo/int2-g32/letter.txt")));
}

}  // namespace
}  // namespace bitloom
