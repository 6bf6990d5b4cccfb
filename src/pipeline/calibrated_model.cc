#include "pipeline/calibrated_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"
#include "io/directory/output_directory.h"
#include "io/directory/scratch_directory.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/journal/run_identity.h"
#include "pipeline/journal/shared_journal.h"
#include "pipeline/task/file_records.h"
#include "pipeline/walk/block/block_lesson.h"
#include "pipeline/walk/block/block_reassembly.h"
#include "pipeline/walk/block/block_tuner.h"
#include "pipeline/walk/block_walk.h"
#include "pipeline/walk/guided_walk.h"
#include "pipeline/walk/kept_statistics.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "pipeline/walk/walk_needs.h"
#include "pipeline/walk/walk_remarks.h"
#include "recipe/parts.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

void check_data(const QuantizeTask& task) {
  const CalibrationData* data = task.options.data;
  const bool has_data = data != nullptr && !data->sequences.empty();
  if (!has_data && task.options.statistics_in.empty()) misuse("recipe '{}' needs calibration data", task.recipe.name);
}

/// What the walk rounds. A rounding by data outside the blocks has no statistics.
std::map<std::string, RecipeStep> steps_of_blocks(const QuantizeTask& task) {
  std::map<std::string, RecipeStep> in_blocks;
  for (const Site& site : linear_sites(task.model->graph())) {
    if (const auto step = task.steps.find(site.linear->weight); step != task.steps.end()) in_blocks.insert(*step);
  }
  for (const auto& [name, step] : task.steps) {
    if (in_blocks.contains(name) || !needs_of(step.rounding).any()) continue;
    misuse("recipe '{}': '{}' lies outside the blocks and cannot be rounded by {}; let a step give it rounding nearest",
           task.recipe.name, name, to_short(step.rounding));
  }
  return in_blocks;
}

void check_memory(const WalkCost& cost, int64_t allowed) {
  if (allowed == 0 || cost.peak_memory <= allowed) return;
  fail(ErrorKind::kFailed, "--mem {} is too little for this model and recipe: at least {} are needed{}",
       human_bytes(allowed), human_bytes(cost.least_memory), cost.spills ? " with all activations in a file" : "");
}

/// The output comes on top; it is counted exactly before it is written.
void check_disk(const std::string& out, const WalkCost& cost, int64_t tuning_disk) {
  const int64_t free_bytes = free_disk_bytes(out), needed = cost.disk_bytes + tuning_disk;
  if (needed <= free_bytes) return;
  fail(ErrorKind::kFailed, "{}: not enough free disk space: finished blocks{}{} need {}, there is {}", out,
       cost.spills ? " and activations" : "", tuning_disk > 0 ? " and what learning keeps" : "", human_bytes(needed),
       human_bytes(free_bytes));
}

/// The float model's own activations have no error that could be compensated: GPTAQ is GPTQ there.
void leave_inputs_own_error(std::map<std::string, RecipeStep>& steps) {
  for (auto& [name, step] : steps) {
    if (auto* feedback = step.rounding.get_if<GptqRounding>()) feedback->correction = 0;
  }
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
          "two send different tokens to the experts of block {} ({}); round experts without that (gptq:correction=0, "
          "ldlq:drift=0, loom-2:drift=0, apiq:drift=0)",
          recipe.name, b, at.name);
    }
  }
}

/// Null where the recipe tunes no blocks.
const BlockTuner* tuner_for(const QuantizeTask& task, const BlockTuner* offered) {
  if (!needs_of(task.recipe).block_outputs) return nullptr;
  const std::string what = fmt::format("recipe '{}' learns from the float blocks' outputs", task.recipe.name);
  if (offered == nullptr) misuse("{}, which is not offered here", what);
  if (!task.options.statistics_in.empty() || !task.options.statistics_out.empty()) {
    misuse("{}; statistics cannot be kept or used then", what);
  }
  if (task.options.ranks->size() > 1) misuse("{}; that works on one process only, not on several", what);
  offered->check(task);
  return offered;
}

/// What tuning blocks takes besides the walk.
void add_tuning(const QuantizeTask& task, const WalkTask& walk, ThreadPool& threads, WalkCost& cost) {
  if (walk.tuner == nullptr) return;
  const BlockTuningCost tuning = walk.tuner->cost(task);
  const int64_t kept = lesson_bytes(walk, walk.chunks), allowed = task.options.memory;
  if (allowed > 0 && !cost.spills && cost.peak_memory + tuning.memory + kept > allowed) {
    cost.spills = true;
    cost.peak_memory = cost.least_memory;
    cost.disk_bytes += cost.activation_bytes;
  }
  (cost.spills ? cost.disk_bytes : cost.peak_memory) += kept;
  cost.peak_memory += tuning.memory, cost.least_memory += tuning.memory;
  const double seconds = tuning.flops / measure_rates(threads).forward;
  for (int b = 0; b < static_cast<int>(cost.blocks.size()); ++b) {
    if (!tunes_block(walk, b)) continue;
    cost.blocks[static_cast<size_t>(b)].tune = seconds;
    cost.seconds += seconds;
  }
}

