#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "io/json.h"
#include "io/output_file.h"
#include "io/safetensors.h"

namespace bitloom {
namespace {

/// One file: the tensors [first, first + offsets.size()) of the specs.
struct Shard {
  std::string file;
  size_t first = 0;
  std::vector<int64_t> offsets;  // of each tensor's first byte, in the data
};

void check_specs(const std::vector<TensorSpec>& specs) {
  std::set<std::string_view> names;
  for (const TensorSpec& spec : specs) {
    const std::optional<int64_t> elements = checked_elements(spec.shape);
    int64_t bits = 0;
    if (!elements || __builtin_mul_overflow(*elements, int64_t{info(spec.dtype).bits}, &bits) || bits % 8 != 0) {
      fail(ErrorKind::kFailed, "cannot write tensor '{}': shape {} of {} is no whole number of bytes", spec.name,
           shape_text(spec.shape), info(spec.dtype).name);
    }
    if (spec.name == "__metadata__" || !names.insert(spec.name).second) {
      fail(ErrorKind::kFailed, "cannot write tensor '{}': the name is taken", spec.name);
    }
  }
}

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

/// Wider element types first, so that no tensor's offset breaks its alignment (a format without holes cannot pad).
void place_tensors(const std::vector<TensorSpec>& specs, Shard& shard) {
  std::vector<size_t> order(shard.offsets.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return info(specs[shard.first + a].dtype).bits > info(specs[shard.first + b].dtype).bits;
  });
  int64_t offset = 0;
  for (const size_t i : order) {
    shard.offsets[i] = offset;
    offset += specs[shard.first + i].bytes();
  }
}

/// u64 length | JSON padded with spaces, so that the data begins at a multiple of 8.
std::string header_text(const std::vector<TensorSpec>& specs, const Shard& shard) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  for (size_t i = 0; i < shard.offsets.size(); ++i) {
    const TensorSpec& spec = specs[shard.first + i];
    const int64_t begin = shard.offsets[i];
    header[spec.name] = {
        {"dtype", info(spec.dtype).name}, {"shape", spec.shape}, {"data_offsets", {begin, begin + spec.bytes()}}};
  }
  std::string json;
  try {
    json = header.dump();
  } catch (const Json::exception& error) {  // a name that is no UTF-8
    fail(ErrorKind::kFailed, "{}: cannot write its header: {}", shard.file, error.what());
  }
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + json;
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
    const std::string header = header_text(specs, shards[shard]);
    file.emplace(directory + "/" + shards[shard].file);
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
  for (Shard& shard : state_->shards) place_tensors(specs, shard);
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
