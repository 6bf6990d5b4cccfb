#include "pipeline/journal/run_identity.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "base/version.h"
#include "pipeline/journal/journal.h"
#include "pipeline/task/file_records.h"

namespace bitloom {

Json record_of(const QuantizeOptions& options) {
  Json record = options.data ? options.data->record : Json::object();
  record["order"] = to_string(options.order);
  record["activations"] = options.precision == ActivationPrecision::kF32 ? "F32" : "BF16";
  record["run_seed"] = options.seed;
  record["ranks"] = options.ranks->size();
  return record;
}

Json identity_of(const Checkpoint& source, const Json& source_files, const Recipe& recipe, const Json& record) {
  Json identity = {{"bitloom", version()}, {"journal", kJournalVersion}, {"recipe", to_json(recipe)}};
  for (const auto& [name, file] : source_files.items()) identity["source " + name] = file["sha256"];
  const Json described = source_of(source);
  for (const auto& [name, file] : described["files"].items()) identity["source " + name] = file["sha256"];
  // "ids_sha256" stands for the data; these would only make the list of differences long.
  for (const auto& [key, value] : record.items()) {
    if (key != "fingerprint" && key != "description") identity["calibration " + key] = value;
  }
  return identity;
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

}  // namespace bitloom