WalkTask walk_of(const QuantizeTask& task, const BlockTuner* tuner) {
  WalkTask walk;
  walk.tuner = tuner_for(task, tuner);
  if (walk.tuner != nullptr) walk.tuning = *find_transform<BlockTuningTransform>(task.recipe);
  walk.model = task.model;
  walk.steps = steps_of_blocks(task);
  walk.activations = task.activations;
  walk.operands = task.operands;
  walk.transforms = resolve_transforms(task.recipe, task.model->graph());
  std::erase_if(walk.transforms, [](const TransformSites& sites) {
    const PartStage stage = stage_of(sites.transform);
    return stage == PartStage::kRewrite || stage == PartStage::kTuning;
  });
  walk.options = &task.options;
  if (const CalibrationData* data = task.options.data; data != nullptr) {
    walk.chunks = make_chunks(lengths_of(data->sequences));
    walk.entrance = token_entrance(*task.model, data->sequences);
  }
  if (task.options.order == WalkOrder::kNone) leave_inputs_own_error(walk.steps);
  check_experts(task.recipe, walk);
  return walk;
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
    const PartStage stage = stage_of(sites.transform);
    if (stage != PartStage::kScaling && stage != PartStage::kReassembly) continue;
    misuse("kept statistics cannot serve '{}', which changes the inputs they are of", to_short(sites.transform));
  }
}

/// What tuning blocks came to, by block: into the record, and in words.
void add_tuning_records(const std::map<int, BlockTuningRecord>& tuned, CalibratedModel& calibrated) {
  if (tuned.empty()) return;
  double before = 0, after = 0;
  std::vector<int> left;
  for (const auto& [block, record] : tuned) {
    Json entry = to_json(record);
    entry["block"] = block;
    calibrated.record["block_tuning"].push_back(std::move(entry));
    if (std::isfinite(record.before)) {
      before += record.before, after += record.after;
    } else {
      left.push_back(block);
    }
  }
  const int64_t tokens = tuned.begin()->second.tokens;
  if (!left.empty()) {
    calibrated.remarks.push_back(
        fmt::format("tune-blocks: nothing is learned of block {}: the error on the {} held-out calibration tokens is "
                    "not finite",
                    fmt::join(left, ", "), tokens));
  }
  if (left.size() == tuned.size()) return;
  const auto blocks = static_cast<double>(tuned.size() - left.size());
  calibrated.remarks.push_back(fmt::format(
      "tune-blocks: error of the blocks' outputs on {} held-out calibration tokens, the least of which chose "
      "the step, {:.3g} -> {:.3g} in the mean; errors of matrices are those before it",
      tokens, before / blocks, after / blocks));
}

/// What the journal's blocks came to.
void collect(const Journal& journal, const Recipe& recipe, const WalkTask& walk, CalibratedModel& calibrated) {
  const Graph& graph = walk.model->graph();
  std::map<int, BlockTuningRecord> tuned;
  for (int b = 0; b < journal.finished(); ++b) {
    BlockOutcome outcome = journal.load(b);
    for (const SiteRecord& site : outcome.sites) {
      calibrated.finished[site.name] = {outcome.quantized.at(site.name), site};
    }
    for (auto& [name, values] : outcome.rewritten) {
      calibrated.rewritten.tensors[name] = rewritten_rows(graph, b, name, std::move(values));
    }
    for (const auto& [input, format] : outcome.activations) calibrated.activations.emplace(std::pair(b, input), format);
    calibrated.remarks.insert(calibrated.remarks.end(), outcome.remarks.begin(), outcome.remarks.end());
    if (outcome.tuning) tuned.emplace(b, *outcome.tuning);
  }
  if (find_transform<ReassembleTransform>(recipe) != nullptr) {
    calibrated.remarks.push_back(remark_on_reassembly(walk, calibrated.activations));
  }
  add_tuning_records(tuned, calibrated);
}

/// Into the journal on the leading rank, complete or not at all; elsewhere into `scratch`.
void gather_into(WalkTask& walk, const Journal* own, const std::string& scratch, Context& context) {
  if (own == nullptr) return gather_moments(walk, scratch, context);
  OutputDirectory directory(own->moments_directory(), true, 0);
  gather_moments(walk, directory.staging(), context);
  directory.commit();
}

