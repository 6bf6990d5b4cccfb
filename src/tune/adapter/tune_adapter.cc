#include "tune/adapter/tune_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/text/text.h"
#include "base/version.h"
#include "export/module_names.h"
#include "export/peft/adapt.h"
#include "forward/adjoint/head_adjoint.h"
#include "io/directory/output_directory.h"
#include "io/hash.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/task/file_records.h"
#include "tune/adapter/adapter_loss.h"
#include "tune/batches.h"
#include "tune/learned/parametrisation.h"
#include "tune/learner.h"
#include "tune/model_size.h"

namespace bitloom {
namespace {

/// The windows that are learned from, then those that are held out, and batches of both.
struct Lessons {
  TokenSequences sequences;
  std::vector<SequenceChunk> batches;
  Split split;
  int64_t learned_from = 0, held_out = 0;  // windows
};

Lessons lessons_of(const AdapterTask& task) {
  const Split windows = split_batches(task.sequences.size(), task.options.validation);
  Lessons lessons;
  lessons.learned_from = static_cast<int64_t>(windows.learned_from.size());
  lessons.held_out = static_cast<int64_t>(windows.held_out.size());
  for (const auto* part : {&windows.learned_from, &windows.held_out}) {
    TokenSequences sequences;
    for (const size_t window : *part) sequences.push_back(task.sequences[window]);
    for (SequenceChunk batch : batches_of(sequences, task.options.batch)) {
      batch.first += static_cast<int64_t>(lessons.sequences.size());
      (part == &windows.learned_from ? lessons.split.learned_from : lessons.split.held_out)
          .push_back(lessons.batches.size());
      lessons.batches.push_back(batch);
    }
    lessons.sequences.insert(lessons.sequences.end(), sequences.begin(), sequences.end());
  }
  return lessons;
}

LearningPlan plan_of(const AdapterTask& task, const Lessons& lessons) {
  const AdapterTuning& options = task.options;
  LearningPlan plan{.name = "tune", .loss = "loss", .rows = rows_in(lessons.batches), .epochs = options.epochs};
  plan.rate = options.rate, plan.decay = options.decay, plan.seed = options.seed;
  plan.split = lessons.split;
  plan.steps = options.steps;
  plan.steps = steps_of(plan, lessons.split);
  plan.warm_up = static_cast<int64_t>(std::ceil(options.warm_up * static_cast<double>(plan.steps)));
  plan.tells = true;
  return plan;
}

void check_options(const AdapterTuning& options) {
  if (options.batch < 1) misuse("--batch {}: must be at least 1", options.batch);
  if (options.epochs < 1 || options.epochs > kMostEpochs) {
    misuse("--epochs {}: must be 1 to {}", options.epochs, kMostEpochs);
  }
  if (options.steps < 0) misuse("--steps {}: must be at least 1", options.steps);
  if (!(options.rate > 0) || !std::isfinite(options.rate)) misuse("--lr {}: must be a number above 0", options.rate);
  if (!(options.decay >= 0) || options.decay > 1) misuse("--decay {}: must be 0 to 1", options.decay);
  if (!(options.warm_up >= 0) || options.warm_up >= 1) misuse("--warmup {}: must be 0 to less than 1", options.warm_up);
  if (!(options.validation > 0) || options.validation >= 1) {
    misuse("--validation {}: must be above 0 and below 1", options.validation);
  }
}

/// Adapters are not trained through inputs that are rounded.
void check_inputs(const Model& model) {
  for (const Site& site : linear_sites(model.graph())) {
    if (!site.reads->activations) continue;
    misuse("{}: what '{}' reads is rounded to {}: adapters are tuned on models whose inputs are read as they are",
           model.path(), site.linear->weight, kind_text(*site.reads->activations));
  }
  for (const Block& block : model.graph().blocks) {
    for (const Operand operand : kOperands) {
      if (!block.attention.format_of(operand)) continue;
      misuse("{}: attention's operands are rounded: adapters are tuned on models whose attention is exact",
             model.path());
    }
  }
}

/// Both sides of the split must have something.
void check_split(const AdapterTask& task) {
  const size_t windows = task.sequences.size();
  const double share = task.options.validation;
  const int64_t held_out = held_out_of(windows, share);
  if (windows < 2)
    misuse("the text has {} windows: one to learn from and one to hold out are needed (a smaller --seq)", windows);
  if (held_out < 1) {
    misuse("--validation {} of {} windows leaves none to measure on: at least {} does", share, windows,
           1 / static_cast<double>(windows));
  }
  if (held_out >= static_cast<int64_t>(windows)) {
    misuse("--validation {} of {} windows leaves none to learn from: at most {} does", share, windows,
           1 - 1 / static_cast<double>(windows));
  }
}

constexpr int64_t kFloat = sizeof(float);

int64_t learned_by(const PeftAdapter& adapter) { return bytes_of(adapter.modules) / kFloat; }

/// What goes through the model at once, as AdapterLoss does it.
int64_t rows_at_once(int64_t batch, int64_t length) {
  return std::min(batch, std::max<int64_t>(1, kPieceRows / length)) * length;
}

/// Numbers that the gradient of a module with magnitudes holds, at most: a wave of rows of V and of dL/dV, and the
/// shares of its panels in dL/dA.
int64_t held_for_magnitudes(const Model& model, const PeftAdapter& adapter) {
  const std::map<std::string, const Linear*> linears = block_linears(model.graph());
  int64_t most = 0;
  for (const auto& [tensor, name] : modules_by_tensor(model, adapter)) {
    const AdapterModule& module = adapter.modules.at(name);
    if (module.magnitude.empty()) continue;
    const int64_t rows = std::min(rows_of_wave(piece_of(*model.matrix(*linears.at(tensor)))), module.out);
    const int64_t panels = (rows + kGradientPanel - 1) / kGradientPanel;
    most = std::max(most, (2 * rows + panels * module.rank) * module.in);
  }
  return most;
}

/// Beside what the process has now. The numbers that are learned, twice more for the model that wears them and the copy
/// that it is made of; the streams before all blocks, the activations of one, what the factors' gradients are made of,
/// logits, a tile of W that is read backwards; what magnitudes need.
int64_t memory_of(const Model& model, const PeftAdapter& adapter, int64_t rows) {
  const Graph& graph = model.graph();
  const ModelSize size = size_of(graph);
  const int64_t learned = learned_by(adapter);
  int64_t widest = graph.hidden, rank = 0;
  for (const Site& site : linear_sites(graph)) widest = std::max(widest, site.linear->in);
  for (const auto& [name, module] : adapter.modules) rank = std::max(rank, module.rank);
  return bytes_of(LearnedSize{learned, 2 * kFloat * learned}) +
         kFloat * (rows * (graph.hidden * static_cast<int64_t>(graph.blocks.size() + 1) + size.activations + 2 * rank) +
                   3 * std::min(rows, kHeadRows) * graph.vocab_size + kAdjointRows * widest +
                   held_for_magnitudes(model, adapter));
}

/// Weights that a row meets in layers with magnitudes: dL/dW' of those is made.
double work_with_magnitudes(const Model& model, const PeftAdapter& adapter) {
  const std::map<std::string, std::string> modules = modules_by_tensor(model, adapter);
  double work = 0;
  for (const Site& site : linear_sites(model.graph())) {
    const auto module = modules.find(site.linear->weight);
    if (module == modules.end() || adapter.modules.at(module->second).magnitude.empty()) continue;
    work += work_of(model.graph(), site);
  }
  return work;
}

void check_memory(const AdapterTask& task) {
  const int64_t allowed = task.options.memory;
  const int64_t needed = cost_of(task).memory;
  if (allowed == 0 || needed <= allowed) return;
  const int64_t has = private_resident_bytes();
  std::string remedy;
  const auto whole = static_cast<int64_t>(task.sequences[0].size());
  for (int64_t length = task.options.batch > 1 ? whole : whole / 2; length >= 8 && remedy.empty(); length /= 2) {
    const int64_t least = has + memory_of(*task.model, task.adapter, rows_at_once(1, length));
    if (least > allowed) continue;
    const std::string windows = length < whole ? fmt::format(" --seq {}", length) : "";
    remedy = fmt::format("; --batch 1{} takes {}", windows, human_bytes(least));
  }
  fail(ErrorKind::kFailed, "--mem {} is too little to tune this adapter: {} are needed{}", human_bytes(allowed),
       human_bytes(needed), remedy);
}

/// All that decides the bytes.
Json identity_of(const AdapterTask& task, const LearningPlan& plan, Context& context) {
  Json run = {{"bitloom", version()},          {"steps", plan.steps},
              {"warm-up steps", plan.warm_up}, {"lr", plan.rate},
              {"decay", plan.decay},           {"seed", plan.seed},
              {"batch", task.options.batch},   {"validation", task.options.validation}};
  for (const char* key : {"ids_sha256", "sha256", "length", "samples", "source"}) {
    if (task.text.contains(key)) run[std::string("text ") + key] = task.text[key];
  }
  for (const Json& files : {hash_files(*task.model, context), source_of(*task.model)["files"]}) {
    for (const auto& [name, file] : files.items()) run["model " + name] = file["sha256"];
  }
  std::string values;
  for (const auto& [name, module] : task.adapter.modules) {
    values += fmt::format("{} {} {}\n", name, module.rank, module.scale);
    for (const auto* part : {&module.a, &module.b, &module.magnitude}) {
      values.append(reinterpret_cast<const char*>(part->data()), part->size() * sizeof(float));
    }
  }
  run["adapter"] = sha256_hex(values);
  return run;
}

void write(const AdapterTask& task, const std::map<std::string, AdapterModule>& modules, const Json& run,
           const AdapterTuned& tuned, OutputDirectory& directory) {
  write_peft_adapter(directory.staging(), modules, adapter_base(task.model->graph(), task.model->path()));
  Json record = {{"run", run}, {"text", task.text}, {"result", to_json(tuned)}};
  record["result"].erase("seconds");
  directory.write_text(kTuningRecord, dump_json(record));
  directory.commit();
}

}  // namespace

void check_adapter_task(const AdapterTask& task) {
  check_options(task.options);
  check_inputs(*task.model);
  modules_by_tensor(*task.model, task.adapter);
  check_split(task);
}

AdapterCost cost_of(const AdapterTask& task) {
  const Graph& graph = task.model->graph();
  const Lessons lessons = lessons_of(task);
  const LearningPlan plan = plan_of(task, lessons);
  const int64_t learned_rows = rows_of(plan.rows, lessons.split.learned_from);
  const int64_t held_out_rows = rows_of(plan.rows, lessons.split.held_out);
  const auto head = static_cast<double>(graph.vocab_size * graph.hidden);
  const double work = size_of(graph).work;
  const auto steps = static_cast<double>(plan.steps);
  const double rows_of_step =
      static_cast<double>(learned_rows) / static_cast<double>(lessons.split.learned_from.size());
  const double checks = static_cast<double>(checks_of(plan, lessons.split) + 1);
  AdapterCost cost;
  cost.steps = plan.steps, cost.learned = learned_by(task.adapter);
  // A step: forward twice, and back with respect to what is read, with magnitudes to W', too; the head once each.
  cost.flops = 2 * (steps * rows_of_step * (3 * work + work_with_magnitudes(*task.model, task.adapter) + 2 * head) +
                    checks * static_cast<double>(held_out_rows) * (work + 2 * head));
  cost.memory = private_resident_bytes() +
                memory_of(*task.model, task.adapter,
                          rows_at_once(task.options.batch, static_cast<int64_t>(task.sequences[0].size())));
  return cost;
}

Json to_json(const AdapterTuned& tuned) {
  return {{"loss_before", tuned.loss_before},
          {"loss_after", tuned.loss_after},
          {"best_step", tuned.best_step},
          {"steps", tuned.steps},
          {"steps_planned", tuned.steps_planned},
          {"windows", tuned.windows},
          {"held_out_windows", tuned.held_out},
          {"modules", tuned.modules},
          {"learned", tuned.learned},
          {"seconds", tuned.seconds}};
}

std::string tuning_checkpoint(const std::string& out) { return plain_output_path(out) + ".tuning.safetensors"; }

AdapterTuned tune_adapter(const AdapterTask& task, const std::string& out, Context& context) {
  const Stopwatch watch;
  check_adapter_task(task);
  check_memory(task);
  const Lessons lessons = lessons_of(task);
  LearningPlan plan = plan_of(task, lessons);
  plan.checkpoint = tuning_checkpoint(out);
  const int64_t bytes = bytes_of(task.adapter.modules);
  constexpr int64_t kTexts = 1 << 20, kCopies = 9;  // four in the checkpoint, which is replaced, and the adapter
  OutputDirectory directory(out, task.options.force, kCopies * bytes + kTexts);
  if (task.options.restart) std::filesystem::remove(plan.checkpoint);
  const Json run = identity_of(task, plan, context);
  plan.run = run.dump();
  AdapterLoss loss(task.model, task.adapter, lessons.sequences, lessons.batches, context.threads);
  Learner learner(
      loss, plan, [&](int64_t done, const std::string& where) { context.progress.advance(done, where); },
      context.progress);
  {
    const ProgressTask progress(context.progress, "tuning", learner.work_left());
    learner.run();
  }
  const LearningState& state = learner.state();
  if (!std::isfinite(state.held_out.first)) {
    fail(ErrorKind::kFailed, "{}: the loss on the {} held-out windows is not finite before the first step",
         task.model->path(), lessons.held_out);
  }
  AdapterTuned tuned;
  tuned.loss_before = state.held_out.first, tuned.loss_after = state.held_out.best;
  tuned.best_step = state.held_out.best_step, tuned.steps = state.adam.steps, tuned.steps_planned = learner.steps();
  tuned.windows = lessons.learned_from, tuned.held_out = lessons.held_out;
  tuned.modules = static_cast<int64_t>(task.adapter.modules.size()), tuned.learned = bytes / kFloat;
  tuned.seconds = watch.seconds();
  write(task, loss.adapter().modules, run, tuned, directory);
  std::filesystem::remove(plan.checkpoint);
  return tuned;
}

}  // namespace bitloom
