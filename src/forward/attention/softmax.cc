#include "forward/attention/softmax.h"

#include "base/simd/simd_math.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

// Reductions run in sixteen interleaved lanes: vector code, and an order that never changes.
constexpr int64_t kLanes = 16;

BITLOOM_VECTOR_CLONES float maximum(const float* x, int64_t count) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = x[0];
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  for (; i < count; ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  float most = lanes[0];
  for (const float lane : lanes) most = lane > most ? lane : most;
  return most;
}

BITLOOM_VECTOR_CLONES void exp_minus(float shift, float* x, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = exp_fp32(x[i] - shift);
}

BITLOOM_VECTOR_CLONES float sum(const float* x, int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += x[i];
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

BITLOOM_VECTOR_CLONES void soft_cap(float cap, float* scores, int64_t count) {
  const float inverse = 1.0f / cap;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) scores[i] = cap * tanh_fp32(scores[i] * inverse);
}

float exp_shifted(float* scores, int64_t count) {
  exp_minus(maximum(scores, count), scores, count);
  return sum(scores, count);
}

float exp_shifted(float* scores, int64_t count, float beside) {
  const float most = maximum(scores, count), shift = beside > most ? beside : most;
  exp_minus(shift, scores, count);
  exp_minus(shift, &beside, 1);
  return sum(scores, count) + beside;
}

}  // namespace bitloom
