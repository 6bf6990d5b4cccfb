#pragma once
// A quantized model whose vectors can be changed (learned_weights.h): its KL divergence from another's logits, and the
// gradient of that with respect to them.
//
// Goals: every architecture, by the adjoints of forward/; the same bytes for any number of threads. Memory: one block
// in fp32, twice in the backward pass, the activations of one block and their gradients, the streams before all blocks,
// and what LearnedWeights holds.

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "forward/attention/rope.h"
#include "forward/workspace.h"
#include "tune/learned/learned_weights.h"

namespace bitloom {

/// KL(p || q) in nats of p = softmax(target) and q = softmax(logits), [vocab]; logits become its gradient with respect
/// to them, q - p, times `factor`.
double kl_of_row(std::span<const float> target, double factor, std::span<float> logits);

/// Logits [count, vocab] of rows [first, first + count) of a batch that the student is to come close to.
using TargetLogits = std::function<void(int64_t first, int64_t count, float* out)>;

class Student {
 public:
  /// As LearnedWeights, of all blocks.
  Student(const Model& model, const FinishedMatrices& finished, Learned what = Learned::kFrames);

  Student(const Model& model, const FinishedMatrices& finished, const Parametriser& parametrise);

  const Vectors& vectors() const { return weights_.vectors(); }
  std::map<std::string, double> sizes() const { return weights_.sizes(); }
  void set(Vectors values);
  void settle(Vectors& values, int64_t step, int64_t steps) const { weights_.settle(values, step, steps); }
  void set_codes(Codes codes) { weights_.set_codes(std::move(codes)); }
  std::map<std::string, int64_t> code_entries() const { return weights_.code_entries(); }
  CodeState begin_codes(ThreadPool& threads) const { return weights_.begin_codes(threads); }
  void choose_codes(const CodeOptions& options, CodeState& state, ThreadPool& threads) {
    weights_.choose_codes(options, state, threads);
  }
  /// See LearnedWeights.
  void round_inputs(const InputFormats& formats) { weights_.round_inputs(formats); }
  FinishedMatrices matrices() const { return weights_.matrices(); }
  Vectors norms() const { return weights_.norms(); }

  /// The mean KL over the rows of `batch` sequences of `length` tokens, tokens [batch, length]. `gradients` null: not
  /// wanted; else set to those of all vectors(), those of weights as LearnedWeights::sink gives them.
  double kl(std::span<const int32_t> tokens, int64_t batch, int64_t length, const TargetLogits& target,
            VectorGradients* gradients, ThreadPool& threads, const OfWeights& of_weights = {});

 private:
  double head_loss(const TargetLogits& target, std::vector<float>& stream, int64_t rows, const GradientSink& sink,
                   ThreadPool& threads) const;
  const RopeTable* rope_of(int block) const;

  LearnedWeights weights_;
  OuterWeights outer_;
  std::vector<RopeTable> ropes_;
  Workspace work_;
};

}  // namespace bitloom