void copy_files(const std::string& from, const std::string& to) {
  for (const auto& file : fs::directory_iterator(from)) {
    fs::copy_file(file.path(), fs::path(to) / file.path().filename(), fs::copy_options::overwrite_existing);
  }
}

/// Finds where the layers' moments lie, or gathers them: in the journal, which `own` is on the leading rank, and on
/// others in a directory that goes with the result. Of a run whose blocks are all finished none are needed.
std::optional<ScratchDirectory> find_moments(WalkTask& walk, const Journal* own, SharedJournal& journal,
                                             const std::string& out, Context& context) {
  const QuantizeOptions& options = *walk.options;
  walk.moments = options.statistics_in;
  const auto blocks = static_cast<int>(walk.model->graph().blocks.size());
  const bool done = journal.finished() == blocks && options.statistics_out.empty();
  if (!needs_gradients(walk) || !options.statistics_in.empty() || done) return std::nullopt;
  std::optional<ScratchDirectory> scratch;
  if (own == nullptr) scratch.emplace(spill_directory_for(out));
  walk.moments = own == nullptr ? scratch->path() : own->moments_directory();
  if (journal.has_moments()) {
    context.progress.log(fmt::format("the layers' moments are taken from {}", Journal::directory_for(out)));
    journal.copy_moments(walk.moments);
  } else {
    gather_into(walk, own, walk.moments, context);
  }
  if (own != nullptr && !options.statistics_out.empty()) copy_files(walk.moments, options.statistics_out);
  return scratch;
}

}  // namespace

CalibratedModel calibrate(const QuantizeTask& task, const std::string& out, int64_t tuning_disk, Context& context,
                          const BlockTuner* tuner) {
  const QuantizeOptions& options = task.options;
  Ranks& ranks = *options.ranks;
  check_data(task);
  WalkTask walk = walk_of(task, tuner);
  CalibratedModel calibrated;
  calibrated.remarks = remarks_on_recipe(walk);
  // Memory matters to every rank, time and disk to the one that shows progress and writes.
  const std::vector<SequenceChunk> mine = chunks_of_rank(walk.chunks, ranks);
  walk.cost = ranks.leads() ? predict_walk(walk, mine, context.threads)
                            : predict_walk(walk, mine, MachineRates{1, 1, 1, 1, 1}, context.threads);
  add_tuning(task, walk, context.threads, walk.cost);
  check_memory(walk.cost, options.memory);
  if (ranks.leads()) check_disk(out, walk.cost, tuning_disk);
  calibrated.source_files = hash_files(*task.source, context);
  calibrated.record = record_of(options);
  check_statistics_flags(walk);
  StatisticsOrigin origin = origin_of(calibrated.source_files, task.recipe, options);
  if (!options.statistics_in.empty()) calibrated.record.update(open_statistics(options.statistics_in, origin));
  origin.calibration = calibrated.record;
  calibrated.record["ranks"] = ranks.size();  // of this run, whoever gathered the statistics
  const Json identity = identity_of(*task.source, calibrated.source_files, task.recipe, calibrated.record);
  check_alike(identity, ranks);
  if (ranks.leads()) {
    calibrated.journal = std::make_unique<Journal>(out, identity, options.restart);
    remove_scratch_directories(Journal::directory_for(out));
  }
  if (!options.statistics_out.empty() && ranks.leads()) begin_statistics(options.statistics_out, origin);
  SharedJournal journal(calibrated.journal.get(), ranks);
  if (journal.finished() > 0) {
    context.progress.log(fmt::format("going on after block {} of {}, from {}", journal.finished(),
                                     task.model->graph().blocks.size(), Journal::directory_for(out)));
  }
  if (walk.cost.spills) walk.spill_directory = spill_directory_for(out);
  std::optional<ScratchDirectory> scratch = find_moments(walk, calibrated.journal.get(), journal, out, context);
  calibrated.times = walk_blocks(walk, journal, context);
  scratch.reset();
  ranks.barrier();  // what others have there lies in the journal, which the leading rank removes
  if (ranks.leads()) collect(*calibrated.journal, task.recipe, walk, calibrated);
  return calibrated;
}

WalkCost predict_calibration(const QuantizeTask& task, ThreadPool& threads, const BlockTuner* tuner) {
  check_data(task);
  const WalkTask walk = walk_of(task, tuner);
  remarks_on_recipe(walk);
  WalkCost cost = predict_walk(walk, chunks_of_rank(walk.chunks, *task.options.ranks), threads);
  add_tuning(task, walk, threads, cost);
  return cost;
}

}  // namespace bitloom
