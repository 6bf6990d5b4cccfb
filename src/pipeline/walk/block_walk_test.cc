// Calibrated quantization against a walk that knows nothing of streams, stages and journals: for every site a plain
// pass over the model as it is at that moment, watched at the site.

#include "pipeline/walk/block_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "forward/test_inputs.h"
#include "observe/input_statistics.h"
#include "pipeline/predict_quantization.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "pipeline/walk/walk_needs.h"
#include "pipeline/walk_test_support.h"
#include "round/adaround/adaround.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"
#include "transform/bias_correction.h"
#include "transform/scaling/smooth.h"

namespace bitloom {
namespace {

using testing::CalibratedRun;
using testing::golden_model;
using testing::golden_models;
using ::testing::HasSubstr;
using testing::TempDir;

using CheckpointPtr = std::shared_ptr<const Checkpoint>;

class ReferenceWalk {
 public:
  ReferenceWalk(const CalibratedRun& run, ThreadPool& threads)
      : source_(Checkpoint::open(run.model)),
        order_(run.options.order),
        steps_(resolve(load_recipe(run.recipe), source_->graph())),
        transforms_(resolve_transforms(load_recipe(run.recipe), source_->graph())),
        sequences_(run.data.sequences),
        chunks_(make_chunks(lengths_of(sequences_))),
        threads_(threads) {}

  /// What the model's tensors become; the others stay.
  TensorEdits walk() {
    const auto blocks = static_cast<int>(source_->graph().blocks.size());
    for (int b = 0; b < blocks; ++b) {
      before_block_ = quantized_;
      smooth(b);
      for (int input = 0; input < input_count(source_->graph(), b); ++input) quantize(b, input);
    }
    TensorEdits all = rewrites_;
    for (const auto& [name, rows] : quantized_.tensors) all.tensors[name] = rows;
    return all;
  }

 private:
  CheckpointPtr with(const TensorEdits& quantized) const {
    return Checkpoint::edited(Checkpoint::edited(source_, rewrites_), quantized);
  }
  CheckpointPtr float_model() const { return Checkpoint::edited(source_, rewrites_); }

  /// The model whose activations the sites of this moment are to see.
  CheckpointPtr seen() const {
    if (order_ == WalkOrder::kNone) return float_model();
    return with(order_ == WalkOrder::kBlock ? before_block_ : quantized_);
  }

  std::vector<float> inputs(const CheckpointPtr& model, const SequenceChunk& chunk, int block, int input) const {
    std::vector<float> x;
    testing::visit_inputs(*model, tokens_of(chunk, sequences_), chunk.batch, chunk.length, threads_,
                          [&](int b, int i, std::span<const float> seen) {
                            if (b == block && i == input) x.assign(seen.begin(), seen.end());
                          });
    return x;
  }

  InputStatistics observe(int block, int input, bool with_cross) const {
    const int64_t width = input_at(source_->graph(), block, input).width;
    InputStatistics statistics(width, {.second_moment = true, .cross_moment = with_cross});
    for (const SequenceChunk& chunk : chunks_) {
      const std::vector<float> x = inputs(seen(), chunk, block, input);
      if (x.empty()) continue;  // an expert that none of the chunk's tokens is sent to
      const auto rows = static_cast<int64_t>(x.size()) / width;
      statistics.moment->add(x.data(), rows, width, threads_);
      statistics.range.add(x.data(), rows, width, threads_);
      if (!with_cross) continue;
      const std::vector<float> f = inputs(float_model(), chunk, block, input);
      statistics.cross->add(f.data(), x.data(), chunk.rows(), width, threads_);
    }
    return statistics;
  }

  bool wants_cross() const {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const auto& step) { return needs_of(step.second.rounding).cross_moment; });
  }

  void smooth(int block) {
    for (const TransformSites& sites : transforms_) {
      const auto* transform = std::get_if<SmoothTransform>(&sites.transform);
      if (transform == nullptr) continue;
      ChannelMaxima maxima;
      for (int input = 0; input < input_count(source_->graph(), block); ++input) {
        maxima[input] = observe(block, input, false).range.absmax();
      }
      const auto targeted = [&](const Site& site) { return sites.tensors.contains(site.linear->weight); };
      TensorEdits made = smooth_block(*source_, block, maxima, *transform, targeted, threads_);
      // Later blocks are observed after this: rows are decoded once, not through ever longer chains of views.
      for (auto& [name, rows] : made.tensors) rewrites_.tensors[name] = rows;
    }
  }

