#include "pipeline/output/plan.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <stdexcept>

#include "base/memory/dense_matrix.h"
#include "pipeline/walk_test_support.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kDown = "model.layers.0.mlp.down_proj.weight";
constexpr const char* kUp = "model.layers.0.mlp.up_proj.weight";
constexpr const char* kGate = "model.layers.0.mlp.gate_proj.weight";
constexpr const char* kNorm = "model.layers.0.input_layernorm.weight";

class Plan : public ::testing::Test {
 protected:
  using Steps = std::map<std::string, RecipeStep>;

  std::vector<PlannedTensor> plan(const Checkpoint& model, const Steps& steps, const FinishedMatrices& finished = {}) {
    return plan_tensors(model, steps, finished, context_);
  }
  static const PlannedTensor& find(const std::vector<PlannedTensor>& plan, const std::string& name) {
    const auto found = std::find_if(plan.begin(), plan.end(), [&](const PlannedTensor& t) { return t.name == name; });
    if (found == plan.end()) throw std::runtime_error("no tensor " + name);
    return *found;
  }
  static RecipeStep step(const std::string& recipe) { return load_recipe(recipe).steps.back(); }
  FinishedMatrix finished(const Checkpoint& model, const std::string& name, const std::string& target) {
    FinishedMatrix made;
    made.matrix = quantize_nearest(name, *model.tensor(name).rows, parse_grid_target(target), threads_);
    made.site.name = name;
    return made;
  }

  ThreadPool threads_{2};
  Progress silent_;
  Context context_{threads_, silent_};
  const std::shared_ptr<const Checkpoint> model_ = Checkpoint::open(testing::golden_model("llama_bf16"));
};

TEST_F(Plan, EveryTensorHasItsTreatment) {
  const Steps steps = {{kDown, step("int4-g16")}, {kUp, step("int4-g16")}};
  TensorEdits edits;
  std::vector<float> norm = model_->vector(kNorm);
  norm[0] = 1.0f / 3;  // F32 alone holds it
  const auto width = static_cast<int64_t>(norm.size());
  edits.tensors[kNorm] = dense_matrix(1, width, std::move(norm));
  const auto plan_of_all = plan(*Checkpoint::edited(model_, edits), steps, {{kUp, finished(*model_, kUp, "int8-row")}});

  EXPECT_EQ(plan_of_all.size(), model_->tensors().size());
  const PlannedTensor& down = find(plan_of_all, kDown);
  EXPECT_TRUE(std::holds_alternative<RoundByStep>(down.treatment));
  EXPECT_EQ(to_string(down.storage().value()), "int4-g16");
  EXPECT_TRUE(down.is_rounded() && down.of_blocks);
  // What is finished needs no step.
  const PlannedTensor& up = find(plan_of_all, kUp);
  EXPECT_TRUE(std::holds_alternative<FinishedMatrix>(up.treatment));
  EXPECT_EQ(to_string(up.storage().value()), "int8-row");
  EXPECT_EQ(up.bytes(), std::get<FinishedMatrix>(up.treatment).matrix->stored_bytes());
  EXPECT_EQ(up.total_nominal_bits(),
            std::get<FinishedMatrix>(up.treatment).matrix->nominal_bits() * static_cast<double>(up.weights()));
  const PlannedTensor& gate = find(plan_of_all, kGate);
  EXPECT_TRUE(std::holds_alternative<CopyBytes>(gate.treatment));
  EXPECT_FALSE(gate.is_quantized() || gate.is_rounded());
  EXPECT_EQ(gate.total_nominal_bits(), 16 * static_cast<double>(gate.weights()));
  const PlannedTensor& rewritten = find(plan_of_all, kNorm);
  EXPECT_EQ(std::get<EncodeValues>(rewritten.treatment).dtype, DType::kF32);
  ASSERT_EQ(rewritten.parts.size(), 1u);
  EXPECT_THAT(rewritten.parts[0].shape, ElementsAre(width));
}

TEST_F(Plan, WhatTheResultTellsIsAnnouncedAtMost) {
  auto tensors = plan(*model_, {{kDown, step("kmeans:outliers=0.01+codebook2-col")}, {kUp, step("int4-g16")}});
  PlannedTensor down = find(tensors, kDown);
  EXPECT_TRUE(find(tensors, kUp).sizes_known());
  EXPECT_FALSE(down.sizes_known());
  const FinishedMatrix made = finished(*model_, kDown, "int2-row");
  down.finish(made);
  EXPECT_TRUE(down.sizes_known());
  EXPECT_EQ(down.bytes(), made.matrix->stored_bytes());
  EXPECT_EQ(down.parts.size(), made.matrix->parts().size());
}

TEST_F(Plan, RemarksCountWhatWasQuantizedBefore) {
  const testing::TempDir dir;
  testing::quantize(testing::golden_model("llama_bf16"), dir.file("out"), "int4-g16");
  const auto source = Checkpoint::open(dir.file("out"));
  const auto kept = plan(*source, {});
  EXPECT_TRUE(std::holds_alternative<TakeOver>(find(kept, kDown).treatment));
  EXPECT_FALSE(find(kept, kDown).is_rounded());
  EXPECT_TRUE(remarks_on(*source, kept).empty());
  const auto again = plan(*source, {{kDown, step("int3-g16")}}, {{kUp, finished(*model_, kUp, "int4-g16")}});
  EXPECT_THAT(remarks_on(*source, again), ElementsAre(HasSubstr("come quantized as int4-g16: 2;")));
}

TEST_F(Plan, RemarksSayWhatIsPadded) {
  const auto source = Checkpoint::open(testing::golden_model("llama"));
  const RowSource& down = *source->tensor(kDown).rows;
  const auto whole = [](int64_t side, int64_t tile) { return (side + tile - 1) / tile * tile; };
  ASSERT_NE(down.cols(), whole(down.cols(), 32)) << "needs a side that is no whole number of tiles";
  EXPECT_THAT(
      remarks_on(*source, plan(*source, {{kDown, step("viterbi+trellis2-l12")}})),
      ElementsAre(fmt::format("matrices padded to whole tiles of a trellis code, which counts in their bits: 1, "
                              "such as '{}' [{}, {}] to [{}, {}]",
                              kDown, down.rows(), down.cols(), whole(down.rows(), 16), whole(down.cols(), 32))));
  EXPECT_TRUE(remarks_on(*source, plan(*source, {{kDown, step("int4-g16")}})).empty());
}

}  // namespace
}  // namespace bitloom
