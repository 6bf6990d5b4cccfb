#pragma once
// Integers of a learned clip (LWC; OmniQuant, Shao et al. 2023, 2308.13137, section 3.2; papers' learned page, 0.2).
// Of each group of columns of a row, with L = 2^b - 1,
//
//   high = sigmoid(gamma) max(w, 0),  low = sigmoid(beta) min(w, 0),  s = (high - low) / L as fp16,  z = round(-low /
//   s) q = s (clamp(round(w / s) + z, 0, L) - z)
//
// Gradients go straight through round(w / s), and not through z, as in the published code:
//
//   dq/ds = round(w / s) - w / s inside,  -z where the code is clamped to 0,  L - z where to L
//   ds/dgamma = sigmoid'(gamma) max(w, 0) / L,   ds/dbeta = -sigmoid'(beta) min(w, 0) / L
//
// Zero points are codes, so a range holds 0, where the published code lets one that does not do without.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/stored_matrix.h"

namespace bitloom {

/// Where sigmoid is 0.982.
inline constexpr float kFirstClip = 4;

class LearnedClip {
 public:
  /// Integers with zero points, fp16 scales, shared by columns of one row. w [rows, cols] must outlive it.
  static bool serves(const GridStorage& storage);
  LearnedClip(const GridStorage& storage, const std::vector<float>& w, int64_t rows, int64_t cols);

  /// gamma, then beta of all groups, [2, rows, groups].
  std::vector<float> logits;

  /// out [rows, cols]: q.
  void quantize(float* out, ThreadPool& threads) const;
  /// g [rows, cols]: gradient of a loss with respect to q; that with respect to logits.
  std::vector<float> gradient(const float* g, ThreadPool& threads) const;
  /// What decodes to q.
  std::shared_ptr<const StoredMatrix> store(const std::string& name, ThreadPool& threads) const;

 private:
  struct Group {
    float scale = 0, zero = 0;
    float high = 0, low = 0;  // of the weights and 0
  };
  Group group_of(int64_t row, int64_t g) const;
  int64_t first_of(int64_t g) const { return g * width_; }
  int64_t end_of(int64_t g) const { return std::min(cols_, (g + 1) * width_); }

  GridStorage storage_;
  const std::vector<float>& w_;
  int64_t rows_, cols_, width_, groups_;
  float most_;  // L
};

}  // namespace bitloom
