#include "pipeline/quantize_model.h"

#include <algorithm>
#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "io/output_directory.h"
#include "io/safetensors.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/dense_values.h"
#include "pipeline/manifest.h"
#include "pipeline/matrix_rounder.h"
#include "pipeline/plan.h"
#include "pipeline/rewrite_model.h"
#include "pipeline/rounded_ahead.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

std::vector<TensorSpec> specs_of(const std::vector<PlannedTensor>& plan) {
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : plan) specs.insert(specs.end(), tensor.parts.begin(), tensor.parts.end());
  return specs;
}

void check_spares_source(const Checkpoint& source, const std::string& out) {
  std::vector<std::string> files = source.weight_files();
  files.insert(files.begin(), source.path());
  check_spares(out, files);
}

void write_parts(const PlannedTensor& tensor, const StoredMatrix& quantized, SafetensorsWriter& writer) {
  for (const TensorPart& part : quantized.parts()) writer.write(tensor.name + part.suffix, part.bytes);
}

/// Of a matrix whose values the source has: nothing was measured.
SiteRecord record_of(const PlannedTensor& tensor, const StoredMatrix& matrix) {
  SiteRecord site;
  site.name = tensor.name;
  site.storage = matrix.storage();
  site.rows = matrix.rows();
  site.cols = matrix.cols();
  site.bits_nominal = matrix.nominal_bits();
  site.bits_true = matrix.true_bits();
  site.bytes = matrix.stored_bytes();
  site.taken_over = true;
  return site;
}

/// Records of matrices that were quantized before writing began, by name.
using KnownSites = std::map<std::string, SiteRecord>;

/// Without data; a matrix that another tool quantized is held exactly, which is no rounding of ours.
std::shared_ptr<const StoredMatrix> round_tensor(const PlannedTensor& tensor, ThreadPool& threads, SiteRecord& site) {
  const std::string place = fmt::format("{}: tensor '{}'", tensor.file, tensor.name);
  Ranks alone;
  InputCache nothing;
  if (tensor.exact) {
    auto matrix =
        round_matrix(NearestRounding{}, {place, *tensor.rows, *tensor.exact, nullptr, nothing, alone, threads}).matrix;
    site = record_of(tensor, *matrix);
    return matrix;
  }
  site.name = tensor.name;
  return MatrixRounder(nullptr, alone, threads).round(place, *tensor.rows, *tensor.step, site).matrix;
}

SiteRecord write_quantized(const PlannedTensor& tensor, const KnownSites& known, SafetensorsWriter& writer,
                           ThreadPool& threads) {
  if (const auto site = known.find(tensor.name); site != known.end()) {
    write_parts(tensor, *tensor.taken, writer);
    return site->second;
  }
  if (tensor.taken) {
    write_parts(tensor, *tensor.taken, writer);
    return record_of(tensor, *tensor.taken);
  }
  SiteRecord site;
  write_parts(tensor, *round_tensor(tensor, threads, site), writer);
  return site;
}

/// Copies the bytes a piece at a time, so that no more of the mapped file is resident.
void copy_stored(const TensorView& stored, SafetensorsWriter& writer) {
  constexpr size_t kPiece = size_t{16} << 20;
  for (std::span<const std::byte> left = stored.bytes; !left.empty();) {
    const std::span<const std::byte> piece = left.first(std::min(kPiece, left.size()));
    writer.write(stored.name, piece);
    stored.mapping->release(piece);
    left = left.subspan(piece.size());
  }
}

void write_kept(const Checkpoint& source, const PlannedTensor& tensor, SafetensorsWriter& writer, ThreadPool& threads) {
  require_finite(tensor.file, tensor.name, *tensor.rows, threads);
  if (tensor.stored) {
    source.release(tensor.name);
    copy_stored(*tensor.stored, writer);
    return;
  }
  encode_pieces(*tensor.rows, *tensor.kept_dtype, threads,
                [&](std::span<const std::byte> bytes) { writer.write(tensor.name, bytes); });
}

/// Rounds the matrices whose sizes only the result tells, since a weight file announces all sizes first. Each waits in
/// a file, so that memory stays that of one matrix.
void round_ahead(std::vector<PlannedTensor>& plan, RoundedAhead& ahead, KnownSites& known, Context& context) {
  int64_t total = 0;
  for (const PlannedTensor& tensor : plan) total += tensor.sizes_known() ? 0 : tensor.source_bytes;
  if (total == 0) return;
  const ProgressTask task(context.progress, "rounding", total);
  for (PlannedTensor& tensor : plan) {
    if (tensor.sizes_known()) continue;
    tensor.taken = ahead.keep(tensor.name, *round_tensor(tensor, context.threads, known[tensor.name]));
    tensor.parts.clear();
    for (const TensorPart& part : tensor.taken->parts()) {
      tensor.parts.push_back({tensor.name + part.suffix, part.dtype, part.shape});
    }
    context.progress.advance(tensor.source_bytes, tensor.name);
  }
}

/// The weight files' names.
std::vector<std::string> write_weights(const Checkpoint& source, const std::vector<PlannedTensor>& plan,
                                       const KnownSites& known, const std::string& directory, int64_t shard_bytes,
                                       Context& context, std::vector<SiteRecord>& sites) {
  SafetensorsWriter writer(directory, specs_of(plan), shard_bytes);
  int64_t total = 0;
  for (const PlannedTensor& tensor : plan) total += tensor.source_bytes;
  context.progress.begin("writing", total);
  for (const PlannedTensor& tensor : plan) {
    if (tensor.is_quantized()) {
      sites.push_back(write_quantized(tensor, known, writer, context.threads));
    } else {
      write_kept(source, tensor, writer, context.threads);
    }
    source.release(tensor.name);
    context.progress.advance(tensor.source_bytes, tensor.name);
  }
  context.progress.end();
  writer.finish();
  return writer.files();
}

