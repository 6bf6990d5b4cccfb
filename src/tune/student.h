#pragma once
// A quantized model whose vectors can be changed: its KL divergence from another's logits, and the gradient of that
// with respect to them.
//
// The vectors are the scales D_O and D_I of matrices with a frame that has them (format/side/frame.h), and the weights
// of norms; values are fp16 numbers, as they are stored. With V = Q_O^T W~ Q_I, W = D_O V D_I and G = dL/dW = dy^T x:
//
//   dL/dD_O[o] = sum_i G[o,i] V[o,i] D_I[i],   dL/dD_I[i] = sum_o D_O[o] G[o,i] V[o,i]
//
// Goals: every architecture, by the adjoints of forward/; the same bytes for any number of threads. Memory: one block
// in fp32, twice in the backward pass, the activations of one block and their gradients, the streams before all blocks,
// and the vectors; codes stay where the finished matrices have them.
// Non-goals: formats of activations (inputs are read as they are), the norm behind the embedding, biases.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "forward/adjoint/gradient_sink.h"
#include "forward/attention/rope.h"
#include "forward/weights.h"
#include "forward/workspace.h"
#include "model/model.h"
#include "pipeline/rounding/finished_matrix.h"
#include "tune/vectors.h"

namespace bitloom {

/// KL(p || q) in nats of p = softmax(target) and q = softmax(logits), [vocab]; logits become its gradient with respect
/// to them, q - p, times `factor`.
double kl_of_row(std::span<const float> target, double factor, std::span<float> logits);

/// Logits [count, vocab] of rows [first, first + count) of a batch that the student is to come close to.
using TargetLogits = std::function<void(int64_t first, int64_t count, float* out)>;

class Student {
 public:
  /// `model` has everything else: what was rewritten, and matrices that are not quantized.
  Student(const Model& model, const FinishedMatrices& finished);

  /// As they came; vectors of which a value is not finite as fp16 stay out.
  const Vectors& vectors() const { return vectors_; }
  /// Root mean squares of what each vector multiplies by, 1 where that is 0: the scale of its steps.
  std::map<std::string, double> sizes() const;
  /// Values of vectors(), all of them.
  void set(Vectors values);

  /// The mean KL over the rows of `batch` sequences of `length` tokens, tokens [batch, length]. `gradients` null: not
  /// wanted; else set to those of all vectors().
  double kl(std::span<const int32_t> tokens, int64_t batch, int64_t length, const TargetLogits& target,
            VectorGradients* gradients, ThreadPool& threads);

  /// The finished matrices that have vectors, with their present values; records stay, and all parts but
  /// scales are those of the matrices that the student was made of.
  FinishedMatrices matrices() const;
  /// The present weights of norms, by tensor.
  Vectors norms() const;

 private:
  /// A matrix with scales of its own.
  struct Framed {
    FinishedMatrix finished;
    std::shared_ptr<const StoredMatrix> unscaled;  // V
  };
  using Dense = std::vector<float>;

  void add_norm(const Norm& norm);
  void add_scales(const std::string& name, const FinishedMatrix& finished);
  const std::vector<float>* scales(const std::string& matrix, const char* part) const;
  BlockWeights load_block(int block, std::map<std::string, Dense>* unscaled, ThreadPool& threads) const;
  double head_loss(const TargetLogits& target, std::vector<float>& stream, int64_t rows, const GradientSink& sink,
                   ThreadPool& threads) const;
  void add_gradients(const Framed& framed, const Linear& linear, const Dense& v, std::span<const float> x,
                     std::span<const float> dy, VectorGradients& gradients, ThreadPool& threads) const;
  const RopeTable* rope_of(int block) const;

  const Model model_;
  std::optional<Model> current_;  // with the present norms
  OuterWeights outer_;
  std::map<std::string, Framed> framed_;  // by tensor
  Vectors vectors_;
  std::vector<std::string> norms_;
  std::vector<RopeTable> ropes_;
  Workspace work_;
};

}  // namespace bitloom
