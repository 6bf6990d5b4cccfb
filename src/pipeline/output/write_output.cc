#include "pipeline/output/write_output.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/version.h"
#include "forward/weights.h"
#include "io/directory/output_directory.h"
#include "io/safetensors/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "ops/choose_isa.h"
#include "pipeline/output/dense_values.h"
#include "pipeline/output/growth.h"
#include "pipeline/output/manifest.h"
#include "pipeline/output/plan.h"
#include "pipeline/output/rounded_ahead.h"
#include "pipeline/rounding/matrix_rounder.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

/// For messages.
std::string place_of(const PlannedTensor& tensor) { return fmt::format("{}: tensor '{}'", tensor.file, tensor.name); }

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

FinishedMatrix round_by_step(const PlannedTensor& tensor, const RecipeStep& step, ThreadPool& threads) {
  Ranks alone;
  FinishedMatrix finished;
  finished.site.name = tensor.name;
  finished.matrix =
      MatrixRounder(nullptr, alone, threads).round(place_of(tensor), *tensor.rows, step, finished.site).matrix;
  return finished;
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

/// Writes one tensor as its treatment says; a quantized one leaves a record.
struct TensorWriter {
  const Checkpoint& model;
  const PlannedTensor& tensor;
  SafetensorsWriter& writer;
  ThreadPool& threads;
  std::vector<SiteRecord>& sites;

  void operator()(const CopyBytes& copy) const {
    require_finite(tensor.file, tensor.name, *tensor.rows, threads);
    model.release(tensor.name);
    copy_stored(copy.stored, writer);
  }
  void operator()(const EncodeValues& encode) const {
    require_finite(tensor.file, tensor.name, *tensor.rows, threads);
    encode_pieces(*tensor.rows, encode.dtype, threads,
                  [&](std::span<const std::byte> bytes) { writer.write(tensor.name, bytes); });
  }
  void operator()(const TakeOver& taken) const { write(*taken.matrix, record_of(tensor, *taken.matrix)); }
  void operator()(const HoldExactly& exact) const {
    Ranks alone;
    InputCache nothing;
    const Rounded rounded =
        round_matrix(Rounding(), {place_of(tensor), *tensor.rows, exact.target, nullptr, nothing, alone, threads});
    write(*rounded.matrix, record_of(tensor, *rounded.matrix));
  }
  void operator()(const RoundByStep& round) const { (*this)(round_by_step(tensor, round.step, threads)); }
  void operator()(const FinishedMatrix& finished) const { write(*finished.matrix, finished.site); }

 private:
  void write(const StoredMatrix& matrix, const SiteRecord& site) const {
    for (const TensorPart& part : matrix.parts()) writer.write(tensor.name + part.suffix, part.bytes);
    sites.push_back(site);
  }
};

/// Rounds the matrices whose sizes only the result tells, since a weight file announces all sizes first. Each waits in
/// a file, so that memory stays that of one matrix.
void round_ahead(std::vector<PlannedTensor>& plan, RoundedAhead& ahead, Context& context) {
  int64_t total = 0;
  for (const PlannedTensor& tensor : plan) total += tensor.sizes_known() ? 0 : tensor.source_bytes;
  if (total == 0) return;
  const ProgressTask task(context.progress, "rounding", total);
  for (PlannedTensor& tensor : plan) {
    if (tensor.sizes_known()) continue;
    FinishedMatrix finished = round_by_step(tensor, std::get<RoundByStep>(tensor.treatment).step, context.threads);
    finished.matrix = ahead.keep(tensor.name, *finished.matrix);
    tensor.finish(std::move(finished));
    context.progress.advance(tensor.source_bytes, tensor.name);
  }
}

std::vector<TensorSpec> specs_of(const std::vector<PlannedTensor>& plan) {
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : plan) specs.insert(specs.end(), tensor.parts.begin(), tensor.parts.end());
  return specs;
}

/// The weight files' names.
std::vector<std::string> write_weights(const Checkpoint& model, const std::vector<PlannedTensor>& plan,
                                       const std::string& directory, int64_t shard_bytes, Context& context,
                                       std::vector<SiteRecord>& sites) {
  SafetensorsWriter writer(directory, specs_of(plan), shard_bytes);
  int64_t total = 0;
  for (const PlannedTensor& tensor : plan) total += tensor.source_bytes;
  context.progress.begin("writing", total);
  for (const PlannedTensor& tensor : plan) {
    std::visit(TensorWriter{model, tensor, writer, context.threads, sites}, tensor.treatment);
    model.release(tensor.name);
    context.progress.advance(tensor.source_bytes, tensor.name);
  }
  context.progress.end();
  writer.finish();
  return writer.files();
}

