#include "cli/verbs/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloom {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

/// Four blocks, the last of which is larger.
QuantizeCost cost() {
  QuantizeCost cost;
  cost.output_bytes = 3 << 20;
  cost.memory = 64 << 20;
  cost.disk = 1 << 20;
  cost.seconds = 90;
  cost.walk.held_memory = 1 << 20;
  cost.walk.blocks.resize(4);
  for (BlockCost& block : cost.walk.blocks) block.peak_memory = 1 << 20;
  cost.walk.blocks.back().peak_memory = 5 << 20;
  return cost;
}

TEST(Forecast, FitsWhereMemoryAndDiskDo) {
  Forecast forecast{cost(), 64 << 20, 1 << 20};
  EXPECT_TRUE(forecast.fits());
  forecast.memory_allowed -= 1;
  EXPECT_FALSE(forecast.fits());
  forecast.memory_allowed += 1, forecast.disk_free -= 1;
  EXPECT_FALSE(forecast.fits());
}

TEST(Forecast, SaysTheWholeModelsBitsAndRemarks) {
  Forecast forecast{cost(), 64 << 20, 1 << 20};
  forecast.cost.bits_model = 6.5;
  forecast.cost.remarks = {"it grows"};
  EXPECT_THAT(forecast_text(forecast, false),
              ContainsRegex("output +3\\.00 MiB, 6\\.50 bits per weight of the model\n"));
  EXPECT_THAT(forecast_text(forecast, false), HasSubstr("\nit grows\n"));
  EXPECT_EQ(to_json(forecast)["remarks"][0], "it grows");
}

TEST(Forecast, AllowsWhatWasAskedForOrWhatTheMachineHas) {
  EXPECT_EQ(make_forecast(cost(), 123, "/tmp/out").memory_allowed, 123);
  EXPECT_GT(make_forecast(cost(), 0, "/tmp/out").memory_allowed, 123);
  EXPECT_GT(make_forecast(cost(), 0, "/tmp/out").disk_free, 0);
}

TEST(Forecast, BlocksAlikeAreOneLine) {
  Forecast forecast{cost(), 1 << 20, 1 << 20};
  const std::string text = forecast_text(forecast, false);
  EXPECT_THAT(text, ContainsRegex("   0-2  2\\.00 MiB +"));
  EXPECT_THAT(text, ContainsRegex("     3  6\\.00 MiB +"));
  EXPECT_THAT(text, ContainsRegex("memory +64\\.0 MiB of 1\\.00 MiB\n"));
  EXPECT_THAT(text, ContainsRegex("fits +no\n"));
  forecast.cost.walk.spills = true;
  EXPECT_THAT(forecast_text(forecast, false), HasSubstr(", with activations in a file"));
  forecast.cost.walk.blocks.clear();  // a recipe that looks at no data
  EXPECT_THAT(forecast_text(forecast, false), Not(HasSubstr("blocks")));
  EXPECT_EQ(to_json(forecast).at("blocks").size(), 0u);
}

}  // namespace
}  // namespace bitloom
