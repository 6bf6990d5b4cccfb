#include "pipeline/journal/journal.h"

#include <fmt/ranges.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/output_directory.h"
#include "io/output_file.h"
#include "io/safetensors.h"
#include "pipeline/rounding/site_record.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIdentityFile = "identity.json";
constexpr const char* kBlockFile = "block.json";
constexpr const char* kLockFile = "lock";

std::string path_of_block(const std::string& directory, int block) {
  return fmt::format("{}/block-{:04}", directory, block);
}

/// "recipe was gptq+int4-g128, is gptq+int3-g128".
std::vector<std::string> differences(const Json& was, const Json& is) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : is.items()) {
    const Json before = was.contains(key) ? was[key] : Json();
    if (before != value) lines.push_back(fmt::format("{} was {}, is {}", key, before.dump(), value.dump()));
  }
  for (const auto& [key, value] : was.items()) {
    if (!is.contains(key)) lines.push_back(fmt::format("{} was {}, is absent", key, value.dump()));
  }
  return lines;
}

void check_identity(const std::string& directory, const std::string& out, const Json& identity) {
  Json was;
  try {
    was = read_json(directory + "/" + kIdentityFile);
  } catch (const Error& error) {
    misuse("{}: the journal of an unfinished run for '{}' cannot be read ({}); add --restart to begin anew", directory,
           out, error.what());
  }
  const std::vector<std::string> lines = differences(was, identity);
  if (lines.empty()) return;
  misuse(
      "{}: an unfinished run for '{}' was another one: {}; repeat the earlier command to go on, or add "
      "--restart to begin anew",
      directory, out, fmt::join(lines, "; "));
}

/// What this program puts there, finished or not.
bool is_name_of_ours(std::string_view name) {
  for (const std::string_view beginning : {"block-", "activations-"}) {
    if (name.starts_with(beginning)) return true;
  }
  return name == kLockFile || name == kIdentityFile || name == std::string(kIdentityFile) + kReplacementSuffix;
}

/// A directory of that name that is no journal of ours must not be filled or emptied.
void check_is_journal(const std::string& directory) {
  if (!fs::exists(directory)) return;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (is_name_of_ours(name)) continue;
    misuse("{}: exists and is no journal of an unfinished run (it holds '{}'); move it away", directory, name);
  }
  Json identity;
  try {
    identity = read_json(directory + "/" + kIdentityFile);
  } catch (const Error&) {
    return;  // absent, or damaged: whose it was cannot be told from it
  }
  if (identity.contains("journal")) return;
  misuse("{}: exists and is no journal of an unfinished run ('{}' is of something else); move it away", directory,
         kIdentityFile);
}

/// The parts of every quantized matrix, and one flat fp32 tensor for whatever else was rewritten.
std::vector<TensorSpec> specs_of(const BlockOutcome& outcome) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : outcome.quantized) {
    for (const TensorPart& part : tensor->parts()) specs.push_back({name + part.suffix, part.dtype, part.shape});
  }
  for (const auto& [name, values] : outcome.rewritten) {
    specs.push_back({name, DType::kF32, {static_cast<int64_t>(values.size())}});
  }
  return specs;
}

void write_tensors(const std::string& directory, const BlockOutcome& outcome) {
  SafetensorsWriter writer(directory, specs_of(outcome), int64_t{1} << 62);
  for (const auto& [name, tensor] : outcome.quantized) {
    for (const TensorPart& part : tensor->parts()) writer.write(name + part.suffix, part.bytes);
  }
  for (const auto& [name, values] : outcome.rewritten) writer.write(name, std::as_bytes(std::span(values)));
  writer.finish();
}