  void quantize(int block, int input) {
    std::map<std::string, RowSourcePtr> made;
    const InputStatistics statistics = observe(block, input, wants_cross());
    for (const Site& site : linear_sites(source_->graph(), block)) {
      const auto step = steps_.find(site.linear->weight);
      if (site.input != input || step == steps_.end()) continue;
      const RowSourcePtr w = float_model()->matrix(*site.linear);
      RecipeStep taken = step->second;
      if (site.reads->expert >= 0 && statistics.tokens() < site.reads->width) taken.rounding = Rounding();
      const RowSourcePtr q = rounded(*w, taken, statistics);
      made[site.linear->weight] = q;
      if (corrects_bias(site.linear->weight) && !site.linear->bias.empty()) {
        const std::vector<float> b = float_model()->vector(site.linear->bias);
        std::vector<float> corrected = corrected_bias(*w, *q, statistics.range.mean(), b, threads_);
        made[site.linear->bias] = rewritten_rows(source_->graph(), block, site.linear->bias, std::move(corrected));
      }
    }
    for (const auto& [name, rows] : made) quantized_.tensors[name] = rows;
  }

  bool corrects_bias(const std::string& name) const {
    for (const TransformSites& sites : transforms_) {
      if (std::holds_alternative<BiasCorrectionTransform>(sites.transform) && sites.tensors.contains(name)) return true;
    }
    return false;
  }

  RowSourcePtr rounded(const RowSource& w, const RecipeStep& step, const InputStatistics& statistics) const {
    const GridTarget spec = grid_target(*step.quantize, "w");
    // In order "none" f - x is zero: nothing is left to compensate.
    const CrossMoment* cross = statistics.cross ? &*statistics.cross : nullptr;
    if (const auto* learned = step.rounding.get_if<AdaRounding>()) {
      return quantize_adaround("", w, spec, *statistics.moment, cross, *learned, threads_);
    }
    const auto* feedback = step.rounding.get_if<GptqRounding>();
    if (feedback == nullptr) return quantize_nearest("", w, spec, threads_);
    const int64_t group = scale_shape(spec.storage, w.rows(), w.cols()).group_cols;
    const GptqFactor factor = make_gptq_factor(*statistics.moment, cross, *feedback, group, threads_);
    return quantize_gptq("", w, *step.quantize, factor, feedback->static_groups, threads_);
  }

  CheckpointPtr source_;
  WalkOrder order_;
  std::map<std::string, RecipeStep> steps_;
  std::vector<TransformSites> transforms_;
  TokenSequences sequences_;
  std::vector<SequenceChunk> chunks_;
  ThreadPool& threads_;
  TensorEdits rewrites_, quantized_, before_block_;
};

/// The tensors of OUT against the reference's, to the last bit.
void expect_reference(const CalibratedRun& run) {
  ThreadPool threads(2);
  const TempDir dir;
  run.into(dir.file("out"));
  const CheckpointPtr expected = Checkpoint::edited(Checkpoint::open(run.model), ReferenceWalk(run, threads).walk());
  const CheckpointPtr found = Checkpoint::open(dir.file("out"));
  for (const CheckpointTensor& tensor : expected->tensors()) {
    // A quantized matrix is always [out, in], a kept one as the source has it.
    RowSourcePtr rows = tensor.rows;
    for (const Site& site : linear_sites(expected->graph())) {
      if (site.linear->weight == tensor.name) rows = expected->matrix(*site.linear);
    }
    RowSourcePtr out = found->tensor(tensor.name).rows;
    for (const Site& site : linear_sites(found->graph())) {
      if (site.linear->weight == tensor.name) out = found->matrix(*site.linear);
    }
    if (std::dynamic_pointer_cast<const StoredMatrix>(rows)) {
      EXPECT_EQ(out->storage(), rows->storage()) << run.model << ", " << run.recipe << ": " << tensor.name;
    }
    EXPECT_EQ(out->decode_all(), rows->decode_all()) << run.model << ", " << run.recipe << ": " << tensor.name;
  }
  testing::verify(dir.file("out"));
}

CalibratedRun run_of(const std::string& model, const std::string& recipe, WalkOrder order = WalkOrder::kSequential) {
  CalibratedRun run{golden_model(model), recipe, testing::three_chunks(golden_model(model))};
  run.options.order = order;
  return run;
}

class WalkTest : public ::testing::TestWithParam<std::string> {};

TEST_P(WalkTest, FeedbackInEveryOrder) {
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    SCOPED_TRACE(to_string(order));
    expect_reference(run_of(GetParam(), "gptq+int3-g16", order));
  }
}

