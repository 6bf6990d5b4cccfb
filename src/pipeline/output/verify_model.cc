#include "pipeline/output/verify_model.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/text/text.h"
#include "io/safetensors/safetensors.h"
#include "pipeline/output/dense_values.h"
#include "pipeline/output/manifest.h"
#include "pipeline/output/plan.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

template <typename... Args>
[[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorKind::kUnverified, format, std::forward<Args>(args)...);
}

/// What another layer refuses about the contents of a model under verification is a finding.
template <typename Body>
auto as_finding(const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kRefused) throw;
    reject("{}", error.what());
  }
}

/// A manifest with typed look-ups. It is as foreign as any file: everything is checked.
class Manifest {
 public:
  explicit Manifest(std::string path) : path_(std::move(path)), json_(as_finding([this] { return read_json(path_); })) {
    if (!json_.is_object()) reject("{}: not a JSON object", path_);
    const Json* version = find(json_, "manifest");
    if (version == nullptr || *version != kManifestVersion) {
      reject("{}: \"manifest\" is {}, expected {}", path_, version == nullptr ? "missing" : version->dump(),
             kManifestVersion);
    }
  }

  const std::string& path() const { return path_; }
  /// An object of objects.
  const Json& table(const char* key) const {
    const Json* value = find(json_, key);
    if (value == nullptr || !value->is_object()) reject("{}: \"{}\" is no object", path_, key);
    for (const auto& [name, entry] : value->items()) {
      if (!entry.is_object()) reject("{}: \"{}\": \"{}\" is no object", path_, key, name);
    }
    return *value;
  }
  const Json& totals() const {
    const Json* value = find(json_, "totals");
    if (value == nullptr || !value->is_object()) reject("{}: \"totals\" is no object", path_);
    return *value;
  }
  /// `place` says which entry `object` is, for the message.
  void expect(const Json& object, const std::string& place, const char* key, const Json& actual) const {
    const Json* recorded = find(object, key);
    if (recorded != nullptr && *recorded == actual) return;
    reject("{}: {}: \"{}\" is {}, but the files give {}", path_, place, key,
           recorded == nullptr ? "missing" : recorded->dump(), actual.dump());
  }

 private:
  static const Json* find(const Json& object, const char* key) {
    const auto entry = object.find(key);
    return entry == object.end() ? nullptr : &*entry;
  }
  std::string path_;
  Json json_;
};

/// Every file that the manifest lists has the size and hash it lists; every weight file is listed.
std::string verify_files(const Manifest& manifest, const std::string& directory, Context& context) {
  const Json& files = manifest.table("files");
  std::vector<std::string> names, paths;
  for (const auto& [name, entry] : files.items()) {
    if (name.empty() || name.find('/') != std::string::npos)
      reject("{}: \"files\" names '{}', no plain file name", manifest.path(), name);
    const fs::path path = fs::path(directory) / name;
    if (!fs::is_regular_file(path)) reject("{}: missing, but {} lists it", path.string(), kManifestFile);
    names.push_back(name);
    paths.push_back(path.string());
  }
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".safetensors" && !files.contains(name)) {
      reject("{}: a weight file that {} does not list", entry.path().string(), kManifestFile);
    }
  }
  const std::vector<Json> found = describe_files(paths, context);
  for (size_t i = 0; i < names.size(); ++i) {
    for (const char* key : {"bytes", "sha256"}) {
      if (files[names[i]].value(key, Json()) == found[i][key]) continue;
      reject("{}: {} is {}, {} says {}", paths[i], key, found[i][key].dump(), kManifestFile,
             files[names[i]].value(key, Json()).dump());
    }
  }
  return fmt::format("{} files have the recorded sizes and SHA-256", names.size());
}

/// What says how the model behaves is listed too. Legal texts may come later.
void verify_companions(const Manifest& manifest, const Checkpoint& model) {
  std::vector<std::string> names = {kConfigFile};
  for (const auto& [name, contents] : model.companion_files()) {
    if (!name.starts_with("LICENSE") && !name.starts_with("NOTICE")) names.push_back(name);
  }
  for (const std::string& name : names) {
    if (!manifest.table("files").contains(name))
      reject("{}/{}: a file that {} does not list", model.path(), name, kManifestFile);
  }
}

/// The names in the files are those that the manifest accounts for, no more and no less.
void verify_names(const Manifest& manifest, const std::vector<PlannedTensor>& tensors, const std::string& directory) {
  std::set<std::string> expected;
  for (const PlannedTensor& tensor : tensors) {
    const char* table = tensor.is_quantized() ? "tensors" : "kept";
    if (!manifest.table(table).contains(tensor.name)) {
      reject("{}: tensor '{}' is in the files but not in \"{}\"", manifest.path(), tensor.name, table);
    }
    for (const TensorSpec& part : tensor.parts) expected.insert(part.name);
  }
  for (const char* table : {"tensors", "kept"}) {
    for (const auto& [name, entry] : manifest.table(table).items()) {
      const bool found =
          std::any_of(tensors.begin(), tensors.end(), [&n = name](const PlannedTensor& t) { return t.name == n; });
      if (!found) reject("{}: tensor '{}' of \"{}\" is missing from the files", manifest.path(), name, table);
    }
  }
  for (const TensorView& view : open_safetensors_directory(directory)) {
    if (!expected.contains(view.name))
      reject("{}: tensor '{}' is not accounted for by {}", view.file, view.name, kManifestFile);
  }
}

/// What the manifest records of each tensor follows from the files.
void verify_records(const Manifest& manifest, const std::vector<PlannedTensor>& tensors) {
  for (const PlannedTensor& tensor : tensors) {
    const Json& entry = manifest.table(tensor.is_quantized() ? "tensors" : "kept")[tensor.name];
    const std::string place = fmt::format("tensor '{}'", tensor.name);
    manifest.expect(entry, place, "bytes", tensor.bytes());
    if (!tensor.is_quantized()) {
      manifest.expect(entry, place, "dtype", info(tensor.parts.front().dtype).name);
      manifest.expect(entry, place, "shape", tensor.parts.front().shape);
      continue;
    }
    const StoredMatrix& q = *std::get<TakeOver>(tensor.treatment).matrix;
    manifest.expect(entry, place, "storage", q.storage());
    manifest.expect(entry, place, "shape", {q.rows(), q.cols()});
    manifest.expect(entry, place, "bits_nominal", q.nominal_bits());
    manifest.expect(entry, place, "bits_true", q.true_bits());
  }
}

std::string verify_totals(const Manifest& manifest, const std::vector<PlannedTensor>& tensors) {
  QuantizeResult result;
  add_up(tensors, result);
  const Json expected = tensors_of(tensors, result)["totals"];
  for (const auto& [key, value] : expected.items())
    manifest.expect(manifest.totals(), "\"totals\"", key.c_str(), value);
  return fmt::format("recorded bits agree with the files: {:.4g} nominal, {:.4g} true, {:.4g} over the whole model",
                     result.bits_nominal, result.bits_true, result.bits_true_model);
}

/// Values of every tensor, in order; the number of quantized ones.
int64_t verify_values(const Checkpoint& model, Context& context) {
  int64_t total = 0, quantized = 0;
  for (const CheckpointTensor& tensor : model.tensors()) total += tensor.rows->stored_bytes();
  context.progress.begin("checking values", total);
  for (const CheckpointTensor& tensor : model.tensors()) {
    if (const auto* q = dynamic_cast<const StoredMatrix*>(tensor.rows.get())) {
      q->check_values(tensor.name);
      ++quantized;
    }
    as_finding([&] { require_finite(model.path(), tensor.name, *tensor.rows, context.threads); });
    model.release(tensor.name);
    context.progress.advance(tensor.rows->stored_bytes(), tensor.name);
  }
  context.progress.end();
  return quantized;
}

}  // namespace

std::vector<std::string> verify_model(const std::string& path, Context& context) {
  std::vector<std::string> right;
  std::optional<Manifest> manifest;
  if (fs::exists(fs::path(path) / kManifestFile)) {
    manifest.emplace((fs::path(path) / kManifestFile).string());
    right.push_back(verify_files(*manifest, path, context));
  }
  const auto open = [&path] { return Checkpoint::open(path); };
  const auto model = manifest ? as_finding(open) : open();
  if (model->kind() == CheckpointKind::kBitloom && !manifest) {
    reject("{}: a bitloom model without its manifest {}", path, kManifestFile);
  }
  if (manifest) {
    const std::vector<PlannedTensor> tensors = plan_tensors(*model, {}, {}, context);
    verify_companions(*manifest, *model);
    verify_names(*manifest, tensors, path);
    verify_records(*manifest, tensors);
    right.push_back(verify_totals(*manifest, tensors));
  }
  const int64_t quantized = verify_values(*model, context);
  right.push_back(
      fmt::format("{} tensors are there, with the right shapes and finite values", model->tensors().size()));
  if (quantized > 0) {
    right.push_back(fmt::format("{} of them are quantized: codes, scales and zero points in range", quantized));
  }
  return right;
}

}  // namespace bitloom