BlockOutcome read_block(const std::string& directory) {
  const std::string origin = directory + "/" + kBlockFile;
  const Json document = read_json(origin);
  std::map<std::string, TensorView> views;
  for (TensorView& view : open_safetensors_directory(directory)) {
    std::string name = view.name;
    views.emplace(std::move(name), std::move(view));
  }
  const auto find = [&](const std::string& name) -> const TensorView& {
    const auto at = views.find(name);
    if (at == views.end()) refuse("tensor '{}' is missing", name);
    return at->second;
  };
  BlockOutcome outcome;
  for (const Json& entry : document.at("sites")) {
    SiteRecord site = site_from_json(entry);
    const Storage storage = parse_storage(site.storage);
    std::vector<TensorPart> parts;
    auto owners = std::make_shared<std::vector<std::shared_ptr<const void>>>();
    for (const TensorPart& part : greatest_parts(storage, site.rows, site.cols)) {
      const TensorView& view = find(site.name + part.suffix);
      parts.push_back({part.suffix, view.dtype, view.shape, view.bytes});
      owners->push_back(view.owner);
    }
    outcome.quantized[site.name] =
        StoredMatrix::from_parts(directory + ": " + site.name, storage, site.rows, site.cols, parts, owners);
    outcome.sites.push_back(std::move(site));
  }
  for (const Json& name : document.at("rewritten")) {
    const TensorView& view = find(name.get<std::string>());
    std::vector<float>& values = outcome.rewritten[name.get<std::string>()];
    values.resize(view.bytes.size() / sizeof(float));
    decode_to_f32(DType::kF32, view.bytes.data(), 0, static_cast<int64_t>(values.size()), values.data());
  }
  outcome.remarks = document.at("remarks").get<std::vector<std::string>>();
  return outcome;
}

}  // namespace

Json describe(const BlockOutcome& outcome) {
  Json sites = Json::array();
  for (const SiteRecord& site : outcome.sites) {
    Json entry = to_json(site);
    entry["name"] = site.name;
    sites.push_back(std::move(entry));
  }
  Json rewritten = Json::array();
  for (const auto& [name, values] : outcome.rewritten) rewritten.push_back(name);
  return {{"sites", std::move(sites)}, {"rewritten", std::move(rewritten)}, {"remarks", outcome.remarks}};
}

std::string Journal::directory_for(const std::string& out) { return plain_output_path(out) + ".journal"; }

Journal::Journal(const std::string& out, const Json& identity, bool restart) : directory_(directory_for(out)) {
  if (fs::exists(directory_) && !fs::is_directory(directory_)) {
    misuse("{}: exists and is no journal of an unfinished run; move it away", directory_);
  }
  check_is_journal(directory_);
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot create directory: {}", directory_, error.message());
  const std::string lock = directory_ + "/" + kLockFile;
  lock_ = std::make_unique<FileLock>(lock);
  if (!lock_->held()) misuse("output '{}' is being made by another run, which holds {}", out, lock);
  const std::string known = directory_ + "/" + kIdentityFile;
  if (restart || !fs::exists(known)) {
    empty();
    replace_file(known, dump_json(identity));
  } else {
    check_identity(directory_, out, identity);
  }
  finished_ = finished_for(out);
}

void Journal::empty() const {
  fs::remove(directory_ + "/" + kIdentityFile);
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().filename() != kLockFile) fs::remove_all(entry.path());
  }
}

std::string Journal::block_directory(int block) const { return path_of_block(directory_, block); }

int Journal::finished_for(const std::string& out) {
  int finished = 0;
  while (fs::exists(path_of_block(directory_for(out), finished))) ++finished;
  return finished;
}

BlockOutcome Journal::load(int block) const {
  const std::string directory = block_directory(block);
  try {
    return read_block(directory);
  } catch (const std::exception& error) {
    refuse("{}: this finished block cannot be read ({}); add --restart to begin anew", directory, error.what());
  }
}

void Journal::store(int block, const BlockOutcome& outcome) {
  // A block that is there already follows a gap, so it is not known to belong to this run.
  OutputDirectory directory(block_directory(block), true, 0);
  write_tensors(directory.staging(), outcome);
  directory.write_text(kBlockFile, dump_json(describe(outcome)));
  directory.commit();
  finished_ = block + 1;
}

void Journal::discard() {
  std::error_code error;
  fs::remove(directory_ + "/" + kIdentityFile, error);
  if (!error) fs::remove_all(directory_, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot remove the journal: {}", directory_, error.message());
}

}  // namespace bitloom
