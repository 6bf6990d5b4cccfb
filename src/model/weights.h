#pragma once
// A model's tensors by name, whatever files hold them.
//
// Goals: one look-up for every kind of checkpoint; replacing some tensors costs those tensors alone.
// Non-goals: what tensors mean (model/graph.h), what else a checkpoint brings (model/checkpoint/companions.h).

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "io/mapped_file.h"
#include "model/graph.h"

namespace bitloom {

struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;  // as a Hugging Face checkpoint would store it; a quantized matrix is always [out, in]
  RowSourcePtr rows;           // see dense_rows() for how dimensions fold
};

/// A tensor's bytes, or some of them, in a mapped file.
struct MappedPiece {
  std::shared_ptr<const MappedFile> file;
  std::span<const std::byte> bytes;
};

/// A tensor of the graph, found and checked.
struct StoredTensor {
  std::vector<int64_t> shape;
  RowSourcePtr rows;
  RowSourcePtr out_in;                   // W [out, in] where `rows` is [in, out]; else null
  std::vector<MappedPiece> pieces = {};  // its bytes in the files, for release()
};

/// A value that is cheap to copy. What replaces tensors lies in a layer over those there were: a look-up falls through
/// the layers, so that they share all they have in common.
class Weights {
 public:
  /// `order` names each of `tensors` once. `origin`: the file or directory they are of, for messages.
  Weights(std::string origin, std::vector<std::string> order, std::map<std::string, StoredTensor> tensors);

  const std::string& origin() const { return top_->origin; }
  bool has(const std::string& name) const { return find(name) != nullptr; }
  /// Valid as long as these weights, or others made of them. Error(kRefused) for a name there is not.
  const CheckpointTensor& tensor(const std::string& name) const;
  /// All of them, in the order given at first; those of with_twin() follow.
  std::vector<CheckpointTensor> tensors() const;
  /// W [out, in] of a linear layer, transposed here when the file holds [in, out].
  RowSourcePtr matrix(const Linear& linear) const;
  /// Every value of a small tensor (norms, biases).
  std::vector<float> vector(const std::string& name) const { return tensor(name).rows->decode_all(); }
  /// The tensor's pages leave resident memory until it is decoded again: for walks over models larger than memory. An
  /// edited tensor also lets go of the copies it made (RowSource::release), and of the pages it was made from.
  void release(const std::string& name) const;

  /// These with some tensors replaced: matrices of linear layers as W [out, in], vectors as [1, n]. Error(kFailed) for
  /// a name there is not or a wrong shape. Replaced tensors may wrap the rows there were, so edits can be stacked. A
  /// matrix that the file holds as [in, out] is shown so by tensor(), through a transposing view.
  Weights edited(const std::map<std::string, RowSourcePtr>& tensors) const;
  /// Whether edited() replaced this tensor, here or in what these are made of.
  bool is_edited(const std::string& name) const;
  /// These and one more tensor, the twin of another.
  Weights with_twin(const std::string& name, const std::string& of) const;

 private:
  struct Entry {
    CheckpointTensor tensor;
    RowSourcePtr out_in;
    std::vector<MappedPiece> pieces;
    bool edited = false;
  };
  struct Layer {
    std::string origin;
    std::shared_ptr<const Layer> below;  // null: the files themselves
    std::vector<std::string> added;      // names that the layers below lack, in their order
    std::map<std::string, Entry> entries;
  };
  explicit Weights(std::shared_ptr<const Layer> top) : top_(std::move(top)) {}
  const Entry* find(const std::string& name) const;
  Layer above() const { return {origin(), top_, {}, {}}; }
  Entry replaced(const std::string& name, RowSourcePtr rows) const;

  std::shared_ptr<const Layer> top_;
};

}  // namespace bitloom
