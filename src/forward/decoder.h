#pragma once
// Executes a Graph: whole sequences (evaluation, calibration) and single steps with a KV cache (generation).
// fp32 activations and accumulation; weights in any storage, decoded tile by tile by linalg/, or read in place by the
// kernels of ops/ where a pass has few rows and the storage has one.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/activations/activation_format.h"
#include "forward/pass.h"
#include "model/graph.h"
#include "model/model.h"
#include "ops/activations.h"

namespace bitloom {

/// Keys and values of the tokens seen so far, one sequence.
class KvCache {
 public:
  KvCache(const Graph& graph, int64_t capacity, KvFormat format = KvFormat::kFp32);
  int64_t size() const { return size_; }
  int64_t capacity() const { return capacity_; }
  void clear() { size_ = 0; }
  /// Forgets all but the first `size` tokens.
  void truncate(int64_t size);
  /// Room for `tokens` tokens at least; one that must grow doubles. What is there stays.
  void ensure(int64_t tokens);

 private:
  friend class Decoder;
  struct KvWidths {
    int64_t keys, values;  // bytes of a row
  };
  void reserve(int64_t capacity);
  /// Memory for the first `rows` rows; those there were stay.
  KvPage page(int64_t rows);

  int64_t capacity_, size_ = 0;
  KvFormat format_;
  std::vector<KvWidths> widths_;                       // per block
  std::vector<std::vector<std::byte>> keys_, values_;  // per block [capacity, width]
  std::vector<KvRows> rows_;                           // where they lie
};

/// Tokens that continue another branch of a pass, or what a cache holds.
struct Branch {
  std::span<const int32_t> tokens;
  int64_t parent = -1;  // an earlier branch; -1: the cache
};

/// Tokens that continue a sequence whose keys and values lie where `runs` say (KvPages::add_runs).
struct SequenceStep {
  std::span<const int32_t> tokens;
  int64_t position = 0;         // of the first of them: so many tokens came before
  std::span<const KvRun> runs;  // of positions 0 to position + tokens.size()
};

/// See forward/weights.h.
struct RoundedProducts;
struct PromptWeights;

class Decoder {
 public:
  /// Kernels run in the machine's best ISA, or in what the environment's BITLOOM_ISA names (Error(kUsage) where that is
  /// none of this machine's). `activations` is what they do to their inputs.
  Decoder(std::shared_ptr<const Model> model, ThreadPool& threads, Activations activations = Activations::kExact);
  ~Decoder();

  const Graph& graph() const;
  /// Whether some layer multiplies passes of so many rows by a kernel (ops/packed_linear.h); else all decode tiles.
  bool has_kernels_for(int64_t rows) const;

  /// How what layers read is multiplied where it is rounded.
  RoundedProducts rounded_products() const;
  PromptWeights prompt_weights() const;
  /// Rows of passes in which the most inputs are rounded: as few as decoding has, for in longer ones layers without a
  /// kernel for many tokens are exact, but many where every layer has such a kernel and some round in these alone.
  int64_t rounding_rows() const;

  /// From now on the readers of an input (its index in Block::inputs) read it rounded to the format; nullopt: as it is.
  /// Of a decoder with exact products: others know the formats of the model alone, which kernels must keep.
  void set_activation_format(int block, int input, const std::optional<ActivationFormat>& format);

  /// Final hidden states (after the last norm and project_out) of `batch` sequences of `length` tokens each, tokens
  /// [batch, length] -> hidden [batch * length, width]. The result is valid until the next call. Peak memory is one
  /// block's activations: O(batch * length * (hidden + mlp width)) fp32 plus one head's scores per thread.
  /// Error(kRefused) for a token id outside the vocabulary or a length beyond learned positions.
  std::span<const float> forward(std::span<const int32_t> tokens, int64_t batch, int64_t length);

  /// Appends `tokens` (one or many) to the cache and returns the hidden states of those tokens [tokens, width].
  std::span<const float> step(std::span<const int32_t> tokens, KvCache& cache);

  /// The same for many sequences in one pass: hidden states [tokens of all, width], sequence after sequence. What one
  /// sequence gives differs from what it gives alone by the order of fp32 sums at most: products choose their tiles by
  /// the rows of the whole pass.
  std::span<const float> steps(std::span<const SequenceStep> sequences);

  /// Hidden states [tokens of all branches, width], branch after branch, of a tree that grows out of what the cache
  /// holds (nothing, in a fresh one). One pass; the cache stays as it is. Error(kRefused) as forward().
  std::span<const float> branches(std::span<const Branch> branches, KvCache& prefix);

  /// Width of the rows that forward() and step() return.
  int64_t hidden_width() const;

  /// logits [rows, vocab] of hidden states [rows, width] (scaled and soft-capped where the model does so).
  void logits(std::span<const float> hidden, int64_t rows, float* out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitloom
