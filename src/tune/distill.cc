#include "tune/distill.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "forward/adjoint/head_adjoint.h"
#include "recipe/parts.h"
#include "report/numbers.h"
#include "tune/batches.h"
#include "tune/learned/latent_grid.h"
#include "tune/learned/learned_format.h"
#include "tune/learner.h"
#include "tune/model_size.h"
#include "tune/student.h"
#include "tune/teacher.h"

namespace bitloom {
namespace {

const DistillTransform& options_of(const Recipe& recipe) { return *find_transform<DistillTransform>(recipe); }

// A state's file as it is written, beside the one that it replaces.
constexpr int64_t kFileBytesOfLearned = 32, kFileBytesOfWeight = 16, kFileBytesOfCode = 8;

Learned learned_by(const DistillTransform& options) {
  if (options.formats) return Learned::kAllAndFormats;
  if (options.weights) return Learned::kAllAndWeights;
  if (options.codes) return Learned::kAllAndCodes;
  return options.bases ? Learned::kAll : Learned::kFrames;
}

/// As learned_by() says; formats begin at the weights that were rounded.
Parametriser parametriser(const QuantizeTask& task) {
  const DistillTransform options = options_of(task.recipe);
  const Learned what = learned_by(options);
  if (!options.formats) {
    return [what](const std::string& name, const auto& matrix) { return parametrise(name, matrix, what); };
  }
  const bool paper = options.parity == DistillTransform::Parity::kPaper;
  std::map<std::string, const Linear*> linears;
  for (const Site& site : linear_sites(task.model->graph())) linears[site.linear->weight] = site.linear;
  return [&task, linears, gradient = paper ? FormatGradient::kPaper : FormatGradient::kThroughFloor](
             const std::string& name, const auto& matrix) {
    const auto linear = linears.find(name);
    if (linear == linears.end() || !has_learned_format(matrix->spec())) {
      return parametrise(name, matrix, Learned::kAllAndWeights);
    }
    return learned_format(*matrix, *task.model->matrix(*linear->second), gradient);
  };
}

CodeOptions code_options(const DistillTransform& options) {
  return {.rate = options.code_rate,
          .changes = options.changes,
          .trust = options.trust,
          .decay = options.decay,
          .beam = options.beam};
}

/// The KL from the original's logits.
class Divergence final : public Objective {
 public:
  Divergence(Student& student, const TokenSequences& sequences, const std::vector<SequenceChunk>& batches,
             const DistillTransform& options, ThreadPool& threads)
      : student_(student), sequences_(sequences), batches_(batches), options_(options), threads_(threads) {}

  /// Before any loss.
  void set_teacher(const Teacher* teacher) { teacher_ = teacher; }
  const Vectors& vectors() const override { return student_.vectors(); }
  std::map<std::string, double> sizes() const override {
    std::map<std::string, double> sizes = student_.sizes();
    for (auto& [name, size] : sizes) {
      if (name.ends_with(kLatentSuffix)) size *= options_.weight_rate / options_.rate;
      if (name.ends_with(kMantissaSuffix)) size *= options_.format_rate / options_.rate;
    }
    return sizes;
  }
  void set(Vectors values) override { student_.set(std::move(values)); }
  void settle(Vectors& values, int64_t step, int64_t steps) const override { student_.settle(values, step, steps); }
  std::map<std::string, int64_t> code_entries() const override { return student_.code_entries(); }
  CodeState begin_codes() override { return student_.begin_codes(threads_); }
  void set_codes(Codes codes) override { student_.set_codes(std::move(codes)); }
  void choose_codes(const CodeOptions& options, CodeState& state) override {
    student_.choose_codes(options, state, threads_);
  }
  double loss(size_t batch, VectorGradients* gradients, const OfWeights& of_weights) override {
    const SequenceChunk& chunk = batches_[batch];
    const std::vector<float> hidden = teacher_->hidden(batch);
    const TargetLogits target = [&](int64_t first, int64_t count, float* out) {
      teacher_->logits(hidden.data() + first * teacher_->width(), count, out);
    };
    return student_.kl(tokens_of(chunk, sequences_), chunk.batch, chunk.length, target, gradients, threads_,
                       of_weights);
  }

