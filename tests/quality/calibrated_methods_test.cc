// Error feedback on every real model: at equal format it is closer to the original than nearest rounding.

#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "base/context.h"
#include "calibration/samples.h"
#include "eval/divergence.h"
#include "eval/windows.h"
#include "forward/decoder.h"
#include "io/text_data.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "test_models.h"

namespace bitloom {
namespace {

using testing::QualityModel;

/// The original model with a text, and data to calibrate on.
class Judge {
 public:
  explicit Judge(const QualityModel& model) : original_(Checkpoint::open(model.path)), reference_(original_, threads_) {
    WindowOptions windows;
    windows.context = model.context;
    windows.max_windows = model.windows;
    windows_ = cut_windows(read_text_data(model.text, TextFormat{}), original_->tokenizer(), windows);
    CalibrationOptions options;
    options.file = model.calibration;
    options.rule = SamplingRule::kPacked;
    options.samples = 16, options.length = model.context;
    data_.sequences = sample_calibration(&original_->tokenizer(), original_->graph().vocab_size, options).sequences;
  }

  /// Mean KL of the model that the recipe makes.
  double divergence_of(const std::string& recipe) {
    const testing::TempDir temp;
    QuantizeOptions options;
    options.data = &data_;
    Context context{threads_, silent_};
    quantize_model(make_task(original_, load_recipe(recipe), options, context.threads), temp.file("out"), context);
    Decoder decoder(Checkpoint::open(temp.file("out")), threads_);
    return divergence(*logits_of(reference_), *logits_of(decoder), windows_, context).kl_mean;
  }

 private:
  ThreadPool threads_{2};
  Progress silent_;
  std::shared_ptr<const Checkpoint> original_;
  Decoder reference_;
  TextWindows windows_;
  CalibrationData data_;
};

class CalibratedMethods : public ::testing::TestWithParam<std::tuple<QualityModel, std::string>> {};

TEST_P(CalibratedMethods, ErrorFeedbackIsCloserThanNearest) {
  const auto& [model, format] = GetParam();
  if (model.path.empty() || model.calibration.empty()) {
    GTEST_SKIP() << "needs ../shared, or SmolLM2 (tools/get_smollm2.sh)";
  }
  Judge judge(model);
  EXPECT_LT(judge.divergence_of("gptq+" + format), judge.divergence_of(format));
}

INSTANTIATE_TEST_SUITE_P(All, CalibratedMethods,
                         ::testing::Combine(::testing::ValuesIn(testing::quality_models()),
                                            ::testing::Values("int4-g32", "int3-g32", "int2-g32", "e2m1-g32")),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param).name + "_" + std::get<1>(test.param);
                           name.erase(name.find('-'), 1);
                           return name;
                         });

}  // namespace
}  // namespace bitloom