struct OutputTask {
  const Checkpoint& source;
  const Checkpoint& rewritten;  // by what needs no data
  const Recipe& recipe;
  const CalibratedModel* calibrated;  // null when the recipe needs no data
};

/// What `plan` becomes on disk. Hashes of source and output at once, unless the source's are known: they are of like
/// size, so two threads share the work.
Json complete_manifest(const OutputTask& task, const std::vector<PlannedTensor>& plan, const std::string& directory,
                       const std::vector<std::string>& files, Context& context, const QuantizeResult& result) {
  std::vector<std::string> paths;
  if (task.calibrated == nullptr) paths = task.source.weight_files();
  const size_t of_source = paths.size();
  for (const std::string& file : files) paths.push_back(directory + "/" + file);
  const std::vector<Json> described = describe_files(paths, context);

  Json manifest = tensors_of(plan, result);
  manifest["bitloom"] = BITLOOM_VERSION;
  manifest["manifest"] = kManifestVersion;
  manifest["left_out"] = task.source.unused_tensors();
  manifest["recipe"] = to_json(task.recipe);
  manifest["source"] = source_of(task.source);
  manifest["files"] = Json::object();
  if (task.calibrated != nullptr) {
    manifest["source"]["files"].update(task.calibrated->source_files());
    manifest["calibration"] = task.calibrated->record();
    manifest["remarks"] = result.remarks;
  }
  for (size_t i = 0; i < described.size(); ++i) {
    Json& table = i < of_source ? manifest["source"]["files"] : manifest["files"];
    table[fs::path(paths[i]).filename().string()] = described[i];
  }
  return manifest;
}

int64_t size_of(const std::vector<std::string>& files, const std::string& directory) {
  int64_t total = 0;
  for (const std::string& file : files) {
    if (file.ends_with(".safetensors")) total += static_cast<int64_t>(fs::file_size(fs::path(directory) / file));
  }
  return total;
}

/// OUT, written from the source, or from what calibration made of it.
QuantizeResult write_output(const OutputTask& task, const std::string& out, const QuantizeOptions& options,
                            Context& context) {
  const Checkpoint& model = task.calibrated ? *task.calibrated->model() : task.rewritten;
  KnownSites known;
  std::map<std::string, RecipeStep> steps = resolve(task.recipe, model.graph());
  if (task.calibrated != nullptr) {
    for (const SiteRecord& site : task.calibrated->sites()) known.emplace(site.name, site), steps.erase(site.name);
  }
  std::vector<PlannedTensor> plan = plan_tensors(model, steps, context);
  const std::map<std::string, std::string> companions = task.source.companion_files();
  OutputDirectory directory(out, options.force, disk_needed(plan, companions));
  RoundedAhead ahead(directory.staging());
  round_ahead(plan, ahead, known, context);

  QuantizeResult result;
  result.remarks = remarks_on(task.source, plan);
  if (task.calibrated != nullptr) {
    result.times = task.calibrated->times();
    const std::vector<std::string>& more = task.calibrated->remarks();
    result.remarks.insert(result.remarks.end(), more.begin(), more.end());
  }
  for (const std::string& remark : result.remarks) context.progress.log(remark);
  std::vector<std::string> files =
      write_weights(model, plan, known, directory.staging(), options.shard_bytes, context, result.sites);
  ahead.discard();
  add_up(plan, result);
  result.bytes = size_of(files, directory.staging());
  for (const std::string& file : task.source.weight_files())
    result.bytes_before += static_cast<int64_t>(fs::file_size(file));

  for (const auto& [name, contents] : companions) {
    directory.write_text(name, contents);
    files.push_back(name);
  }
  directory.write_text(kConfigFile, dump_json(config_of(model, plan)));
  files.emplace_back(kConfigFile);
  const Json manifest = complete_manifest(task, plan, directory.staging(), files, context, result);
  directory.write_text(kManifestFile, dump_json(manifest));
  directory.commit();
  return result;
}

}  // namespace

QuantizeResult quantize_model(const std::shared_ptr<const Checkpoint>& source, const std::string& out,
                              const Recipe& recipe, const QuantizeOptions& options, Context& context) {
  const Stopwatch watch;
  const bool calibrates = needs_of(recipe).any();
  if (!calibrates && !options.ranks->leads()) return {};
  // Early, so that no hour is spent on a directory that cannot be written.
  if (options.ranks->leads()) check_output(out, options.force);
  check_spares_source(*source, out);
  const std::shared_ptr<const Checkpoint> model = rewrite_model(source, recipe, options.seed, context.threads);
  std::unique_ptr<CalibratedModel> calibrated;
  if (calibrates) {
    calibrated = std::make_unique<CalibratedModel>(*source, model, out, recipe, options, context);
  }
  if (!options.ranks->leads()) return {};
  QuantizeResult result = write_output({*source, *model, recipe, calibrated.get()}, out, options, context);
  if (calibrated) calibrated->finish();
  result.seconds = watch.seconds();
  return result;
}

}  // namespace bitloom