 private:
  Student& student_;
  const TokenSequences& sequences_;
  const std::vector<SequenceChunk>& batches_;
  const DistillTransform& options_;
  ThreadPool& threads_;
  const Teacher* teacher_ = nullptr;
};

/// What the inputs of the blocks are rounded to: the ranges that the walk found, and else the recipe's formats.
InputFormats input_formats(const QuantizeTask& task, const CalibratedModel& calibrated) {
  InputFormats formats = task.activations;
  for (const auto& [place, format] : calibrated.activations) formats.insert_or_assign(place, format);
  return formats;
}

/// "37 to e2m1, 5 to e1m2": matrices by the formats that were learned.
std::string formats_in(const FinishedMatrices& matrices) {
  std::map<std::string, int> counts;
  for (const auto& [name, finished] : matrices) {
    if (!has_learned_format(finished.matrix->spec())) continue;
    ++counts[name_of(finished.matrix->grid()->storage().format)];
  }
  std::string text;
  for (const auto& [format, count] : counts) {
    text += fmt::format("{}{} to {}", text.empty() ? "" : ", ", count, format);
  }
  return text;
}

/// Exchanges what was learned in the calibrated model, and says what it brought.
void apply(const Student& student, const Learner& learner, int64_t held_out_rows, const DistillTransform& options,
           CalibratedModel& calibrated) {
  const LearningState& state = learner.state();
  const HeldOut& held_out = state.held_out;
  if (held_out.best_step > 0) {
    for (auto& [name, finished] : student.matrices()) calibrated.finished[name] = finished;
    for (const auto& [name, values] : student.norms()) {
      calibrated.rewritten.tensors[name] = dense_matrix(1, static_cast<int64_t>(values.size()), values);
    }
  }
  calibrated.record["distillation"] = {{"held_out_tokens", held_out_rows},
                                       {"kl_before", held_out.first},
                                       {"kl_after", held_out.best},
                                       {"best_step", held_out.best_step},
                                       {"steps", state.adam.steps}};
  if (!std::isfinite(held_out.first)) {
    calibrated.remarks.push_back(fmt::format(
        "distill: nothing is learned: the KL to the original on the {} held-out calibration tokens is not finite",
        held_out_rows));
    return;
  }
  calibrated.remarks.push_back(fmt::format(
      "distill: KL to the original on {} held-out calibration tokens, the least of which chose the step, {} -> {}, by "
      "step {} of {}; errors of matrices are those before it",
      held_out_rows, format_significant(held_out.first, 3), format_significant(held_out.best, 3), held_out.best_step,
      learner.steps()));
  if (!options.formats) return;
  calibrated.remarks.push_back(fmt::format("distill: formats of matrices, their bits split as they were learned: {}",
                                           formats_in(calibrated.finished)));
}

/// Error(kUsage) for matrices whose weights, or formats, cannot be learned through rounding.
void check_latent_weights(const QuantizeTask& task) {
  const bool formats = options_of(task.recipe).formats;
  if (options_of(task.recipe).codes) {
    misuse("recipe '{}': distill learns 'codes' of additive codebooks or '{}' of grids, not both", task.recipe.name,
           formats ? "formats" : "weights");
  }
  for (const Site& site : linear_sites(task.model->graph())) {
    const auto step = task.steps.find(site.linear->weight);
    if (step == task.steps.end()) continue;
    const Storage storage = step->second.storage();
    if (formats ? has_learned_format(storage) : has_latent_weights(storage)) continue;
    if (formats) {
      misuse(
          "recipe '{}': formats are learned of minifloats without reserved codes, at the usual bias, with fp16 or bf16 "
          "scales and without side terms (e2m1-g64, e3m2-row, e4m3-tensor; 1 to 5 exponent bits); '{}' is to be {}",
          task.recipe.name, site.linear->weight, to_string(storage));
    }
    misuse(
        "recipe '{}': weights are learned through rounding to scaled grids without side terms (int4-g128, e2m1-row, "
        "mxfp4, nf4-g64); '{}' is to be {}",
        task.recipe.name, site.linear->weight, to_string(storage));
  }
}

/// Error(kUsage) where the weights that are rounded are known to the walk alone: formats begin at them.
void check_unmoved(const QuantizeTask& task) {
  for (const RecipeStep& step : task.recipe.steps) {
    if (!step.transform) continue;
    const auto* tuning = std::get_if<BlockTuningTransform>(&*step.transform);
    if (tuning != nullptr && tuning->correction > 0) {
      misuse(
          "recipe '{}': 'distill:formats' begins at the model's own weights, to which correction={} of 'tune-blocks' "
          "adds a product before they are rounded; leave out one of the two",
          task.recipe.name, tuning->correction);
    }
    const PartRow& row = row_of(part_of(*step.transform));
    if (row.stage != PartStage::kScaling && row.stage != PartStage::kReassembly) continue;
    misuse("recipe '{}': 'distill:formats' begins at the model's own weights, which '{}' changes as blocks are rounded",
           task.recipe.name, row.name);
  }
}

}  // namespace

void check_distillation(const QuantizeTask& task) {
  const DistillTransform& options = options_of(task.recipe);
  if (options.weights || options.formats) check_latent_weights(task);
  if (options.formats) check_unmoved(task);
  const TokenSequences& sequences = task.options.data->sequences;
  if (batches_of(sequences, options.batch).size() > 1) return;
  misuse("recipe '{}' holds out one batch of sequences: {} of them make one, at least {} are needed", task.recipe.name,
         sequences.size(), options.batch + 1);
}

TuningCost cost_of_distillation(const QuantizeTask& task) {
  const Graph& graph = task.model->graph();
  const DistillTransform options = options_of(task.recipe);
  const std::vector<SequenceChunk> batches = batches_of(task.options.data->sequences, options.batch);
  const std::vector<int64_t> rows = rows_in(batches);
  const Split parts = split_batches(batches.size());
  const ModelSize size = size_of(task, learned_by(options));
  const auto head = static_cast<double>(graph.vocab_size * graph.hidden);
  const auto epochs = static_cast<double>(options.epochs);
  const int64_t most = rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end());
  const int64_t learned = rows_of(rows, parts.learned_from);
  const int64_t held_out = rows_of(rows, parts.held_out);
  const auto of_steps = static_cast<double>(learned);
  const auto of_checks = static_cast<double>(held_out * checks_of_epoch(parts));
  TuningCost cost;
  // A step: forward twice, back with respect to what is read and to the weights; the head once each, the original's
  // too.
  cost.flops = 2 * (static_cast<double>(learned + held_out) * size.work +
                    epochs * (of_steps * (4 * size.work + 3 * head) + of_checks * (size.work + 3 * head)));
  const double steps = epochs * static_cast<double>(parts.learned_from.size());
  cost.flops += steps * kLatentWork * static_cast<double>(size.learned.rounded);
  cost.flops += steps * options.changes * static_cast<double>(options.beam) * size.learned.search;
  const int64_t kept = 4 * (learned + held_out) * graph.hidden;  // the original's hidden states
  const bool spills = task.options.memory > 0;
  // The streams before all blocks, the activations of one, its weights twice, and panels of their gradients.
  cost.memory = (spills ? 0 : kept) + bytes_of(size.learned) +
                4 * (most * (graph.hidden * static_cast<int64_t>(graph.blocks.size()) + size.activations) +
                     2 * kHeadRows * graph.vocab_size + 2 * size.block + size.panels);
  // What is read of an input that is rounded, the same rotated, and its gradient.
  if (!task.activations.empty()) cost.memory += 4 * most * 3 * size.widest_input;
  cost.disk = (spills ? kept : 0) + kFileBytesOfLearned * size.learned.values +
              kFileBytesOfWeight * size.learned.weights + kFileBytesOfCode * size.learned.codes;
  return cost;
}

