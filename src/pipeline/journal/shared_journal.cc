#include "pipeline/journal/shared_journal.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "io/directory/output_file.h"
#include "io/hash.h"
#include "io/mapped_file.h"
#include "pipeline/rounding/site_record.h"

namespace bitloom {
namespace {

/// describe(), the parts of every tensor in the order of sites, the rewritten tensors by name.
Bytes pack(const BlockOutcome& outcome) {
  Bytes bytes;
  const std::string json = dump_json(describe(outcome));
  append(bytes, std::vector<char>(json.begin(), json.end()));
  for (const SiteRecord& site : outcome.sites) {
    for (const TensorPart& part : outcome.quantized.at(site.name)->parts()) {
      append(bytes, Bytes(part.bytes.begin(), part.bytes.end()));
    }
  }
  for (const auto& [name, values] : outcome.rewritten) append(bytes, values);
  return bytes;
}

std::shared_ptr<const StoredMatrix> take_tensor(BytesReader& reader, const SiteRecord& site) {
  const Storage storage = parse_storage(site.storage);
  std::vector<Bytes> parts(greatest_parts(storage, site.rows, site.cols).size());
  for (Bytes& part : parts) part = reader.take<std::byte>();
  return stored_from_bytes(site.name, storage, site.rows, site.cols, std::move(parts));
}

BlockOutcome unpack(const Bytes& bytes) {
  BytesReader reader(bytes);
  const std::vector<char> json = reader.take<char>();
  const Json document = Json::parse(json.begin(), json.end());
  BlockOutcome outcome;
  for (const Json& entry : document.at("sites")) {
    SiteRecord site = site_from_json(entry);
    outcome.quantized[site.name] = take_tensor(reader, site);
    outcome.sites.push_back(std::move(site));
  }
  for (const Json& name : document.at("rewritten")) outcome.rewritten[name.get<std::string>()] = reader.take<float>();
  outcome.activations = activations_of(document.at("activations").get<std::map<std::string, std::string>>());
  outcome.remarks = document.at("remarks").get<std::vector<std::string>>();
  return outcome;
}

void check_same(int block, const Bytes& packed, Ranks& ranks) {
  const std::string hash = sha256_hex(std::string_view(reinterpret_cast<const char*>(packed.data()), packed.size()));
  Bytes mine;
  append(mine, std::vector<char>(hash.begin(), hash.end()));
  const std::vector<Bytes> all = ranks.gather(mine);
  const auto other = std::find_if(all.begin(), all.end(), [&](const Bytes& of_rank) { return of_rank != all[0]; });
  if (other == all.end()) return;
  fail(ErrorKind::kFailed,
       "block {}: rank {} came to other weights than rank 0; all machines must have processors with the same "
       "instruction sets",
       block, other - all.begin());
}

}  // namespace

SharedJournal::SharedJournal(Journal* own, Ranks& ranks) : own_(own), ranks_(ranks) {
  Bytes bytes;
  if (ranks_.leads()) append(bytes, std::vector<int>{own_->finished(), own_->has_moments() ? 1 : 0});
  ranks_.broadcast(bytes);
  const std::vector<int> facts = BytesReader(bytes).take<int>();
  finished_ = facts.at(0), has_moments_ = facts.at(1) != 0;
}

void SharedJournal::copy_moments(const std::string& directory) {
  if (ranks_.size() == 1) return;
  std::vector<std::string> files;
  if (ranks_.leads()) {
    for (const auto& entry : std::filesystem::directory_iterator(own_->moments_directory())) {
      files.push_back(entry.path());
    }
  }
  Bytes count;
  append(count, std::vector<size_t>{files.size()});
  ranks_.broadcast(count);
  files.resize(BytesReader(count).take<size_t>().at(0));
  for (const std::string& file : files) {
    Bytes name, contents;
    if (ranks_.leads()) {
      const std::string text = std::filesystem::path(file).filename();
      append(name, std::vector<char>(text.begin(), text.end()));
      const auto mapped = MappedFile::open(file);
      contents.assign(mapped->bytes().begin(), mapped->bytes().end());
    }
    ranks_.broadcast(name);
    ranks_.broadcast(contents);
    if (ranks_.leads()) continue;
    const std::vector<char> text = BytesReader(name).take<char>();
    OutputFile copy(directory + "/" + std::string(text.begin(), text.end()));
    copy.write_at(0, contents);
    copy.finish();
  }
}

BlockOutcome SharedJournal::load(int block) {
  if (ranks_.size() == 1) return own_->load(block);
  Bytes bytes;
  BlockOutcome outcome;
  if (ranks_.leads()) {
    outcome = own_->load(block);
    bytes = pack(outcome);
  }
  ranks_.broadcast(bytes);
  return ranks_.leads() ? std::move(outcome) : unpack(bytes);
}

void SharedJournal::store(int block, const BlockOutcome& outcome) {
  if (ranks_.size() > 1) check_same(block, pack(outcome), ranks_);
  if (ranks_.leads()) own_->store(block, outcome);
  finished_ = block + 1;
}

}  // namespace bitloom
