#include "pipeline/task/file_records.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/text/text.h"
#include "io/hash.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

const char* kind_name(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kHuggingFace:
      return "huggingface";
    case CheckpointKind::kBitloom:
      return "bitloom";
    case CheckpointKind::kGguf:
      return "gguf";
  }
  return "";
}

}  // namespace

std::vector<Json> describe_files(const std::vector<std::string>& paths, Context& context) {
  std::vector<int64_t> sizes;
  sizes.reserve(paths.size());
  for (const std::string& path : paths) sizes.push_back(static_cast<int64_t>(fs::file_size(path)));
  std::vector<Json> result(paths.size());
  // The largest first, so that no thread is left alone with it at the end.
  std::vector<size_t> order(paths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  context.progress.begin("hashing", std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  context.threads.parallel_for(static_cast<int64_t>(paths.size()), [&](int64_t i) {
    const size_t file = order[static_cast<size_t>(i)];
    result[file] = {{"sha256", sha256_file(paths[file])}, {"bytes", sizes[file]}};
    context.progress.advance(sizes[file], fs::path(paths[file]).filename().string());
  });
  context.progress.end();
  return result;
}

Json hash_files(const Checkpoint& source, Context& context) {
  Json files = Json::object();
  const std::vector<Json> described = describe_files(source.weight_files(), context);
  for (size_t i = 0; i < described.size(); ++i) {
    files[fs::path(source.weight_files()[i]).filename().string()] = described[i];
  }
  return files;
}

Json describe_text(const std::string& contents) {
  return {{"sha256", sha256_hex(contents)}, {"bytes", contents.size()}};
}

Json source_of(const Checkpoint& source) {
  Json files = Json::object();
  for (const auto& [name, contents] : source.companion_files()) files[name] = describe_text(contents);
  const fs::path config = fs::path(source.path()) / kConfigFile;
  if (source.kind() != CheckpointKind::kGguf) files[kConfigFile] = describe_text(read_text(config.string()));
  // The name alone: where the source lies on this machine must not change the bytes.
  return {{"name", fs::canonical(source.path()).filename().string()},
          {"kind", kind_name(source.kind())},
          {"files", std::move(files)}};
}

}  // namespace bitloom
