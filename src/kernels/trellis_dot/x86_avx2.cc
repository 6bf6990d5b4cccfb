// One row of every group at a time, its sums in registers. Values and digits in 16 bits, in pairs of columns that lie
// 16 apart, as decoding gives them; all digits of x are multiplied with a value that is decoded once.

#include "kernels/trellis_dot/x86_avx2.h"
#include "kernels/trellis_dot/super_tile.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// Digits of columns c and 16 + c, by plane.
template <int kPlanes>
struct DigitPairs {
  int32_t of[kPlanes][16];

  explicit DigitPairs(const TrellisInput& x) {
    for (int p = 0; p < kPlanes; ++p) {
      for (int c = 0; c < 16; ++c) {
        of[p][c] = static_cast<int32_t>(static_cast<uint32_t>(x.digits[p][c]) & 0xffff) | x.digits[p][16 + c] * 65536;
      }
    }
  }
};

template <int kPlanes>
struct Sums {
  __m256i of[kPlanes] = {};
  void add(__m256i values, const DigitPairs<kPlanes>& digits, int c) {
    for (int p = 0; p < kPlanes; ++p) {
      of[p] = _mm256_add_epi32(of[p], _mm256_madd_epi16(values, _mm256_set1_epi32(digits.of[p][c])));
    }
  }
};

template <int kValues, int kPlanes>
class Loop {
 public:
  explicit Loop(const TrellisDotCall& call) : call_(call), windows_(call.w), values_(call.w) {}

  void run() const {
    const int64_t super_cols = (call_.w.cols + kTrellisCols - 1) / kTrellisCols;
    for (int64_t s = call_.first; s < call_.last; ++s) {
      const SuperRow row = super_row(call_.w, s);
      for (int64_t t = 0; t < call_.tokens; ++t) {
        alignas(32) float y[16][16] = {};  // [row in group][group]
        for (int64_t c = 0; c < super_cols; ++c) {
          SuperTileRoom room;
          add(whole_super_tile(row, row.tile(c), room), trellis_input(call_, t, c), y);
        }
        const int64_t rows = std::min(kTrellisRows, call_.w.rows - row.first_row);
        float* y_row = call_.y + t * call_.y_stride + row.first_row;
        for (int64_t r = 0; r < rows; ++r) y_row[r] = call_.w.scale * y[r % 16][r / 16];
      }
    }
  }

 private:
  void add(const std::byte* tile, const TrellisInput& x, float (&y)[16][16]) const {
    const DigitPairs<kPlanes> digits(x);
    for (int r = 0; r < 16; ++r) {
      for (int half = 0; half < 2; ++half) {
        Sums<kPlanes> sums;
        for (int q = 0; q < 16 / kValues; ++q) {
          const TrellisPair pair = values_.at(tile, windows_.of[16 * q + r], half);
          if constexpr (kValues == 2) {
            sums.add(pair.first, digits, 2 * q), sums.add(pair.second, digits, 2 * q + 1);
          } else {
            sums.add(_mm256_add_epi16(pair.first, pair.second), digits, q);
          }
        }
        __m256 total = _mm256_load_ps(y[r] + 8 * half);
        for (int p = 0; p < kPlanes; ++p) {
          const __m256 weight = _mm256_set1_ps(plane_weight(kPlanes, p) * x.scale);
          total = _mm256_fmadd_ps(weight, _mm256_cvtepi32_ps(sums.of[p]), total);
        }
        _mm256_store_ps(y[r] + 8 * half, total);
      }
    }
  }

  const TrellisDotCall& call_;
  TrellisWindows windows_;
  TrellisValues values_;
};

}  // namespace

void trellis_dot_v256(const TrellisDotCall& call) {
  if (call.planes == 1) {
    call.w.values == 2 ? Loop<2, 1>(call).run() : Loop<1, 1>(call).run();
  } else {
    call.w.values == 2 ? Loop<2, 3>(call).run() : Loop<1, 3>(call).run();
  }
}

}  // namespace bitloom
