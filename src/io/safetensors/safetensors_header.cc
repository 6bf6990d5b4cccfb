#include "io/safetensors/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "base/error.h"
#include "io/json.h"

namespace bitloom {

void check_specs(std::span<const TensorSpec> specs) {
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

std::vector<int64_t> place_tensors(std::span<const TensorSpec> specs) {
  std::vector<size_t> order(specs.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return info(specs[a].dtype).bits > info(specs[b].dtype).bits; });
  std::vector<int64_t> offsets(specs.size());
  int64_t offset = 0;
  for (const size_t i : order) {
    offsets[i] = offset;
    offset += specs[i].bytes();
  }
  return offsets;
}

namespace {

Json entry_of(const TensorSpec& spec, int64_t begin, int64_t end) {
  return {{"dtype", info(spec.dtype).name}, {"shape", spec.shape}, {"data_offsets", {begin, end}}};
}

}  // namespace

int64_t safetensors_entry_bytes(const TensorSpec& spec, int64_t file_bytes) {
  // Offsets have as many digits as any; braces less, a comma more.
  const Json alone = {{spec.name, entry_of(spec, file_bytes, file_bytes)}};
  return static_cast<int64_t>(alone.dump().size()) - 1;
}

std::string safetensors_header(std::span<const TensorSpec> specs, std::span<const int64_t> offsets,
                               const std::map<std::string, std::string>& metadata, const std::string& file) {
  Json header = {{"__metadata__", metadata}};
  for (size_t i = 0; i < specs.size(); ++i) {
    header[specs[i].name] = entry_of(specs[i], offsets[i], offsets[i] + specs[i].bytes());
  }
  std::string json;
  try {
    json = header.dump();
  } catch (const Json::exception& error) {
    fail(ErrorKind::kFailed, "{}: cannot write its header: {}", file, error.what());
  }
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + json;
}

}  // namespace bitloom
