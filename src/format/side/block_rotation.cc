#include "format/side/block_rotation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/error.h"
#include "base/hadamard/hadamard.h"
#include "base/hadamard/walsh_hadamard.h"
#include "base/rng.h"
#include "base/simd/vector_clones.h"

namespace bitloom {

void check_whole_width(const std::string& name, int64_t n) {
  int64_t odd = std::max<int64_t>(n, 1);
  while (odd % 2 == 0) odd /= 2;
  if (odd <= BlockRotation::kMostRandomCore || hadamard_core(n)) return;
  misuse(
      "{}: a rotation of all its {} channels would take a random orthogonal matrix of {}, more than {}, as no Hadamard "
      "matrix is known; use blocks of a power of two",
      name, n, odd, BlockRotation::kMostRandomCore);
}

namespace {

BITLOOM_VECTOR_CLONES void multiply_each(const float* by, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] *= by[i];
}

}  // namespace

BlockRotation::BlockRotation(int64_t n, int64_t most, uint64_t seed, uint64_t stream) {
  if (most == kWholeWidth && n > 0) {
    check_whole_width("a frame", n);
    whole_ = std::make_shared<const KroneckerHadamard<float>>(n, seed, stream);
    block_ = n;
  }
  while (!whole_ && 2 * block_ <= most && n > 0 && n % (2 * block_) == 0) block_ *= 2;
  const auto scale = static_cast<float>(whole_ ? whole_->scale() : 1 / std::sqrt(static_cast<double>(block_)));
  Rng rng(seed, stream);
  signs_.resize(static_cast<size_t>(n));
  for (float& sign : signs_) sign = (rng.next_u32() >> 31) != 0 ? -scale : scale;
}

void BlockRotation::transform(float* x, int64_t count, int64_t width) const {
  for (int64_t i = 0; i < count; i += block_) walsh_hadamard(x + i * width, block_, width);
}

void BlockRotation::multiply(float* x, int64_t begin, int64_t end, int64_t width) const {
  if (width == 1) return multiply_each(signs_.data() + begin, end - begin, x);
  for (int64_t i = begin; i < end; ++i, x += width) {
    for (int64_t k = 0; k < width; ++k) x[k] *= signs_[static_cast<size_t>(i)];
  }
}

void BlockRotation::rotate(float* x, int64_t begin, int64_t end, int64_t width) const {
  assert(begin % block_ == 0 && end % block_ == 0);
  multiply(x, begin, end, width);
  whole_ ? whole_->apply(x, width) : transform(x, end - begin, width);
}

void BlockRotation::rotate_back(float* x, int64_t begin, int64_t end, int64_t width) const {
  assert(begin % block_ == 0 && end % block_ == 0);
  whole_ ? whole_->apply_transposed(x, width) : transform(x, end - begin, width);
  multiply(x, begin, end, width);
}

}  // namespace bitloom