bool has_experts(const std::string& model) {
  const CheckpointPtr checkpoint = Checkpoint::open(golden_model(model));
  const std::vector<Block>& blocks = checkpoint->graph().blocks;
  return std::any_of(blocks.begin(), blocks.end(), [](const Block& block) { return block.experts.present(); });
}

TEST_P(WalkTest, InputsOwnError) {
  const CalibratedRun run = run_of(GetParam(), "gptaq+int3-g16");
  if (!has_experts(GetParam())) return expect_reference(run);
  const TempDir dir;
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { run.into(dir.file("out")); }),
              HasSubstr("send different tokens to the experts of block"));
}

// Each expert's matrices carry the number of tokens it saw; the top_k experts of every token see it.
TEST(Walk, ExpertsAreCountedAndFallBack) {
  CalibratedRun run = run_of("mixtral", "gptq+int3-g16");
  run.data = testing::some_data(run.model, {24, 24, 11});
  const TempDir dir;
  testing::Listener listener;
  run.into(dir.file("out"), listener);
  const Json tensors = read_json(dir.file("out/bitloom.json")).at("tensors");
  int nearest = 0;
  for (int b = 0; b < 2; ++b) {
    int64_t seen = 0;
    for (int e = 0; e < 4; ++e) {
      const std::string name = fmt::format("model.layers.{}.block_sparse_moe.experts.{}.w1.weight", b, e);
      const auto tokens = tensors.at(name).value("tokens", int64_t{0});
      seen += tokens;
      EXPECT_EQ(tensors.at(name).at("rounding") == "nearest", tokens < 32) << name;
      if (tokens >= 32) continue;
      ++nearest;
      EXPECT_THAT(
          listener.lines,
          ::testing::Contains(HasSubstr(fmt::format(
              "'{}': rounded by nearest instead of gptq: its expert saw {} calibration tokens", name, tokens))));
    }
    EXPECT_EQ(seen, 2 * (24 + 24 + 11));
  }
  EXPECT_GT(nearest, 0);
  EXPECT_LT(nearest, 8);
  EXPECT_FALSE(tensors.contains("model.layers.0.block_sparse_moe.gate.weight")) << "routers stay as they are";
}

// Binary planes and masked weights are chosen by no method without data.
TEST(Walk, ExpertsFallBackToUncorrelatedInputs) {
  for (const char* recipe : {"billm", "pb-1.7"}) {
    CalibratedRun run = run_of("mixtral", recipe);
    run.data = testing::some_data(run.model, {1});
    const TempDir dir;
    testing::Listener listener;
    run.into(dir.file("out"), listener);
    EXPECT_NO_THROW(testing::verify(dir.file("out")));
    const Json tensors = read_json(dir.file("out/bitloom.json")).at("tensors");
    const Json& known = tensors.at("model.layers.0.self_attn.q_proj.weight");
    EXPECT_TRUE(known.contains("output_error"));
    int unseen = 0;
    for (int b = 0; b < 2; ++b) {
      for (int e = 0; e < 4; ++e) {
        const std::string name = fmt::format("model.layers.{}.block_sparse_moe.experts.{}.w1.weight", b, e);
        const Json& tensor = tensors.at(name);
        const auto tokens = tensor.value("tokens", int64_t{0});
        unseen += tokens == 0 ? 1 : 0;
        EXPECT_EQ(tensor.at("rounding"), known.at("rounding"));
        EXPECT_FALSE(tensor.contains("output_error")) << "of outputs that nobody saw";
        EXPECT_LT(tensor.at("weight_error").get<double>(), 0.5);
        EXPECT_THAT(listener.lines,
                    ::testing::Contains(HasSubstr(fmt::format(
                        "'{}': rounded by {} as if its inputs were uncorrelated and of one size: its expert saw {} "
                        "calibration tokens, fewer than its 32 channels",
                        name, known.at("rounding").get<std::string>(), tokens))));
      }
    }
    EXPECT_EQ(unseen, 4) << "one token goes to two experts of four";
  }
}

// A product of low rank is added without data, too.
TEST(Walk, ExpertsFallBackToLowRankWithoutData) {
  CalibratedRun run = run_of("qwen2_moe", "lorc+int4-g16+lowrank4-int8-row");
  run.data = testing::some_data(run.model, {8});
  const TempDir dir;
  testing::Listener listener;
  run.into(dir.file("out"), listener);
  EXPECT_THAT(listener.lines,
              ::testing::Contains(HasSubstr("rounded by lorc:nearest instead of lorc: its expert saw")));
  const Json tensors = read_json(dir.file("out/bitloom.json")).at("tensors");
  EXPECT_EQ(tensors.at("model.layers.0.self_attn.q_proj.weight").at("rounding"), "lorc");
}

