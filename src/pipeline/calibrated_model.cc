#include "pipeline/calibrated_model.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "io/output_directory.h"
#include "pipeline/block_walk.h"
#include "pipeline/calibration_stream.h"
#include "pipeline/cost_model.h"
#include "pipeline/file_records.h"
#include "pipeline/kept_statistics.h"
#include "pipeline/run_identity.h"
#include "pipeline/shared_journal.h"
#include "pipeline/walk_needs.h"
#include "pipeline/walk_remarks.h"
#include "recipe/parts.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

void check_data(const Recipe& recipe, const QuantizeOptions& options) {
  const bool has_data = options.data != nullptr && !options.data->sequences.empty();
  if (!has_data && options.statistics_in.empty()) misuse("recipe '{}' needs calibration data", recipe.name);
}

/// What the walk rounds. A rounding by data outside the blocks has no statistics.
std::map<std::string, RecipeStep> steps_of_blocks(const Recipe& recipe, const Graph& graph) {
  std::map<std::string, RecipeStep> steps, in_blocks;
  steps = resolve(recipe, graph);
  for (const Site& site : linear_sites(graph)) {
    if (const auto step = steps.find(site.linear->weight); step != steps.end()) in_blocks.insert(*step);
  }
  for (const auto& [name, step] : steps) {
    if (in_blocks.contains(name) || !needs_of(step.rounding).any()) continue;
    misuse("recipe '{}': '{}' lies outside the blocks and cannot be rounded by {}; let a step give it rounding nearest",
           recipe.name, name, to_short(step.rounding));
  }
  return in_blocks;
}

void check_memory(const WalkCost& cost, int64_t allowed) {
  if (allowed == 0 || cost.peak_memory <= allowed) return;
  fail(ErrorKind::kFailed, "--mem {} is too little for this model and recipe: at least {} are needed{}",
       human_bytes(allowed), human_bytes(cost.least_memory), cost.spills ? " with all activations in a file" : "");
}

/// The output comes on top; it is counted exactly before it is written.
void check_disk(const std::string& out, const WalkCost& cost) {
  const int64_t free_bytes = free_disk_bytes(out);
  if (cost.disk_bytes <= free_bytes) return;
  fail(ErrorKind::kFailed, "{}: not enough free disk space: finished blocks{} need {}, there is {}", out,
       cost.spills ? " and activations" : "", human_bytes(cost.disk_bytes), human_bytes(free_bytes));
}

/// The float model's own activations have no error that could be compensated: GPTAQ is GPTQ there.
void leave_inputs_own_error(std::map<std::string, RecipeStep>& steps) {
  for (auto& [name, step] : steps) {
    if (auto* feedback = step.rounding.get_if<GptqRounding>()) feedback->correction = 0;
  }
}

std::vector<SequenceChunk> chunks_of(const QuantizeOptions& options) {
  if (options.data == nullptr) return {};
  return chunks_of_rank(make_chunks(options.data->sequences), *options.ranks);
}

/// The journal's, where this machine sees it.
std::string spill_directory_for(const std::string& out) {
  const std::string journal = Journal::directory_for(out);
  return fs::is_directory(journal) ? journal : fs::temp_directory_path().string();
}

/// The float model sends other rows to an expert than the quantized prefix does: they cannot be compared row by row.
void check_experts(const Recipe& recipe, const WalkTask& task) {
  const Graph& graph = task.model->graph();
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (int input = 0; input < input_count(graph, b); ++input) {
      const Input& at = input_at(graph, b, input);
      if (at.expert < 0 || !needs_of_input(task, b, input).rounding.cross_moment) continue;
      misuse(
          "recipe '{}' compares what the float model's layers read with what the quantized prefix gives them, and the "
          "two send different tokens to the experts of block {} ({}); round experts by gptq",
          recipe.name, b, at.name);
    }
  }
}

WalkTask task_of(std::shared_ptr<const Checkpoint> model, const Recipe& recipe, const QuantizeOptions& options) {
  WalkTask task;
  task.model = std::move(model);
  task.steps = steps_of_blocks(recipe, task.model->graph());
  task.transforms = resolve_transforms(recipe, task.model->graph());
  std::erase_if(task.transforms,
                [](const TransformSites& sites) { return stage_of(sites.transform) == PartStage::kRewrite; });
  task.options = &options;
  if (options.order == WalkOrder::kNone) leave_inputs_own_error(task.steps);
  check_experts(recipe, task);
  return task;
}

