#include "pipeline/calibrated_model.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "io/output_directory.h"
#include "pipeline/block_scaling.h"
#include "pipeline/block_walk.h"
#include "pipeline/calibration_stream.h"
#include "pipeline/cost_model.h"
#include "pipeline/kept_statistics.h"
#include "pipeline/manifest.h"
#include "pipeline/plain_bytes.h"
#include "pipeline/shared_journal.h"
#include "pipeline/walk_remarks.h"
#include "transform/equalize.h"
#include "transform/rotation.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

Json hash_files(const Checkpoint& source, Context& context) {
  Json files = Json::object();
  const std::vector<Json> described = describe_files(source.weight_files(), context);
  for (size_t i = 0; i < described.size(); ++i) {
    files[fs::path(source.weight_files()[i]).filename().string()] = described[i];
  }
  return files;
}

/// Everything that decides the bytes.
Json identity_of(const Checkpoint& source, const Json& source_files, const Recipe& recipe, const Json& record) {
  Json identity = {{"bitloom", BITLOOM_VERSION}, {"journal", kJournalVersion}, {"recipe", to_json(recipe)}};
  for (const auto& [name, file] : source_files.items()) identity["source " + name] = file["sha256"];
  const Json described = source_of(source);
  for (const auto& [name, file] : described["files"].items()) identity["source " + name] = file["sha256"];
  // "ids_sha256" stands for the data; these would only make the list of differences long.
  for (const auto& [key, value] : record.items()) {
    if (key != "fingerprint" && key != "description") identity["calibration " + key] = value;
  }
  return identity;
}

Json record_of(const QuantizeOptions& options) {
  Json record = options.data ? options.data->record : Json::object();
  record["order"] = to_string(options.order);
  record["activations"] = options.precision == ActivationPrecision::kF32 ? "F32" : "BF16";
  record["run_seed"] = options.seed;
  record["ranks"] = options.ranks->size();
  return record;
}

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
    if (in_blocks.contains(name) || !needs_of(step.rounding).second_moment) continue;
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

/// Which rewrites are not the walk's business.
bool needs_no_data(const Transform& transform) {
  return std::holds_alternative<HadamardTransform>(transform) || std::holds_alternative<EqualizeTransform>(transform);
}

std::shared_ptr<const Checkpoint> equalized(std::shared_ptr<const Checkpoint> model, const TransformSites& sites,
                                            ThreadPool& threads) {
  const auto& transform = std::get<EqualizeTransform>(sites.transform);
  const SitePredicate targeted = [&](const Site& site) { return sites.tensors.contains(site.linear->weight); };
  TensorEdits edits;
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    edits.tensors.merge(equalize_block(*model, b, transform, targeted, threads).tensors);
  }
  return Checkpoint::edited(std::move(model), std::move(edits));
}

/// The float model's own activations have no error that could be compensated: GPTAQ is GPTQ there.
void leave_inputs_own_error(std::map<std::string, RecipeStep>& steps) {
  for (auto& [name, step] : steps) {
    if (auto* feedback = std::get_if<FeedbackRounding>(&step.rounding)) feedback->correction = 0;
  }
}

std::vector<SequenceChunk> chunks_of(const QuantizeOptions& options) {
  if (options.data == nullptr) return {};
  return chunks_of_rank(make_chunks(options.data->sequences), *options.ranks);
}

/// Ranks that read other files or texts would learn from one another's nonsense.
void check_alike(const Json& identity, Ranks& ranks) {
  Bytes mine;
  const std::string text = dump_json(identity);
  append(mine, std::vector<char>(text.begin(), text.end()));
  const std::vector<Bytes> all = ranks.gather(mine);
  const auto other = std::find_if(all.begin(), all.end(), [&](const Bytes& of_rank) { return of_rank != all[0]; });
  if (other == all.end()) return;
  const auto identity_in = [](const Bytes& bytes) {
    const std::vector<char> json = BytesReader(bytes).take<char>();
    return Json::parse(json.begin(), json.end());
  };
  const Json first = identity_in(all[0]), differs = identity_in(*other);
  for (const auto& [key, value] : first.items()) {
    const Json there = differs.value(key, Json());
    if (value == there) continue;
    fail(ErrorKind::kFailed, "rank {} has another {} than rank 0: {}, there {}", other - all.begin(), key, there.dump(),
         value.dump());
  }
  fail(ErrorKind::kFailed, "rank {} has more files than rank 0", other - all.begin());
}

