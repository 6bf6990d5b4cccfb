#pragma once
// Weights of a grid that are learned through rounding: quantization-aware training. Behind every code of W [rows, cols]
// lies a latent weight w in fp32, of which the forward pass sees the nearest level Q at its group's scale s, and which
// gradients reach straight through (Bengio et al. 2013, 1308.3432). With u = w / s and G = dL/dW
//
//   W = s Q(u)       dL/dw = G                       low <= u <= high
//                          = 0                       beyond
//                    dL/ds = sum over the group of
//                            G (Q(u) - u)            low <= u <= high
//                            G Q(u)                  beyond
//
// LSQ's gradient of a step size (Esser et al. 2020, 1902.08153, equation 3), and, as the greatest number c that a
// minifloat's group holds is s times the greatest level, that of a learned clip or exponent bias (Kuzmin et al. 2022,
// 2208.09225; papers' floating-point page, 7.2), dW/dc = (W - w) / c or sign(w). Both papers let the range end at the
// outermost levels; here low and high lie half a step beyond them, where a code more would begin: of two bits two codes
// in four are outermost ones, and their weights would stay where they are. LSQ's factor on dL/ds, 1 / sqrt(N Q_max) for
// N weights, scales a whole vector's gradient; steps of Adam, relative to each vector's size, do not depend on it and
// are what it is for.
//
// Latent weights begin at W. What is stored are codes and scales, in the same storage: bits stay. Scales are learned
// where they are fp16 numbers; all others stay (powers of two, two-level ones, bf16, fp32), and so do zero points.

#include <cstdint>
#include <functional>
#include <memory>

#include "tune/learned/parametrisation.h"

namespace bitloom {

// A product in their place: w = W + A B, W fixed and A [rows, rank], B [rank, cols] learned (QLLM, Liu et al.,
// 2310.08041, section 3.3, learns the product beside rounded weights, and rounds the sum when it is done; here it is
// rounded in every step, so what is learned is what is stored):
//
//   dL/dA[r,k] = sum over c of dL/dw[r,c] B[k,c]      dL/dB[k,c] = sum over r of A[r,k] dL/dw[r,c]
//
// W is what the codes were made of, brought into the range that its code stands for, so that A = 0, with which it
// begins, is the matrix as it came, also where codes make up for others' errors. B begins with random numbers of mean
// square 1, and steps of A are relative to the weights.

/// Ends the names of latent weights: "model.layers.0.mlp.up_proj.weight.latent".
inline constexpr const char* kLatentSuffix = ".latent";

/// Whether a matrix of it has latent weights: a grid without side terms.
bool has_latent_weights(const Storage& storage);
/// The matrix must have.
std::unique_ptr<const Parametrisation> latent_grid(const StoredMatrix& matrix);

/// Ends the names of A and B.
inline constexpr const char* kCorrectionSuffixes[] = {".correction_a", ".correction_b"};

/// How a product is learned for a matrix that has latent weights.
struct Correction {
  int64_t rank = 1;
  uint64_t seed = 0, stream = 0;  // of B's first numbers
};
/// `before` [rows, cols]: what the matrix was rounded from.
std::unique_ptr<const Parametrisation> corrected_grid(const StoredMatrix& matrix, const RowSource& before,
                                                      const Correction& correction);
/// The published way: W = Q + A B with codes that stay; what is stored is what `round` makes of before + A B.
using RoundAnew = std::function<std::shared_ptr<const StoredMatrix>(const RowSource& weights)>;
std::unique_ptr<const Parametrisation> corrected_beside(const StoredMatrix& matrix, RowSourcePtr before,
                                                        const Correction& correction, RoundAnew round);

LearnedSize correction_size(const Storage& storage, int64_t rows, int64_t cols, int64_t rank);
LearnedSize latent_size(const Storage& storage, int64_t rows, int64_t cols);

}  // namespace bitloom
