#include "pipeline/journal/journal.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/directory/output_directory.h"
#include "io/directory/output_file.h"
#include "io/safetensors/safetensors.h"
#include "pipeline/rounding/site_record.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIdentityFile = "identity.json";
constexpr const char* kBlockFile = "block.json";
constexpr const char* kLockFile = "lock";
constexpr const char* kSpentFile = "spent.json";
constexpr const char* kProcessorSeconds = "processor_seconds";
constexpr const char* kMoments = "/moments";

std::string path_of_block(const std::string& directory, int block) {
  return fmt::format("{}/block-{:04}", directory, block);
}

/// Every leaf under its path: "recipe.steps.0.quantize".
std::map<std::string, std::string> leaves_of(const Json& identity) {
  std::map<std::string, std::string> leaves;
  for (const auto& [name, value] : identity.items()) {
    const Json flat = value.flatten();
    for (const auto& [pointer, leaf] : flat.items()) {
      std::string path = name + pointer;
      std::replace(path.begin() + static_cast<std::ptrdiff_t>(name.size()), path.end(), '/', '.');
      leaves[path] = leaf.dump();
    }
  }
  return leaves;
}

/// "recipe.steps.0.quantize was "int4-g128", is "int3-g128"". Where steps differ, the names made of them are no news.
std::vector<std::string> differences(const Json& was, const Json& is) {
  const std::map<std::string, std::string> before = leaves_of(was), now = leaves_of(is);
  std::map<std::string, std::string> lines;
  for (const auto& [path, value] : now) {
    const auto old = before.find(path);
    if (old == before.end())
      lines[path] = fmt::format("{} was absent, is {}", path, value);
    else if (old->second != value)
      lines[path] = fmt::format("{} was {}, is {}", path, old->second, value);
  }
  for (const auto& [path, value] : before) {
    if (!now.contains(path)) lines[path] = fmt::format("{} was {}, is absent", path, value);
  }
  const auto is_of_steps = [](const auto& line) { return line.first.starts_with("recipe.steps"); };
  if (std::any_of(lines.begin(), lines.end(), is_of_steps))
    lines.erase("recipe.name"), lines.erase("recipe.description");
  std::vector<std::string> texts;
  for (auto& [path, text] : lines) texts.push_back(std::move(text));
  return texts;
}

void check_identity(const std::string& directory, const std::string& out, const Json& identity, int finished) {
  Json was;
  try {
    was = read_json(directory + "/" + kIdentityFile);
  } catch (const Error& error) {
    misuse("{}: the journal of an unfinished run for '{}' cannot be read ({}); add --restart to begin anew", directory,
           out, error.what());
  }
  const std::vector<std::string> lines = differences(was, identity);
  if (lines.empty()) return;
  const std::string kept = finished == 0   ? "the layers' moments"
                           : finished == 1 ? "1 finished block"
                                           : fmt::format("{} finished blocks", finished);
  misuse(
      "{}: {} of another run for '{}' {} there: {}; repeat the earlier command to go on with them, or "
      "begin anew: add --restart, or remove that directory",
      directory, kept, out, finished == 1 ? "lies" : "lie", fmt::join(lines, "; "));
}

/// Whether it says that the run is this one.
bool is_of(const std::string& identity_file, const Json& identity) {
  try {
    return read_json(identity_file) == identity;
  } catch (const Error&) {
    return false;
  }
}

/// What this program puts there, finished or not.
bool is_name_of_ours(std::string_view name) {
  for (const std::string_view beginning : {"block-", "moments", "scratch-", "activations-", "tuning"}) {
    if (name.starts_with(beginning)) return true;
  }
  for (const std::string_view file : {kIdentityFile, kSpentFile}) {
    if (name == file || name == std::string(file) + kReplacementSuffix) return true;
  }
  return name == kLockFile;
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

/// Nothing is known of a run that was killed between its first block and this file.
double read_spent(const std::string& directory) {
  const std::string path = directory + "/" + kSpentFile;
  if (!fs::exists(path)) return 0;
  try {
    return read_json(path).at(kProcessorSeconds).get<double>();
  } catch (const std::exception& error) {
    refuse("{}: what the run has taken so far cannot be read ({}); add --restart to begin anew", path, error.what());
  }
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
  outcome.activations = activations_of(document.at("activations").get<std::map<std::string, std::string>>());
  outcome.remarks = document.at("remarks").get<std::vector<std::string>>();
  if (document.contains("tuning")) outcome.tuning = tuning_from_json(document.at("tuning"));
  return outcome;
}

}  // namespace

Json describe(const BlockOutcome& outcome) {
  Json rewritten = Json::array();
  for (const auto& [name, values] : outcome.rewritten) rewritten.push_back(name);
  Json document = {{"sites", to_json(outcome.sites)},
                   {"rewritten", std::move(rewritten)},
                   {"activations", to_texts(outcome.activations)},
                   {"remarks", outcome.remarks}};
  if (outcome.tuning) document["tuning"] = to_json(*outcome.tuning);
  return document;
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
  const int finished = finished_for(out);
  const bool keeps_work = finished > 0 || has_moments();
  if (restart || !fs::exists(known) || (!keeps_work && !is_of(known, identity))) {
    empty();
    replace_file(known, dump_json(identity));
  } else {
    check_identity(directory_, out, identity, finished);
  }
  finished_ = finished_for(out);
  spent_before_ = finished_ > 0 ? read_spent(directory_) : 0;
}

Journal::~Journal() {
  if (finished_ > 0 || has_moments() || lock_ == nullptr || !lock_->held()) return;
  std::error_code error;
  fs::remove_all(directory_, error);
}

void Journal::empty() const {
  fs::remove(directory_ + "/" + kIdentityFile);
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().filename() != kLockFile) fs::remove_all(entry.path());
  }
}

std::string Journal::block_directory(int block) const { return path_of_block(directory_, block); }

std::string Journal::moments_directory() const { return directory_ + kMoments; }

bool Journal::has_moments() const { return fs::is_directory(moments_directory()); }

std::string Journal::kept_for(const std::string& out) {
  const int finished = finished_for(out);
  if (finished > 0) return fmt::format("block {}", finished);
  return fs::is_directory(directory_for(out) + kMoments) ? "the layers' moments" : "";
}

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
  const Json spent = {{kProcessorSeconds, spent_before_ + processor_seconds() - start_}};
  replace_file(directory_ + "/" + kSpentFile, dump_json(spent));
}

void Journal::discard() {
  std::error_code error;
  fs::remove(directory_ + "/" + kIdentityFile, error);
  if (!error) fs::remove_all(directory_, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot remove the journal: {}", directory_, error.message());
  lock_.reset();
}

}  // namespace bitloom
