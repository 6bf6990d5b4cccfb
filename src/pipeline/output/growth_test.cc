#include "pipeline/output/growth.h"

#include <gmock/gmock.h>

#include "pipeline/predict_quantization.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kInt4 = "int4-g128";

class Growth : public ::testing::Test {
 protected:
  QuantizeCost predict(const std::string& model, const std::string& recipe) {
    return predict_quantization(make_task(Checkpoint::open(model), load_recipe(recipe), {}, context_.threads),
                                context_);
  }

  testing::TempDir dir_;
  ThreadPool threads_{2};
  Progress silent_;
  Context context_{threads_, silent_};
};

TEST_F(Growth, OfASmallerOutputNothingIsSaid) {
  EXPECT_THAT(predict(testing::kDemo, kInt4).remarks, IsEmpty());
  EXPECT_EQ(testing::quantize(testing::kDemo, dir_.file("small"), kInt4).growth, "");
}

TEST_F(Growth, IsSaidBeforeAndAfterTheRunWithWhatGrows) {
  testing::quantize(testing::kDemo, dir_.file("small"), kInt4);
  const QuantizeCost cost = predict(dir_.file("small"), "int8-row");
  const QuantizeResult result = testing::quantize(dir_.file("small"), dir_.file("large"), "int8-row");
  EXPECT_THAT(result.growth, HasSubstr("larger than its source: "));
  EXPECT_THAT(result.growth, HasSubstr("MiB as int4-g128 -> "));
  EXPECT_THAT(result.growth, HasSubstr("MiB as int8-row"));
  EXPECT_THAT(cost.remarks, Contains(result.growth));
  EXPECT_THAT(result.remarks, Contains(result.growth));
}

}  // namespace
}  // namespace bitloom
