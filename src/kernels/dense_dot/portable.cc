// For any machine: pieces of a row are widened, then multiplied in lanes that a compiler can vectorise.

#include <algorithm>

#include "kernels/dense_dot/dense_dot.h"

namespace bitloom {
namespace {

template <DType kType>
void dense_dot(const DenseDotCall& call) {
  constexpr int64_t kPiece = 64, kLanes = 8;
  for (int64_t r = call.first; r < call.last; ++r) {
    const int64_t row = call.order == nullptr ? r : call.order[r];
    for (int64_t t = 0; t < call.tokens; ++t) {
      const float* x = call.x + t * call.cols;
      float lanes[kLanes] = {};
      for (int64_t c = 0; c < call.cols; c += kPiece) {
        float weights[kPiece];
        const int64_t count = std::min(kPiece, call.cols - c);
        decode_to_f32(kType, call.w, row * call.cols + c, count, weights);
        int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes) {
          for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane] * x[c + i + lane];
        }
        for (; i < count; ++i) lanes[i % kLanes] += weights[i] * x[c + i];
      }
      call.y[t * call.y_stride + r] =
          ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
    }
  }
}

}  // namespace

void dense_dot_bf16_portable(const DenseDotCall& call) { dense_dot<DType::kBF16>(call); }
void dense_dot_f16_portable(const DenseDotCall& call) { dense_dot<DType::kF16>(call); }
void dense_dot_f32_portable(const DenseDotCall& call) { dense_dot<DType::kF32>(call); }

}  // namespace bitloom
