#pragma once
// safetensors: one file, or shards with an index (model.safetensors.index.json).
//
// Layout: u64 LE n | n bytes of JSON | data. Every offset is checked against the file before it is used: no overlap,
// no hole, length = dtype size x shape, no duplicate key, header <= 100 MB. Messages name file, tensor and value.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/tensor_view.h"

namespace bitloom {

/// One parsed file. Tensors in the order of their data offsets.
struct SafetensorsFile {
  std::string path;
  std::vector<TensorView> tensors;
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

SafetensorsFile open_safetensors(const std::string& path);

/// All tensors of a model directory: model.safetensors, or the shards that the index's weight_map names (never a glob:
/// stale extra shards are common). Refuses a missing shard. A tensor that the index promises and the shard lacks goes
/// to `absent` (name -> shard), without which it is refused. Where both exist the single file wins, as in transformers.
/// Tensors of a shard that the index does not assign to it are left out.
std::vector<TensorView> open_safetensors_directory(const std::string& directory,
                                                   std::map<std::string, std::string>* absent = nullptr);

/// What the writer needs to know of a tensor before its bytes exist.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t bytes() const;
};

/// A tensor whose bytes are in memory.
struct TensorBytes {
  TensorSpec spec;
  std::span<const std::byte> bytes;
};

/// Writes one file with this "__metadata__": complete or not at all (PATH.partial, renamed at the end). Error(kFailed)
/// for tensors that cannot be stored, and when the disk does not take them.
void write_safetensors_file(const std::string& path, std::span<const TensorBytes> tensors,
                            const std::map<std::string, std::string>& metadata);

/// Streams tensors to `directory`: model.safetensors, or model-0000i-of-0000n.safetensors + index when the specs
/// exceed `shard_bytes` (a tensor is never split). All specs are known first, so headers are written once and data is
/// streamed in the given order: memory is what `write` buffers of one tensor.
/// Within a file wider element types lie first, so that every tensor is aligned to its elements whatever the order.
class SafetensorsWriter {
 public:
  /// Error(kFailed) for a spec that cannot be stored: a name twice, a shape that is no whole number of bytes.
  SafetensorsWriter(std::string directory, std::vector<TensorSpec> specs, int64_t shard_bytes);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  /// Appends bytes to the tensor whose turn it is (specs order); may be called several times per tensor. A tensor of no
  /// elements needs no call. Error(kFailed) with path and reason when the disk does not take them.
  void write(const std::string& name, std::span<const std::byte> bytes);
  /// All tensors complete: headers, index, fsync. Error(kFailed) names a tensor that lacks bytes.
  void finish();
  /// File names (without directory) that this writer makes, in order.
  std::vector<std::string> files() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitloom
