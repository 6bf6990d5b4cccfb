#pragma once
// Scale and zero point of a group of weights that become affine codes (format/families/affine): by the range, or for
// the least squared error.
//
//   E(s, z) = sum h (w - s (q - z))^2,   q = clamp(round(w / s + z), 0, 2^b - 1)
//
// The search tries ranges shrunk towards the mean, and refits the best by alternating least squares: with codes given,
// s and -s z are the line through the points (q, w). Never worse than the range, up to the rounding of fp32 sums. All
// candidates are judged at the fp16 values that are stored. Over groups the error is within 6 % of the least over a
// dense set of scales and zero points (affine_fit_test.cc).

#include <cstdint>
#include <vector>

#include "format/families/affine/affine_matrix.h"

namespace bitloom {

/// Weights w [n] of a row that share a scale; h [n] >= 0 weighs their errors, empty or all 0: all alike.
struct AffineGroup {
  std::vector<float> w, h;
};

/// Both rounded to fp16, in which they are stored.
AffineScale stored_affine(double scale, double zero);
/// Whether the weights are so far from 0 beside their range that fp16 has no zero point for it, or all alike.
bool is_flat(const std::vector<float>& w, int bits);
/// The levels from the least weight to the greatest; of a flat group one level is its greatest magnitude. No weights,
/// or zeros alone: 0.
AffineScale range_affine(const AffineGroup& group, int bits);
/// The least squared error, see above.
AffineScale fit_affine(const AffineGroup& group, int bits);
/// mu +- alpha of one bit, alpha the mean |w - mu| (binary weights as PB-LLM's and SliM-LLM's).
AffineScale binary_affine(const AffineGroup& group);
/// The range times one of 101 factors from 0.9 to 1.1, of which E decides (SliM-LLM's calibration, 2405.14917, 3.3); of
/// one bit binary_affine.
AffineScale calibrate_affine(const AffineGroup& group, int bits);

enum class AffineSearch {
  kRange,         // range_affine
  kCalibrated,    // calibrate_affine
  kLeastSquares,  // fit_affine
};
AffineScale choose_affine(const AffineGroup& group, int bits, AffineSearch search);

/// E at the scale's values.
double affine_error(const AffineGroup& group, const AffineScale& scale, int bits);
/// The nearest code.
int affine_code(float w, const AffineScale& scale, int bits);

/// Gives the scales of a block, one of each group of weights, codes of `second_bits` bits; low and step come from their
/// least and greatest. With `refit` zero points are fitted anew to the scales as rounded before they are rounded too.
AffineSecond round_second(int second_bits, const std::vector<AffineGroup>& groups, int bits, bool refit,
                          std::vector<AffineScale>& scales);

}  // namespace bitloom
