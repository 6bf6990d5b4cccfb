#pragma once
// A model whose vectors can be changed, block by block: the parametrised parts of its quantized matrices
// (parametrisation.h) and the weights of norms, by the names of vectors.h. Objectives (student.h, block_tuner.h) are
// written on top of it. With Learned::kAllAndCodes codes can be changed too, those that their storage can choose anew;
// with Learned::kAllAndWeights what grids are rounded from.
//
// Goals: every architecture; the same bytes for any number of threads. Memory: the vectors, codes of additive codebooks
// in 16 bits each, and what a caller asks for; other codes stay where the finished matrices have them.
// Non-goals: formats of attention's operands (they are multiplied as they are), the norm behind the embedding, biases.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "forward/adjoint/gradient_sink.h"
#include "forward/weights.h"
#include "model/model.h"
#include "pipeline/rounding/finished_matrix.h"
#include "recipe/recipe.h"
#include "tune/learned/code_step.h"
#include "tune/learned/parametrisation.h"
#include "tune/learned/vectors.h"

namespace bitloom {

class LearnedWeights {
 public:
  /// `model` has everything else: what was rewritten, and matrices that are not quantized. `block`: norms of that block
  /// alone are learned; else those of all, and the last.
  LearnedWeights(const Model& model, const FinishedMatrices& finished, Learned what,
                 std::optional<int> block = std::nullopt);
  /// What is learned of a matrix is `parametrise`'s to say; null: nothing.
  LearnedWeights(const Model& model, const FinishedMatrices& finished, const Parametriser& parametrise,
                 std::optional<int> block = std::nullopt);

  /// As they came; norms of which a value is not finite as fp16 stay out.
  const Vectors& vectors() const { return vectors_; }
  /// Root mean squares of what each vector multiplies by, 1 where that is 0, or what its part says: the scale of its
  /// steps.
  std::map<std::string, double> sizes() const;
  /// Values of vectors(), all of them; what is kept of them is what can be stored.
  void set(Vectors values);
  /// See Parametrisation; values of vectors(), all of them.
  void settle(Vectors& values, int64_t step, int64_t steps) const;
  /// Those that are learned, by matrix.
  const Codes& codes() const { return codes_; }
  void set_codes(Codes codes) { codes_ = std::move(codes); }
  /// Number of entries that they choose from, by matrix.
  std::map<std::string, int64_t> code_entries() const;
  /// Where learning them begins: B is W.
  CodeState begin_codes(ThreadPool& threads) const;
  /// The V step of every matrix (code_step.h); codes() are then the state's.
  void choose_codes(const CodeOptions& options, CodeState& state, ThreadPool& threads);

  /// Inputs of the blocks are read as these formats round them; else as they are, which those whose channels the model
  /// moves cannot be (Error(kRefused) of load_block).
  void round_inputs(const InputFormats& formats);

  const Graph& graph() const { return model_.graph(); }
  /// With the present norms.
  const Model& current() const { return *current_; }

  /// What gradients need beside the weights: V of each matrix that is learned, by name.
  using Unscaled = std::map<std::string, std::vector<float>>;
  /// The block's present weights, dense. `unscaled` may be null.
  BlockWeights load_block(int block, Unscaled* unscaled, ThreadPool& threads) const;
  /// Zeros for every vector.
  VectorGradients no_gradients() const;
  /// Adds the gradients of a block's vectors to `gradients`, made by no_gradients(), and gives those of matrices whose
  /// codes are learned to `of_weights`; empty: not wanted. All must outlive the sink.
  GradientSink sink(const Unscaled& unscaled, VectorGradients& gradients, const OfWeights& of_weights,
                    ThreadPool& threads) const;

  /// The finished matrices that have vectors, with their present values; records stay but for the storage, and all
  /// other parts are those of the matrices that this was made of.
  FinishedMatrices matrices() const;
  /// The present weights of norms, by tensor.
  Vectors norms() const;

 private:
  void check_moves(int block, const std::map<int, InputRounder>& of_model) const;
  struct Matrix {
    FinishedMatrix finished;
    std::unique_ptr<const Parametrisation> parts;
  };

  void add_norm(const Norm& norm);
  void add_matrix(const std::string& name, const FinishedMatrix& finished, const Parametriser& parametrise);
  Parametrisation::Values values_of(const std::string& name, const Parametrisation& parts) const;
  void add_gradients(const std::string& name, const Parametrisation& parts, const std::vector<float>& v,
                     std::span<const float> x, std::span<const float> dy, VectorGradients& gradients,
                     const OfWeights& of_weights, ThreadPool& threads) const;

  const Model model_;
  std::optional<Model> current_;
  std::map<std::string, Matrix> matrices_;  // by tensor
  Vectors vectors_, stored_;  // stored_: of parts that a storage of their own rounds (LearnedPart::to_stored)
  Codes codes_;
  std::vector<std::string> norms_;
  std::map<int, std::map<int, InputRounder>> rounders_;  // by block
};

}  // namespace bitloom
