#pragma once
// A matrix rounded in a frame's coordinates (format/side/frame.h): the method sees the rotated and scaled weights and
// statistics, and knows nothing of it (QuIP#, Tseng et al. 2024; papers' beyond page, 2.2).
//
//   W~ = Q_O D_O^-1 W D_I^-1 Q_I^T,   H~_I = Q_I D_I H_I D_I Q_I^T,   H~_O = Q_O D_O H_O D_O Q_O^T
//
// with H_I = E[x x^T], its tokens weighted or not, and H_O = E[g g^T] of the outputs' gradients.
//
// D_I = 1; D_O, where the frame has one, the rows' root mean squares over the matrix's, rounded to fp16; rows of zeros
// have 1. Columns that no token uses (H_jj = 0) count as zeros, as in error feedback.

#include <memory>
#include <optional>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "round/problem.h"

namespace bitloom {

/// Statistics of an input in a frame's coordinates, and what methods make of them.
struct FramedInputs {
  InputStatistics statistics;
  mutable InputCache shared;
};

class FramedProblem {
 public:
  /// `outer` is of a target with a frame, and must outlive this. Memory: W in fp32; for each input, kept in
  /// outer.shared, its second moment once more, while being made also in fp32.
  explicit FramedProblem(const RoundingProblem& outer);

  /// Of a target without the frame.
  const RoundingProblem& inner() const { return *inner_; }
  /// What the method made of inner(), with the frame around it.
  Rounded finish(Rounded rounded) const;

 private:
  void load_weights();
  const FramedInputs* framed_inputs() const;
  void move_guided();

  const RoundingProblem& outer_;
  FrameStorage frame_;
  std::vector<float> out_scales_;  // empty: none
  std::shared_ptr<DenseMatrix> weights_;
  std::optional<GuidedMoments> guided_;
  std::unique_ptr<RoundingProblem> inner_;
};

}  // namespace bitloom
