#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "io/directory/output_file.h"
#include "io/json.h"
#include "io/safetensors/safetensors.h"
#include "io/safetensors/safetensors_header.h"

namespace bitloom {
namespace {

/// One file: the tensors [first, first + offsets.size()) of the specs.
struct Shard {
  std::string file;
  size_t first = 0;
  std::vector<int64_t> offsets;  // of each tensor's first byte, in the data
};

/// Greedy: a shard is closed by the first tensor that would make it longer than `shard_bytes`.
std::vector<Shard> plan_shards(const std::vector<TensorSpec>& specs, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  int64_t filled = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (filled > 0 && specs[i].bytes() > shard_bytes - filled) {
      shards.push_back({"", i, {}});
      filled = 0;
    }
    shards.back().offsets.push_back(0);
    filled += specs[i].bytes();
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].file = shards.size() == 1 ? "model.safetensors"
                                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

}  // namespace

int64_t TensorSpec::bytes() const {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  return bytes_of(dtype, elements);
}

struct SafetensorsWriter::State {
  std::string directory;
  std::vector<TensorSpec> specs;
  std::vector<Shard> shards;
  size_t shard = 0;     // being written
  size_t turn = 0;      // tensor being written, in specs
  int64_t written = 0;  // bytes of it
  std::optional<OutputFile> file;
  int64_t data_start = 0;  // of `file`

  void open_shard() {
    const Shard& now = shards[shard];
    const std::string header =
        safetensors_header({specs.data() + now.first, now.offsets.size()}, now.offsets, {{"format", "pt"}}, now.file);
    file.emplace(directory + "/" + now.file);
    file->write_at(0, header);
    data_start = static_cast<int64_t>(header.size());
  }

  /// Steps over complete tensors; closes and opens files on the way.
  void advance() {
    while (turn < specs.size()) {
      if (turn == shards[shard].first + shards[shard].offsets.size()) {
        file->finish();
        ++shard;
        open_shard();
      }
      if (written < specs[turn].bytes()) return;
      ++turn;
      written = 0;
    }
  }

  void write_index() const {
    int64_t total = 0;
    Json map = Json::object();
    for (const Shard& part : shards) {
      for (size_t i = part.first; i < part.first + part.offsets.size(); ++i) {
        map[specs[i].name] = part.file;
        total += specs[i].bytes();
      }
    }
    const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}};
    OutputFile out(directory + "/model.safetensors.index.json");
    out.write_at(0, dump_json(index));
    out.finish();
  }
};

SafetensorsWriter::SafetensorsWriter(std::string directory, std::vector<TensorSpec> specs, int64_t shard_bytes)
    : state_(std::make_unique<State>()) {
  check_specs(specs);
  state_->directory = std::move(directory);
  state_->shards = plan_shards(specs, shard_bytes);
  for (Shard& shard : state_->shards) {
    shard.offsets = place_tensors({specs.data() + shard.first, shard.offsets.size()});
  }
  state_->specs = std::move(specs);
  state_->open_shard();
  state_->advance();
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  State& s = *state_;
  if (s.turn == s.specs.size() || s.specs[s.turn].name != name) {
    fail(ErrorKind::kFailed, "{}: tensor '{}' written out of turn, expected {}", s.file->path(), name,
         s.turn == s.specs.size() ? "none" : "'" + s.specs[s.turn].name + "'");
  }
  const int64_t left = s.specs[s.turn].bytes() - s.written;
  if (static_cast<int64_t>(bytes.size()) > left) {
    fail(ErrorKind::kFailed, "{}: tensor '{}' takes {} more bytes, got {}", s.file->path(), name, left, bytes.size());
  }
  const Shard& shard = s.shards[s.shard];
  s.file->write_at(s.data_start + shard.offsets[s.turn - shard.first] + s.written, bytes);
  s.written += static_cast<int64_t>(bytes.size());
  s.advance();
}

void SafetensorsWriter::finish() {
  State& s = *state_;
  if (s.turn < s.specs.size()) {
    fail(ErrorKind::kFailed, "{}: tensor '{}' lacks {} of its {} bytes", s.file->path(), s.specs[s.turn].name,
         s.specs[s.turn].bytes() - s.written, s.specs[s.turn].bytes());
  }
  s.file->finish();
  if (s.shards.size() > 1) s.write_index();
}

std::vector<std::string> SafetensorsWriter::files() const {
  std::vector<std::string> names;
  for (const Shard& shard : state_->shards) names.push_back(shard.file);
  if (names.size() > 1) names.push_back("model.safetensors.index.json");
  return names;
}

}  // namespace bitloom
