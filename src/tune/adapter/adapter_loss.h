#pragma once
// The next-token loss of a model with an adapter on it (export/peft/adapter.h), and its gradient with respect to the
// adapter. The model stays as it is. With W' = W + s B A of a linear layer y = W' x, rows x [rows, in] and the gradient
// dy [rows, out] of what it gives (papers' learned page, 0.2):
//
//   dL/dB = s dy^T (x A^T)      [out, r]
//   dL/dA = s (dy B)^T x        [r, in]
//
// so that no gradient of W' is made. With DoRA (2402.09353, eq. 5) W' = m V / |V| row by row, V = W + s B A, and with
// G = dL/dW' = dy^T x, panel by panel, and q = <G_r, V_r>
//
//   dL/dm_r = q / |V_r|,   dL/dV_r = m_r / |V_r| (G_r - q / |V_r|^2 V_r),   dL/dB = s dL/dV A^T,  dL/dA = s B^T dL/dV
//
// (peft holds |V| fast where it differentiates, the paper's 4.3; here nothing is.)
//
// Goals: every architecture, by the adjoints of forward/; any storage of W; the same bytes for any number of threads.
// Memory: a batch goes through the model some sequences at a time (kPieceRows): the streams before all blocks, the
// activations of one block, a tile of W; with DoRA a wave of rows of V, of which blocks of a rotation are decoded once,
// and of dL/dV.
// Non-goals: formats of activations (inputs are read as they are).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "export/peft/adapter.h"
#include "forward/adjoint/gradient_sink.h"
#include "model/model.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "tune/learner.h"

namespace bitloom {

/// Rows that go through the model together, or one sequence where that is longer.
inline constexpr int64_t kPieceRows = 2048;

/// Vectors: MODULE.lora_A [r, in] and MODULE.lora_B [out, r], row-major, with DoRA MODULE.lora_magnitude_vector [out].
/// Steps of Adam are not relative to them.
class AdapterLoss final : public Objective {
 public:
  /// `sequences` of at least two tokens, and `batches` of them, outlive it. Errors as modules_by_tensor().
  AdapterLoss(std::shared_ptr<const Model> model, PeftAdapter adapter, const TokenSequences& sequences,
              const std::vector<SequenceChunk>& batches, ThreadPool& threads);

  const Vectors& vectors() const override { return vectors_; }
  std::map<std::string, double> sizes() const override;
  void set(Vectors values) override;
  /// The mean of -log p(next token) in nats over all but the first token of each sequence.
  double loss(size_t batch, VectorGradients* gradients, const OfWeights& of_weights = {}) override;

  /// With the present vectors.
  const PeftAdapter& adapter() const { return adapter_; }

 private:
  void add_gradients(const std::string& module, std::span<const float> x, std::span<const float> dy,
                     VectorGradients& gradients) const;
  void add_dora_gradients(const std::string& module, std::span<const float> x, std::span<const float> dy,
                          VectorGradients& gradients) const;

  const std::shared_ptr<const Model> model_;
  PeftAdapter adapter_;
  const std::map<std::string, std::string> modules_;  // by tensor
  const TokenSequences& sequences_;
  const std::vector<SequenceChunk>& batches_;
  ThreadPool& threads_;
  Vectors vectors_;
  std::optional<Model> current_;
  struct Direction {
    RowSourcePtr rows;  // V
    int64_t piece = 0;  // rows of it that are decoded together
  };
  std::map<std::string, Direction> directions_;  // of the modules with DoRA
};

}  // namespace bitloom
