#pragma once
// The error that rounding to a format is expected to make on numbers of a given distribution, as an exact sum over the
// format's levels (papers' floating-point page, 7.4; Kuzmin et al., "FP8 Quantization: The Power of the Exponent").

#include "format/expected_error/density.h"
#include "format/grid.h"

namespace bitloom {

/// With scale s = clip / largest level, R(x) = s nearest_level(x / s) - x. Ties do not matter to an integral.
struct ExpectedError {
  double clip = 0;
  double power = 0;     // E[x^2]
  double mse = 0;       // E[R^2]
  double x_error = 0;   // E[x R]; -E[R^2] at the best clip
  double sqnr() const;  // 10 log10(E[x^2] / E[R^2]), dB; infinite without error
  /// Of a product of two independent numbers of this distribution, both rounded so:
  ///   E[(xy - x'y')^2] = 2 mse power + mse^2 + 2 x_error^2 + 4 mse x_error,   relative to power^2, dB.
  double dot_sqnr() const;
};

/// `grid` has a positive level; clip > 0.
ExpectedError expected_error(const Grid& grid, const Density& density, double clip);

/// The clip value of least error, up to twice the density's limit. With many exponent bits the error repeats from
/// octave to octave but for some 1e-4 of it: the value tells little then. Of clips that are equally good, the least.
ExpectedError best_clip(const Grid& grid, const Density& density);

}  // namespace bitloom
