#include "pipeline/calibrated_model.h"

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/block_walk.h"
#include "pipeline/manifest.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

/// Early, so that no hour is spent on a directory that cannot be written.
void check_output_is_free(const std::string& out, bool force) {
  if (!force && fs::exists(fs::symlink_status(out))) misuse("output '{}' exists; --force replaces it", out);
}

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
  for (const auto& [key, value] : record.items()) identity["calibration " + key] = value;
  return identity;
}

Json record_of(const QuantizeOptions& options) {
  Json record = options.data ? options.data->record : Json::object();
  record["order"] = to_string(options.order);
  record["activations"] = options.precision == ActivationPrecision::kF32 ? "F32" : "BF16";
  record["run_seed"] = options.seed;
  return record;
}

void check_data(const Recipe& recipe, const QuantizeOptions& options) {
  const bool has_data = options.data != nullptr && !options.data->sequences.empty();
  if (!has_data) misuse("recipe '{}' needs calibration data", recipe.name);
}

RowSourcePtr row_of(std::vector<float> values) {
  const auto n = static_cast<int64_t>(values.size());
  return std::make_shared<const DenseRows>(1, n, std::move(values));
}

}  // namespace

CalibratedModel::CalibratedModel(std::shared_ptr<const Checkpoint> source, const std::string& out, const Recipe& recipe,
                                 const QuantizeOptions& options, Context& context) {
  check_output_is_free(out, options.force);
  check_data(recipe, options);
  source_files_ = hash_files(*source, context);
  record_ = record_of(options);
  journal_ = std::make_unique<Journal>(out, identity_of(*source, source_files_, recipe, record_), options.restart);
  if (journal_->finished() > 0) {
    context.progress.log(fmt::format("going on after block {} of {}, from {}", journal_->finished(),
                                     source->graph().blocks.size(), journal_->directory()));
  }
  WalkTask task;
  task.model = std::move(source);
  task.steps = resolve(recipe, task.model->graph());
  task.options = &options;
  walk_blocks(task, *journal_, context);

  TensorEdits edits;
  for (int b = 0; b < journal_->finished(); ++b) {
    BlockOutcome outcome = journal_->load(b);
    for (auto& [name, tensor] : outcome.quantized) edits.tensors[name] = tensor;
    for (auto& [name, values] : outcome.vectors) edits.tensors[name] = row_of(std::move(values));
    sites_.insert(sites_.end(), outcome.sites.begin(), outcome.sites.end());
    remarks_.insert(remarks_.end(), outcome.remarks.begin(), outcome.remarks.end());
  }
  model_ = Checkpoint::edited(task.model, std::move(edits));
}

std::vector<std::string> CalibratedModel::remarks() const { return remarks_; }

}  // namespace bitloom
