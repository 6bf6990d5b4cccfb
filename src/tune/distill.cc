#include "tune/distill.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/dense_matrix.h"
#include "base/error.h"
#include "base/rng.h"
#include "forward/adjoint/head_adjoint.h"
#include "report/numbers.h"
#include "tune/checkpoint.h"
#include "tune/student.h"
#include "tune/teacher.h"

namespace bitloom {
namespace {

constexpr int64_t kHeldOutEvery = 10;   // batches
constexpr int64_t kChecksPerEpoch = 4;  // at most; as many as there are without gain end it
// Of BlockAdjoint and Workspace, at most: values of a row as wide as the hidden state, and those for each number that
// a layer gives (it, what it becomes before it is read, the gradients of both, the forward pass's own).
constexpr int64_t kStreamsOfBlock = 12, kNormsOfBlock = 4;
constexpr double kValuesOfOutput = 6;
// Present values, Adam's three numbers and the best of each in fp32, its gradient in double, and the file as it is
// written; that file beside the one that it replaces.
constexpr int64_t kBytesOfLearned = 52, kFileBytesOfLearned = 32;
constexpr uint64_t kOrderStream = 0x64697374696C6C;  // "distill"

// Progress counts rows that go forward once. A step recomputes each block, and its backward pass takes two products for
// each of the forward's.
constexpr int64_t kStepWork = 5;

DistillTransform options_of(const Recipe& recipe) {
  for (const RecipeStep& step : recipe.steps) {
    if (const auto* distill = step.transform ? std::get_if<DistillTransform>(&*step.transform) : nullptr)
      return *distill;
  }
  fail(ErrorKind::kFailed, "recipe '{}' has no step 'distill'", recipe.name);
}

/// Neighbouring sequences of equal length, `batch` at most.
std::vector<SequenceChunk> batches_of(const TokenSequences& sequences, int64_t batch) {
  std::vector<SequenceChunk> batches;
  const std::vector<int64_t> lengths = lengths_of(sequences);
  for (size_t s = 0; s < lengths.size(); ++s) {
    if (lengths[s] == 0) continue;
    const bool joins = !batches.empty() && batches.back().length == lengths[s] && batches.back().batch < batch &&
                       batches.back().first + batches.back().batch == static_cast<int64_t>(s);
    if (joins) {
      ++batches.back().batch;
    } else {
      batches.push_back({static_cast<int64_t>(s), 1, lengths[s]});
    }
  }
  return batches;
}

/// Places of batches.
struct Split {
  std::vector<size_t> learned_from, held_out;
};

Split split(const std::vector<SequenceChunk>& batches) {
  Split split;
  for (size_t b = 0; b < batches.size(); ++b) {
    const bool last = b + 1 == batches.size() && split.held_out.empty();
    const bool out = static_cast<int64_t>(b) % kHeldOutEvery == kHeldOutEvery - 1 || last;
    (out ? split.held_out : split.learned_from).push_back(b);
  }
  return split;
}

int64_t rows_of(const std::vector<SequenceChunk>& batches, const std::vector<size_t>& places) {
  int64_t rows = 0;
  for (const size_t b : places) rows += batches[b].rows();
  return rows;
}

int64_t checks_of_epoch(const Split& split) {
  return std::min(kChecksPerEpoch, static_cast<int64_t>(split.learned_from.size()));
}

class Distillation {
 public:
  Distillation(const QuantizeTask& task, CalibratedModel& calibrated, Context& context)
      : task_(task),
        calibrated_(calibrated),
        context_(context),
        options_(options_of(task.recipe)),
        sequences_(task.options.data->sequences),
        batches_(batches_of(sequences_, options_.batch)),
        path_(calibrated.journal->directory() + "/tuning.safetensors"),
        student_(static_cast<const Model&>(*task.model).edited(calibrated.rewritten), calibrated.finished),
        sizes_(student_.sizes()),
        split_(split(batches_)),
        steps_(options_.epochs * static_cast<int64_t>(split_.learned_from.size())) {}

  void run() {
    std::optional<DistillState> kept = load_state(path_, student_.vectors());
    if (kept && kept->done) {
      state_ = std::move(*kept);
    } else {
      learn(std::move(kept));
    }
    apply();
  }

 private:
  void learn(std::optional<DistillState> kept);
  void take_step();
  void check();
  void end(const std::string& why);
  void apply();
  double kl(size_t batch, VectorGradients* gradients);
  double held_out_kl();
  std::vector<size_t> order_of(int64_t epoch) const;
  int64_t rows_of(const std::vector<size_t>& places) const { return bitloom::rows_of(batches_, places); }
  int64_t work_after(int64_t steps) const;
  bool checks_at(int64_t step) const;