/// What the statistics of this run belong to.
StatisticsOrigin origin_of(const Json& source_files, const Recipe& recipe, const QuantizeOptions& options) {
  StatisticsOrigin origin;
  for (const auto& [name, file] : source_files.items()) origin.source[name] = file["sha256"];
  for (const RecipeStep& step : recipe.steps) {
    if (step.transform && stage_of(*step.transform) == PartStage::kRewrite)
      origin.rewrites += to_short(*step.transform) + "+";
  }
  if (!origin.rewrites.empty()) origin.rewrites += fmt::format("seed={}", options.seed);
  return origin;
}

/// Kept statistics and channel scales do not go together: with the recipe's scales the inputs change.
void check_statistics_flags(const WalkTask& task) {
  if (task.options->statistics_in.empty() && task.options->statistics_out.empty()) return;
  for (const TransformSites& sites : task.transforms) {
    if (stage_of(sites.transform) != PartStage::kScaling) continue;
    misuse("kept statistics cannot serve '{}', which changes the inputs they are of", to_short(sites.transform));
  }
}

}  // namespace

WalkCost predict_calibration(std::shared_ptr<const Checkpoint> model, const Recipe& recipe,
                             const QuantizeOptions& options, ThreadPool& threads) {
  check_data(recipe, options);
  const WalkTask task = task_of(std::move(model), recipe, options);
  remarks_on_transforms(task);
  return predict_walk(task, chunks_of(options), threads);
}

CalibratedModel::CalibratedModel(const Checkpoint& source, std::shared_ptr<const Checkpoint> model,
                                 const std::string& out, const Recipe& recipe, const QuantizeOptions& options,
                                 Context& context) {
  Ranks& ranks = *options.ranks;
  check_data(recipe, options);
  WalkTask task = task_of(std::move(model), recipe, options);
  remarks_ = remarks_on_transforms(task);
  // Memory matters to every rank, time and disk to the one that shows progress and writes.
  task.cost = ranks.leads() ? predict_walk(task, chunks_of(options), context.threads)
                            : predict_walk(task, chunks_of(options), MachineRates{1, 1, 1, 1, 1}, context.threads);
  check_memory(task.cost, options.memory);
  if (ranks.leads()) check_disk(out, task.cost);
  source_files_ = hash_files(source, context);
  record_ = record_of(options);
  check_statistics_flags(task);
  StatisticsOrigin origin = origin_of(source_files_, recipe, options);
  if (!options.statistics_in.empty()) record_.update(open_statistics(options.statistics_in, origin));
  origin.calibration = record_;
  record_["ranks"] = ranks.size();  // of this run, whoever gathered the statistics
  const Json identity = identity_of(source, source_files_, recipe, record_);
  check_alike(identity, ranks);
  if (ranks.leads()) journal_ = std::make_unique<Journal>(out, identity, options.restart);
  if (!options.statistics_out.empty() && ranks.leads()) begin_statistics(options.statistics_out, origin);
  SharedJournal journal(journal_.get(), ranks);
  if (journal.finished() > 0) {
    context.progress.log(fmt::format("going on after block {} of {}, from {}", journal.finished(),
                                     task.model->graph().blocks.size(), Journal::directory_for(out)));
  }
  if (task.cost.spills) task.spill_directory = spill_directory_for(out);
  times_ = walk_blocks(task, journal, context);
  if (!ranks.leads()) return;

  TensorEdits edits;
  for (int b = 0; b < journal_->finished(); ++b) {
    BlockOutcome outcome = journal_->load(b);
    for (auto& [name, tensor] : outcome.quantized) edits.tensors[name] = tensor;
    for (auto& [name, values] : outcome.rewritten) {
      edits.tensors[name] = rewritten_rows(task.model->graph(), b, name, std::move(values));
    }
    sites_.insert(sites_.end(), outcome.sites.begin(), outcome.sites.end());
    remarks_.insert(remarks_.end(), outcome.remarks.begin(), outcome.remarks.end());
  }
  model_ = Checkpoint::edited(task.model, edits);
}

}  // namespace bitloom