/// What `plan` becomes on disk. Hashes of source and output at once, unless the source's are known: they are of like
/// size, so two threads share the work.
Json complete_manifest(const QuantizeTask& task, const CalibratedModel* calibrated,
                       const std::vector<PlannedTensor>& plan, const std::string& directory,
                       const std::vector<std::string>& files, Context& context, const QuantizeResult& result) {
  std::vector<std::string> paths;
  if (calibrated == nullptr) paths = task.source->weight_files();
  const size_t of_source = paths.size();
  for (const std::string& file : files) paths.push_back(directory + "/" + file);
  const std::vector<Json> described = describe_files(paths, context);

  Json manifest = tensors_of(plan, result);
  manifest["bitloom"] = version();
  manifest["manifest"] = kManifestVersion;
  manifest["left_out"] = task.source->unused_tensors();
  manifest["recipe"] = to_json(task.recipe);
  manifest["source"] = source_of(*task.source);
  manifest["files"] = Json::object();
  if (calibrated != nullptr) {
    manifest["source"]["files"].update(calibrated->source_files);
    manifest["calibration"] = calibrated->record;
    manifest["remarks"] = result.remarks;
  }
  for (size_t i = 0; i < described.size(); ++i) {
    Json& table = i < of_source ? manifest["source"]["files"] : manifest["files"];
    table[fs::path(paths[i]).filename().string()] = described[i];
  }
  return manifest;
}

/// How this machine multiplies what is rounded.
Json products_of(const std::string& directory) {
  const auto model = Checkpoint::open(directory);
  const Isa isa = isa_from_environment();
  Json products = to_json(count_products(model->graph(), load_weights(*model, PackOptions{isa, Activations::kInt8})));
  products["isa"] = name_of(isa);
  return products;
}

int64_t size_of(const std::vector<std::string>& files, const std::string& directory) {
  int64_t total = 0;
  for (const std::string& file : files) {
    if (file.ends_with(".safetensors")) total += static_cast<int64_t>(fs::file_size(fs::path(directory) / file));
  }
  return total;
}

}  // namespace

QuantizeResult write_output(const QuantizeTask& task, const CalibratedModel* calibrated, const std::string& out,
                            Context& context) {
  const Checkpoint& source = *task.source;
  const std::shared_ptr<const Checkpoint> model =
      calibrated != nullptr ? Checkpoint::edited(task.model, calibrated->rewritten) : task.model;
  std::vector<PlannedTensor> plan =
      plan_tensors(*model, task.steps, calibrated != nullptr ? calibrated->finished : FinishedMatrices(), context);
  const std::map<std::string, std::string> companions = source.companion_files();
  OutputDirectory directory(out, task.options.force, disk_needed(plan, companions));
  RoundedAhead ahead(directory.staging());
  round_ahead(plan, ahead, context);

  QuantizeResult result;
  result.remarks = remarks_on(source, plan);
  result.growth = growth_remark(source, plan);
  if (!result.growth.empty()) result.remarks.push_back(result.growth);
  if (calibrated != nullptr) {
    result.times = calibrated->times;
    result.remarks.insert(result.remarks.end(), calibrated->remarks.begin(), calibrated->remarks.end());
  }
  for (const std::string& remark : result.remarks) context.progress.log(remark);
  std::vector<std::string> files =
      write_weights(*model, plan, directory.staging(), task.options.shard_bytes, context, result.sites);
  ahead.discard();
  if (const std::string lost = lost_remark(result.sites); !lost.empty()) {
    result.remarks.push_back(lost);
    context.progress.log(lost);
  }
  add_up(plan, result);
  result.bytes = size_of(files, directory.staging());
  result.bits_model = 8 * static_cast<double>(result.bytes) / static_cast<double>(std::max<int64_t>(result.weights, 1));
  for (const std::string& file : source.weight_files())
    result.bytes_before += static_cast<int64_t>(fs::file_size(file));

  for (const auto& [name, contents] : companions) {
    directory.write_text(name, contents);
    files.push_back(name);
  }
  InputFormats activations = task.activations;
  if (calibrated != nullptr) {
    for (const auto& [place, format] : calibrated->activations) activations.insert_or_assign(place, format);
  }
  directory.write_text(kConfigFile, dump_json(config_of(*model, plan, activations, task.operands)));
  files.emplace_back(kConfigFile);
  Json manifest = complete_manifest(task, calibrated, plan, directory.staging(), files, context, result);
  if (!activations.empty()) manifest["products"] = products_of(directory.staging());
  directory.write_text(kManifestFile, dump_json(manifest));
  directory.commit();
  return result;
}

}  // namespace bitloom
