#pragma once
// The calibration sequences on their way through the model: where each of them stands, and how to bring it to the next
// linear site.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/ranks.h"
#include "base/threads.h"
#include "forward/block.h"
#include "pipeline/walk/stream/activation_store.h"

namespace bitloom {

/// Neighbouring sequences of equal length that go through a block together.
struct SequenceChunk {
  int64_t first = 0, batch = 0, length = 0;  // sequences [first, first + batch), `length` rows each
  int64_t rows() const { return batch * length; }
};

/// Neighbouring sequences of equal length joined up to kChunkRows rows; a longer sequence is a chunk by itself. The cut
/// depends on the lengths only.
std::vector<SequenceChunk> make_chunks(const std::vector<int64_t>& lengths);
inline constexpr int64_t kChunkRows = 2048;
/// Those of one rank: neighbours, cut among them by the number of chunks and of ranks only.
std::vector<SequenceChunk> chunks_of_rank(std::vector<SequenceChunk> chunks, const Ranks& ranks);

/// What a store for these chunks must hold to walk every block of the graph.
ActivationShape activation_shape(const Graph& graph, const std::vector<SequenceChunk>& chunks,
                                 ActivationPrecision precision);

/// What a model makes of its input before the first block: fills workspace.hidden [chunk.rows(), hidden]. Token ids,
/// see token_entrance.h, or whatever a graph of another kind reads.
using Entrance =
    std::function<void(const SequenceChunk& chunk, const Pass& pass, Workspace& workspace, ThreadPool& threads)>;

class CalibrationStream {
 public:
  /// Everything referred to must outlive the stream. `spill_directory` as in ActivationStore.
  CalibrationStream(const Graph& graph, const std::vector<SequenceChunk>& chunks, ActivationPrecision precision,
                    const std::string& spill_directory, ThreadPool& threads);

  int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }
  int64_t rows(int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)].rows(); }

  /// All sequences to the entrance of the first block.
  void enter(const Entrance& entrance);

  /// Brings one chunk to the sites of `input`, from the pause before it, and returns what they read [rows, in]: valid
  /// until the next call. Inputs must be reached in their order, each by all chunks; those of one step by one chunk
  /// after the other.
  std::span<const float> reach(int64_t chunk, const BlockRunner& block, int input);
  /// From the last input to the entrance of the next block.
  void finish(int64_t chunk, const BlockRunner& block);

  /// The residual stream of a chunk at a block's entrance [rows, hidden].
  void read_entrance(int64_t chunk, float* hidden) const;
  void write_entrance(int64_t chunk, const float* hidden);

  /// What all sites of the block read, one input after the other; the chunk stays at the block's entrance.
  void look_through(int64_t chunk, const BlockRunner& block,
                    const std::function<void(int, std::span<const float>)>& visit);
  /// From the entrance of the block to the entrance of the next.
  void pass_through(int64_t chunk, const BlockRunner& block);

 private:
  /// What is kept between blocks: the residual stream.
  std::vector<KeptBuffer> at_entrance() const { return {{&Workspace::hidden, graph_.hidden}}; }
  Pass pass_of(int64_t chunk) const;
  void load(int64_t chunk, const std::vector<KeptBuffer>& kept);
  void save(int64_t chunk, const std::vector<KeptBuffer>& kept);

  const Graph& graph_;
  const std::vector<SequenceChunk>& chunks_;
  ThreadPool& threads_;
  ActivationStore store_;
  Workspace workspace_;
};

}  // namespace bitloom