/// The journal's, where this machine sees it.
std::string spill_directory_for(const std::string& out) {
  const std::string journal = Journal::directory_for(out);
  return fs::is_directory(journal) ? journal : fs::temp_directory_path().string();
}

WalkTask task_of(std::shared_ptr<const Checkpoint> model, const Recipe& recipe, const QuantizeOptions& options) {
  WalkTask task;
  task.model = std::move(model);
  task.steps = steps_of_blocks(recipe, task.model->graph());
  task.transforms = resolve_transforms(recipe, task.model->graph());
  std::erase_if(task.transforms, [](const TransformSites& sites) { return needs_no_data(sites.transform); });
  task.options = &options;
  if (options.order == WalkOrder::kNone) leave_inputs_own_error(task.steps);
  return task;
}

/// What the statistics of this run belong to.
StatisticsOrigin origin_of(const Json& source_files, const Recipe& recipe, const QuantizeOptions& options) {
  StatisticsOrigin origin;
  for (const auto& [name, file] : source_files.items()) origin.source[name] = file["sha256"];
  for (const RecipeStep& step : recipe.steps) {
    if (step.transform && needs_no_data(*step.transform)) origin.rewrites += to_short(*step.transform) + "+";
  }
  if (!origin.rewrites.empty()) origin.rewrites += fmt::format("seed={}", options.seed);
  return origin;
}

/// Kept statistics and channel scales do not go together: with the recipe's scales the inputs change.
void check_statistics_flags(const WalkTask& task) {
  if (task.options->statistics_in.empty() && task.options->statistics_out.empty()) return;
  for (const TransformSites& sites : task.transforms) {
    if (!scales_channels(sites.transform)) continue;
    misuse("kept statistics cannot serve '{}', which changes the inputs they are of", to_short(sites.transform));
  }
}

}  // namespace

std::shared_ptr<const Checkpoint> rewrite_model(std::shared_ptr<const Checkpoint> source, const Recipe& recipe,
                                                uint64_t seed, ThreadPool& threads) {
  for (const TransformSites& sites : resolve_transforms(recipe, source->graph())) {
    if (const auto* rotation = std::get_if<HadamardTransform>(&sites.transform)) {
      source = rotate(std::move(source), *rotation, seed);
    } else if (std::holds_alternative<EqualizeTransform>(sites.transform)) {
      source = equalized(std::move(source), sites, threads);
    }
  }
  return source;
}

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
  // Early, so that no hour is spent on a directory that cannot be written.
  if (ranks.leads()) check_output(out, options.force);
  check_data(recipe, options);
  WalkTask task = task_of(std::move(model), recipe, options);
  remarks_ = remarks_on_transforms(task);
  task.cost = predict_walk(task, chunks_of(options), context.threads);
  check_memory(task.cost, options.memory);
  check_disk(out, task.cost);
  source_files_ = hash_files(source, context);
  record_ = record_of(options);
  check_statistics_flags(task);
  StatisticsOrigin origin = origin_of(source_files_, recipe, options);
  if (!options.statistics_in.empty()) record_.update(open_statistics(options.statistics_in, origin));
  if (!options.statistics_out.empty() && ranks.leads()) {
    origin.calibration = record_;
    begin_statistics(options.statistics_out, origin);
  }
  record_["ranks"] = ranks.size();  // of this run, whoever gathered the statistics
  const Json identity = identity_of(source, source_files_, recipe, record_);
  check_alike(identity, ranks);
  if (ranks.leads()) journal_ = std::make_unique<Journal>(out, identity, options.restart);
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
  model_ = Checkpoint::edited(task.model, std::move(edits));
}

}  // namespace bitloom