// What saw too little is rounded by what needs no data and can make the storage.
TEST(Walk, ExpertsFallBackToWhatMakesTheirStorage) {
  CalibratedRun run = run_of("mixtral", "gptq+codebook2-col");
  run.data = testing::some_data(run.model, {16});
  const TempDir dir;
  run.into(dir.file("out"));
  const Json tensors = read_json(dir.file("out/bitloom.json")).at("tensors");
  const std::string expert = "model.layers.0.block_sparse_moe.experts.0.w1.weight";
  EXPECT_EQ(tensors.at(expert).at("rounding"), "kmeans");
  EXPECT_EQ(tensors.at("model.layers.0.self_attn.q_proj.weight").at("rounding"), "gptq");
}

TEST_P(WalkTest, Smoothing) { expect_reference(run_of(GetParam(), "smoothquant+gptq+int3-g16")); }

INSTANTIATE_TEST_SUITE_P(Architectures, WalkTest, ::testing::ValuesIn(golden_models()),
                         [](const auto& param) { return std::string(param.param); });

TEST(Walk, EveryAlgorithmInEveryOrder) {
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    SCOPED_TRACE(to_string(order));
    expect_reference(run_of("llama", "gptaq+int2-g16", order));
    expect_reference(run_of("llama", "adaround:iterations=5+int3-g16", order));
    expect_reference(run_of("opt", "bias-correction+int3-row", order));
    expect_reference(run_of("gpt_neox", "smoothquant+bias-correction+gptq+int3-g16", order));
  }
}

Recipe write_recipe(const TempDir& dir, const std::string& yaml) {
  std::ofstream(dir.file("r.yaml")) << yaml;
  return load_recipe(dir.file("r.yaml"));
}

// Scaled matrices that no step quantizes go out as they were rewritten, GPT-2's [in, out] ones included.
TEST(Walk, RewrittenMatricesThatStay) {
  for (const char* model : {"gpt2", "llama", "opt", "gemma2"}) {
    const TempDir dir;
    write_recipe(dir, "steps: [{transform: smoothquant}, {quantize: int3-g16, rounding: gptq, targets: [mlp_down]}]\n");
    expect_reference(run_of(model, dir.file("r.yaml")));
    write_recipe(dir,
                 "steps: [{transform: smoothquant}, {quantize: int3-g16, rounding: gptq}, {keep: [output, up]}]\n");
    expect_reference(run_of(model, dir.file("r.yaml")));
  }
}

TEST(Walk, StepsForSomeSitesOnly) {
  const TempDir dir;
  write_recipe(dir,
               "steps:\n"
               "- {quantize: int4-g16, rounding: gptq}\n"
               "- {quantize: int8-row, targets: [mlp_down]}\n"
               "- {quantize: int3-g16, rounding: {adaround: {iterations: 3}}, targets: [v]}\n"
               "- {quantize: int3-g16, rounding: {gptq: {order: act-order}}, targets: [k]}\n"
               "- {keep: [blocks.1.up, blocks.0.output]}\n");
  expect_reference(run_of("llama", dir.file("r.yaml")));
}

TEST(Walk, SameBytesForThreadsMemoryAndOrderOfWork) {
  for (const char* recipe :
       {"gptq+int4-g32", "awq:steps=3+gptaq+int3-g16", "hadamard+adaround:iterations=3+int4-g16"}) {
    CalibratedRun run = run_of("llama", recipe);
    const auto expected = run.files();
    for (const int threads : {1, 3}) {
      run.threads = threads;
      testing::expect_same_files(run.files(), expected, std::string(recipe) + ", threads");
    }
  }
}

TEST(Walk, SameBytesWithActivationsInAFile) {
  CalibratedRun run = run_of("gpt_neox", "gptaq+int3-g16");
  // So many that they are what the memory goes to.
  run.data = testing::some_data(run.model, std::vector<int64_t>(300, 60));
  const auto expected = run.files();
  ThreadPool threads(2);
  Progress silent;
  Context context{threads, silent};
  QuantizeOptions options = run.options;
  options.data = &run.data;
  const QuantizeCost cost = predict_quantization(
      make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, context.threads), context);
  EXPECT_FALSE(cost.walk.spills);
  // Between what the two ways need: neither is met by the process growing a little meanwhile.
  run.options.memory = (cost.walk.least_memory + cost.walk.peak_memory) / 2;
  options.memory = run.options.memory;
  ASSERT_TRUE(predict_quantization(
                  make_task(Checkpoint::open(run.model), load_recipe(run.recipe), options, context.threads), context)
                  .walk.spills);
  testing::expect_same_files(run.files(), expected, "spilled");
}

