#include "transform/rotation/random_rotation.h"

#include <cstddef>

#include "base/rng.h"

namespace bitloom {

RandomRotation::RandomRotation(int64_t n, uint64_t seed, uint64_t stream) : matrix_(n, seed, stream) {
  const double scale = matrix_.scale();
  Rng rng(seed, stream);
  signs_.resize(static_cast<size_t>(n));
  for (double& sign : signs_) sign = (rng.next_u32() >> 31) != 0 ? -scale : scale;
}

void RandomRotation::apply(double* x, int64_t width) const {
  for (int64_t r = 0; r < size(); ++r) {
    for (int64_t i = 0; i < width; ++i) x[r * width + i] *= signs_[static_cast<size_t>(r)];
  }
  matrix_.apply_transposed(x, width);
}

}  // namespace bitloom
