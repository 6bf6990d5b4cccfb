#pragma once
// Q [n, n] = (I x H_b / sqrt(b)) diag(sigma): random signs, then a Hadamard matrix for each run of b channels (QuIP#,
// Tseng et al. 2024; QTIP, 2024). Orthogonal. H_b is Sylvester's, so b is a power of two that divides n; or, of all
// channels together, Q = T diag(sigma) (QuaRot, Ashkboos et al. 2024), T as in base/hadamard/kronecker_hadamard.h.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/hadamard/kronecker_hadamard.h"

namespace bitloom {

class BlockRotation {
 public:
  /// Blocks of the largest power of two that divides n and is no larger than `most`; kWholeWidth: one of n channels.
  /// The same n, most, seed and stream give the same matrix; `stream` separates uses of one seed. A whole width passes
  /// check_whole_width().
  BlockRotation(int64_t n, int64_t most, uint64_t seed, uint64_t stream);
  static constexpr int64_t kMostRandomCore = 1024;

  int64_t size() const { return static_cast<int64_t>(signs_.size()); }
  int64_t block() const { return block_; }

  /// x [end - begin, width] fp32 row-major, channels [begin, end), which are whole blocks: x <- Q x, in place. log2(b)
  /// + 1 roundings; of a whole width log2(2^k) + m + 1.
  void rotate(float* x, int64_t begin, int64_t end, int64_t width) const;
  /// The same for x <- Q^T x. With width 1, x is the row vector x Q.
  void rotate_back(float* x, int64_t begin, int64_t end, int64_t width) const;

 private:
  void transform(float* x, int64_t count, int64_t width) const;
  void multiply(float* x, int64_t begin, int64_t end, int64_t width) const;

  int64_t block_ = 1;
  std::shared_ptr<const KroneckerHadamard<float>> whole_;  // null: Sylvester's of each block
  std::vector<float> signs_;                               // sigma / sqrt(b), or sigma times the scale of T
};

/// Error(kUsage), naming `name`, when a rotation of all n channels at once would take a random matrix of more than
/// BlockRotation::kMostRandomCore.
void check_whole_width(const std::string& name, int64_t n);

}  // namespace bitloom