TEST(Walk, ShardsHoldTheSameTensors) {
  CalibratedRun run = run_of("llama", "gptq+int4-g32");
  const TempDir dir;
  run.into(dir.file("whole"));
  run.options.shard_bytes = 10000;
  run.into(dir.file("shards"));
  EXPECT_GT(testing::files_of(dir.file("shards")).size(), testing::files_of(dir.file("whole")).size());
  const auto whole = Checkpoint::open(dir.file("whole")), shards = Checkpoint::open(dir.file("shards"));
  for (const CheckpointTensor& tensor : whole->tensors()) {
    EXPECT_EQ(shards->tensor(tensor.name).rows->decode_all(), tensor.rows->decode_all()) << tensor.name;
  }
  testing::verify(dir.file("shards"));
}

TEST(Walk, AnnouncesWhatItDoes) {
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock, WalkOrder::kNone}) {
    for (const char* recipe : {"gptq+int4-g32", "awq:steps=2+gptaq+int4-g16"}) {
      testing::Listener listener;
      const TempDir dir;
      run_of("llama", recipe, order).into(dir.file("out"), listener);
      // Every call loses less than one unit to rounding.
      EXPECT_LE(listener.done, listener.announced + 1) << recipe << ", " << to_string(order);
      EXPECT_GE(listener.done + listener.calls, listener.announced) << recipe << ", " << to_string(order);
    }
  }
}

TEST(Walk, ManifestSaysHowItWasMade) {
  const TempDir dir;
  const CalibratedRun run = run_of("gpt2", "smoothquant+gptq+int4-g16");
  const QuantizeResult result = run.into(dir.file("out"));
  const Json manifest = read_json(dir.file("out/bitloom.json"));
  const Json& calibration = manifest.at("calibration");
  EXPECT_EQ(calibration.at("ids_sha256"), run.data.record.at("ids_sha256"));
  EXPECT_EQ(calibration.at("order"), "sequential");
  EXPECT_EQ(calibration.at("activations"), "F32");
  EXPECT_EQ(calibration.at("run_seed"), 0);
  ASSERT_EQ(manifest.at("remarks").size(), 1u) << manifest.at("remarks").dump(1);
  EXPECT_THAT(manifest.at("remarks")[0].get<std::string>(),
              HasSubstr("stay as they are, such as that of block 0, mlp_down"));
  EXPECT_EQ(result.remarks, manifest.at("remarks").get<std::vector<std::string>>());
  ASSERT_EQ(manifest.at("tensors").size(), 8u);
  for (const auto& [name, tensor] : manifest.at("tensors").items()) {
    EXPECT_EQ(tensor.at("damping"), 0.01) << name;
    EXPECT_EQ(tensor.at("tokens"), run.data.tokens()) << name;
    EXPECT_EQ(tensor.at("dropped_tokens"), 0) << name;
    EXPECT_GT(tensor.at("output_error"), 0.0) << name;
    EXPECT_LT(tensor.at("output_error"), 0.1) << name;
  }
}

TEST(Walk, OutputsOfEveryKindVerify) {
  const TempDir dir;
  int n = 0;
  for (const auto& [model, recipe] :
       std::vector<std::pair<const char*, const char*>>{{"llama", "hadamard+gptq+int4-g16"},  // gets a head of its own
                                                        {"llama_bf16", "smoothquant+int8-row"},
                                                        {"qwen2", "bias-correction+gptq+int4-g16"},
                                                        {"gemma2", "awq:steps=2+gptq+nf4-g16"}}) {
    const std::string out = dir.file("out" + std::to_string(n++));
    run_of(model, recipe).into(out);
    EXPECT_FALSE(testing::verify(out).empty()) << model << ", " << recipe;
  }
  EXPECT_TRUE(Checkpoint::open(dir.file("out0"))->has("lm_head.weight"));
  EXPECT_EQ(Checkpoint::open(dir.file("out1"))->tensor("model.layers.0.input_layernorm.weight").rows->storage(), "F32");
}

}  // namespace
}  // namespace bitloom