  const QuantizeTask& task_;
  CalibratedModel& calibrated_;
  Context& context_;
  const DistillTransform options_;
  const TokenSequences& sequences_;
  const std::vector<SequenceChunk> batches_;
  const std::string path_;
  Student student_;
  const std::map<std::string, double> sizes_;
  const Split split_;    // of batches_
  const int64_t steps_;  // at most
  std::optional<Teacher> teacher_;
  DistillState state_;
};

/// Checks are spread evenly over each epoch.
bool Distillation::checks_at(int64_t step) const {
  const auto per_epoch = static_cast<int64_t>(split_.learned_from.size());
  return step == steps_ || step * kChecksPerEpoch / per_epoch != (step - 1) * kChecksPerEpoch / per_epoch;
}

int64_t Distillation::work_after(int64_t steps) const {
  int64_t work = 0;
  for (int64_t step = steps + 1; step <= steps_; ++step) work += checks_at(step) ? rows_of(split_.held_out) : 0;
  return work +
         kStepWork * rows_of(split_.learned_from) * (steps_ - steps) / static_cast<int64_t>(split_.learned_from.size());
}

std::vector<size_t> Distillation::order_of(int64_t epoch) const {
  std::vector<size_t> order = split_.learned_from;
  Rng rng(task_.options.seed, kOrderStream + static_cast<uint64_t>(epoch));
  for (size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[static_cast<size_t>(rng.uniform_double() * static_cast<double>(left))]);
  }
  return order;
}

double Distillation::kl(size_t batch, VectorGradients* gradients) {
  const SequenceChunk& chunk = batches_[batch];
  const std::vector<float> hidden = teacher_->hidden(batch);
  const TargetLogits target = [&](int64_t first, int64_t count, float* out) {
    teacher_->logits(hidden.data() + first * teacher_->width(), count, out);
  };
  return student_.kl(tokens_of(chunk, sequences_), chunk.batch, chunk.length, target, gradients, context_.threads);
}

/// The mean over the tokens that are held out.
double Distillation::held_out_kl() {
  double sum = 0;
  for (const size_t b : split_.held_out) {
    sum += kl(b, nullptr) * static_cast<double>(batches_[b].rows());
    context_.progress.advance(batches_[b].rows(), fmt::format("step {}/{}, held-out KL", state_.adam.steps, steps_));
  }
  return sum / static_cast<double>(rows_of(split_.held_out));
}

void Distillation::end(const std::string& why) {
  state_.done = true;
  if (!why.empty()) context_.progress.log(fmt::format("distill: ends after step {}: {}", state_.adam.steps, why));
  if (std::isfinite(state_.held_out.first)) save(path_, state_);
}

void Distillation::learn(std::optional<DistillState> kept) {
  const std::string spill = task_.options.memory > 0 ? calibrated_.journal->directory() : "";
  const bool goes_on = kept.has_value();
  if (goes_on) {
    state_ = std::move(*kept);
    context_.progress.log(fmt::format("distill: going on after step {} of {}", state_.adam.steps, steps_));
  }
  std::vector<size_t> all(batches_.size());
  for (size_t b = 0; b < all.size(); ++b) all[b] = b;
  const int64_t first = goes_on ? 0 : rows_of(split_.held_out);
  const ProgressTask progress(context_.progress, "distilling", rows_of(all) + first + work_after(state_.adam.steps));
  teacher_.emplace(task_.source, sequences_, batches_, spill, context_);
  if (goes_on) {
    student_.set(state_.adam.values);
  } else {
    state_.adam = begin_adam(student_.vectors());
    state_.best = student_.vectors();
    state_.held_out.first = state_.held_out.best = held_out_kl();
    if (!std::isfinite(state_.held_out.first)) end("the quantized model's logits are not finite");
  }
  while (!state_.done && state_.adam.steps < steps_) take_step();
  if (!state_.done) end("");
  teacher_.reset();
}

void Distillation::take_step() {
  const auto per_epoch = static_cast<int64_t>(split_.learned_from.size());
  const int64_t step = state_.adam.steps;
  const size_t batch = order_of(step / per_epoch)[static_cast<size_t>(step % per_epoch)];
  VectorGradients gradients;
  const double loss = kl(batch, &gradients);
  if (!std::isfinite(loss) || !are_finite(gradients, state_.adam)) {
    return end("its loss or gradient is not finite");
  }
  adam_step(gradients, sizes_, cosine_rate(options_.rate, step, steps_), state_.adam);
  student_.set(state_.adam.values);
  context_.progress.advance(kStepWork * batches_[batch].rows(),
                            fmt::format("step {}/{}, KL {}", step + 1, steps_, format_significant(loss, 3)));
  if (checks_at(state_.adam.steps)) check();
}

void Distillation::check() {
  HeldOut& held_out = state_.held_out;
  const double now = held_out_kl();
  if (now < held_out.best) {
    held_out.best = now, held_out.best_step = state_.adam.steps, held_out.checks_since = 0;
    state_.best = student_.vectors();
  } else {
    ++held_out.checks_since;
  }
  if (!std::isfinite(now)) return end("the held-out KL is not finite");
  if (held_out.checks_since >= checks_of_epoch(split_)) return end("an epoch without gain");
  save(path_, state_);
}

void Distillation::apply() {
  const HeldOut& held_out = state_.held_out;
  if (held_out.best_step > 0) {
    student_.set(state_.best);
    for (auto& [name, finished] : student_.matrices()) calibrated_.finished[name] = finished;
    for (const auto& [name, values] : student_.norms()) {
      calibrated_.rewritten.tensors[name] = dense_matrix(1, static_cast<int64_t>(values.size()), values);
    }
  }
  calibrated_.record["distillation"] = {{"held_out_tokens", rows_of(split_.held_out)},
                                        {"kl_before", held_out.first},
                                        {"kl_after", held_out.best},
                                        {"best_step", held_out.best_step},
                                        {"steps", state_.adam.steps}};
  calibrated_.remarks.push_back(fmt::format(
      "distill: KL to the original on {} held-out calibration tokens {} -> {}, by step {} of {}; errors of matrices "
      "are those before it",
      rows_of(split_.held_out), format_significant(held_out.first, 3), format_significant(held_out.best, 3),
      held_out.best_step, steps_));
}

void check_distillation(const QuantizeTask& task) {
  const TokenSequences& sequences = task.options.data->sequences;
  const int64_t batch = options_of(task.recipe).batch;
  if (!split(batches_of(sequences, batch)).learned_from.empty()) return;
  misuse("recipe '{}' holds out one batch of sequences: {} of them make one, at least {} are needed", task.recipe.name,
         sequences.size(), batch + 1);
}

/// Experts count by the share of rows that they see, all others whole.
double share_of_rows(const Graph& graph, const Site& site) {
  const Experts& experts = graph.blocks[static_cast<size_t>(site.block)].experts;
  if (site.reads->expert < 0) return 1;
  return static_cast<double>(experts.top_k) / static_cast<double>(std::max<size_t>(experts.mlps.size(), 1));
}

struct ModelSize {
  double work = 0;          // weights that a row meets in all blocks
  int64_t block = 0;        // weights of the largest block
  int64_t activations = 0;  // numbers of a row that the widest block holds at once in its backward pass
  int64_t vectors = 0;      // numbers that are learned, at most
};

ModelSize size_of(const QuantizeTask& task) {
  const Graph& graph = task.model->graph();
  const size_t blocks = graph.blocks.size();
  ModelSize size;
  size.vectors = graph.hidden * (kNormsOfBlock * static_cast<int64_t>(blocks) + 1);
  std::vector<int64_t> weights(blocks);
  std::vector<double> widths(blocks);
  for (const Site& site : linear_sites(graph)) {
    const int64_t out = site.linear->out, in = site.linear->in;
    const double share = share_of_rows(graph, site);
    const auto block = static_cast<size_t>(site.block);
    size.work += share * static_cast<double>(out * in);
    weights[block] += out * in, widths[block] += share * static_cast<double>(out);
    const auto step = task.steps.find(site.linear->weight);
    if (step == task.steps.end()) continue;
    const FrameStorage frame = step->second.storage().side.frame;
    size.vectors += (frame.in_scales ? in : 0) + (frame.out_scales ? out : 0);
  }
  for (size_t b = 0; b < blocks; ++b) {
    const auto widest = static_cast<int64_t>(std::ceil(kValuesOfOutput * widths[b]));
    size.block = std::max(size.block, weights[b]);
    size.activations = std::max(size.activations, kStreamsOfBlock * graph.hidden + widest);
  }
  return size;
}

TuningCost cost_of_distillation(const QuantizeTask& task) {
  const Graph& graph = task.model->graph();
  const DistillTransform options = options_of(task.recipe);
  const std::vector<SequenceChunk> batches = batches_of(task.options.data->sequences, options.batch);
  const Split parts = split(batches);
  const ModelSize size = size_of(task);
  const auto head = static_cast<double>(graph.vocab_size * graph.hidden);
  const auto epochs = static_cast<double>(options.epochs);
  int64_t most = 0;
  for (const SequenceChunk& batch : batches) most = std::max(most, batch.rows());
  const int64_t learned = rows_of(batches, parts.learned_from), held_out = rows_of(batches, parts.held_out);
  const auto of_steps = static_cast<double>(learned);
  const auto of_checks = static_cast<double>(held_out * checks_of_epoch(parts));
  TuningCost cost;
  // A step: forward twice, back with respect to what is read and to the weights; the head once each, the original's
  // too.
  cost.flops = 2 * (static_cast<double>(learned + held_out) * size.work +
                    epochs * (of_steps * (4 * size.work + 3 * head) + of_checks * (size.work + 3 * head)));
  const int64_t kept = 4 * (learned + held_out) * graph.hidden;  // the original's hidden states
  const bool spills = task.options.memory > 0;
  // The streams before all blocks, the activations of one, and its weights twice.
  cost.memory = (spills ? 0 : kept) + kBytesOfLearned * size.vectors +
                4 * (most * (graph.hidden * static_cast<int64_t>(graph.blocks.size()) + size.activations) +
                     2 * kHeadRows * graph.vocab_size + 2 * size.block);
  cost.disk = (spills ? kept : 0) + kFileBytesOfLearned * size.vectors;
  return cost;
}

void distill(const QuantizeTask& task, CalibratedModel& calibrated, Context& context) {
  Distillation(task, calibrated, context).run();
}

}  // namespace

const Tuner kDistiller = {check_distillation, cost_of_distillation, distill};

}  // namespace bitloom
