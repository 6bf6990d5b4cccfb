#pragma once
// The elementwise half of learned rounding (AdaRound; Nagel et al., 2020): weights that lie softly between the two
// levels which enclose them, and the optimizer's step on them. Plain loops over one row of n weights.
//
//   h(alpha) = clip(sigmoid(alpha) (zeta - gamma) + gamma, 0, 1),  zeta = 1.1, gamma = -0.1            (eq. 23)
//   w~ - w   = base + h step,   base = lower level - w, step = upper level - lower level, both times the scale
//   f(h)     = 1 - |2h - 1|^beta                                                                       (eq. 24)

#include <cstdint>

namespace bitloom {

inline constexpr float kStretchHigh = 1.1f, kStretchLow = -0.1f;

/// alpha with h(alpha) = h, h in [0, 1].
float soft_alpha(float h);

/// deviation[i] = base[i] + h(alpha[i]) step[i].
void soft_deviation(const float* base, const float* step, const float* alpha, int64_t n, float* deviation);

/// One row's weights: what the optimizer keeps of each.
struct SoftRow {
  const float* base = nullptr;
  const float* step = nullptr;
  float* alpha = nullptr;
  float* first = nullptr;  // Adam's moments
  float* second = nullptr;
};

/// Adam (Kingma and Ba, 2015) with its bias corrections folded in:
///   g = (gain dq + regularizer f'(h)) h'(alpha);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///   alpha -= rate m / (sqrt(v) + epsilon),   rate = lr sqrt(1 - b2^t) / (1 - b1^t)
struct SoftStep {
  float regularizer = 0, beta = 2, rate = 0;
};
/// Without a cross moment the soft start has the gradient 0 up to rounding errors, some 1e-6 in these units. Epsilon
/// lies well above, so that Adam does not blow them up to full steps, and well below the regularizer's gradients.
inline constexpr float kAdamFirst = 0.9f, kAdamSecond = 0.999f, kAdamEpsilon = 1e-3f;

/// gradient[i] = (gain[i] dq[i] + regularizer f'(h)) h'(alpha). gain dq is the gradient of the quadratic loss by h, in
/// units of the weight's own rounding error; half_gradient() and gains() of round/adaround/soft_tile.h make the two.
void soft_gradient(const SoftStep& options, const float* alpha, const float* dq, const float* gain, int64_t n,
                   float* gradient);

/// The step itself, in place; deviation [n] is that of the new alpha.
void soft_step(const SoftStep& options, const SoftRow& row, const float* dq, const float* gain, int64_t n,
               float* deviation);

}  // namespace bitloom