void distill(const QuantizeTask& task, CalibratedModel& calibrated, Context& context) {
  const DistillTransform options = options_of(task.recipe);
  const TokenSequences& sequences = task.options.data->sequences;
  const std::vector<SequenceChunk> batches = batches_of(sequences, options.batch);
  const std::vector<int64_t> rows = rows_in(batches);
  const std::string journal = calibrated.journal->directory();
  Student student(static_cast<const Model&>(*task.model).edited(calibrated.rewritten), calibrated.finished,
                  parametriser(task));
  student.round_inputs(input_formats(task, calibrated));
  Divergence divergence(student, sequences, batches, options, context.threads);
  const auto advance = [&](int64_t done, const std::string& where) { context.progress.advance(done, where); };
  Learner learner(divergence,
                  {.name = "distill",
                   .loss = "KL",
                   .rows = rows,
                   .epochs = options.epochs,
                   .rate = options.rate,
                   .seed = task.options.seed,
                   .checkpoint = journal + "/tuning.safetensors",
                   // Codes that change together cost more at first than they bring.
                   .ends_early = !options.weights && !options.formats,
                   .codes = code_options(options)},
                  advance, context.progress);
  std::optional<Teacher> teacher;
  std::optional<ProgressTask> progress;
  if (!learner.state().done) {
    progress.emplace(context.progress, "distilling", std::accumulate(rows.begin(), rows.end(), learner.work_left()));
    teacher.emplace(task.source, sequences, batches, task.options.memory > 0 ? journal : "", context);
    divergence.set_teacher(&*teacher);
  }
  learner.run();
  progress.reset();
  apply(student, learner, rows_of(rows, learner.split().held_out), options, calibrated);
}

}  // namespace bitloom
