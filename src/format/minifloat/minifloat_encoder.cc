// Nearest even rounding to a minifloat by arithmetic on fp32 bits (papers' floating-point page, 0.2):
//   p = max(ilogb |y|, 1 - bias),  z = round(|y| 2^(M-p)) 2^(p-M),  clamp to v_max
#include <bit>
#include <cmath>

#include "base/simd/vector_clones.h"
#include "format/minifloat/minifloat.h"

namespace bitloom {
namespace {

constexpr uint32_t kSign = 0x80000000u, kExponent = 0x7F800000u;

/// |y| clamped to max (a level, so the order of clamp and rounding does not matter) and rounded to even significands:
/// adding 1.5 * 2^(23 - M) * 2^p leaves no bit below 2^(p - M).
float round_magnitude(float y, float max, float min_normal, float unit) {
  float a = std::bit_cast<float>(std::bit_cast<uint32_t>(y) & ~kSign);
  a = a < max ? a : max;
  float binade = std::bit_cast<float>(std::bit_cast<uint32_t>(a) & kExponent);
  binade = binade > min_normal ? binade : min_normal;
  const float shift = binade * unit;
  return (a + shift) - shift;
}

/// levels[i] = y[i] rounded: inputs of layers are rounded so as the model runs.
BITLOOM_VECTOR_CLONES void snap_floats(const float* y, int64_t n, float max, float min_normal, float unit,
                                       float* levels) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t sign = std::bit_cast<uint32_t>(y[i]) & kSign;
    const uint32_t z = std::bit_cast<uint32_t>(round_magnitude(y[i], max, min_normal, unit));
    levels[i] = std::bit_cast<float>(z | sign);
  }
}

class MinifloatEncoder final : public ArrayEncoder {
 public:
  explicit MinifloatEncoder(const MinifloatFormat& f)
      : max_(max_value(f)),
        min_normal_(std::ldexp(1.0f, 1 - f.bias)),
        unit_(std::ldexp(1.5f, 23 - f.mantissa)),
        shift_(23 - f.mantissa),
        offset_(static_cast<uint32_t>(127 - f.bias) << f.mantissa),
        step_(1u << f.mantissa),
        sign_shift_(31 - f.exponent - f.mantissa),
        signed_zero_(f.reserve != Reserve::kFnuz) {}

  void snap(const float* y, int64_t n, float* levels) const override {
    snap_floats(y, n, max_, min_normal_, unit_, levels);
  }

  void encode(const float* y, int64_t n, uint8_t* codes) const override {
    const float max = max_, min_normal = min_normal_, unit = unit_;
    const int shift = shift_, sign_shift = sign_shift_;
    const uint32_t offset = offset_, step = step_;
    const int32_t min_normal_bits = std::bit_cast<int32_t>(min_normal);
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t sign = std::bit_cast<uint32_t>(y[i]) & kSign;
      const float z = round_magnitude(y[i], max, min_normal, unit);
      // A subnormal plus the smallest normal number shows its mantissa where a normal number has it, in the binade
      // whose exponent field stands for 1 rather than 0. As a mask, since a branch here is mispredicted every other
      // time.
      const uint32_t subnormal = static_cast<uint32_t>((std::bit_cast<int32_t>(z) - min_normal_bits) >> 31);
      const float lift = std::bit_cast<float>(static_cast<uint32_t>(min_normal_bits) & subnormal);
      const uint32_t code = (std::bit_cast<uint32_t>(z + lift) >> shift) - offset - (step & subnormal);
      codes[i] = static_cast<uint8_t>(code | (sign >> sign_shift));
    }
    if (signed_zero_) return;
    const uint8_t negative_zero = static_cast<uint8_t>(kSign >> sign_shift_);
    for (int64_t i = 0; i < n; ++i) codes[i] = codes[i] == negative_zero ? uint8_t{0} : codes[i];
  }

 private:
  float max_, min_normal_, unit_;
  int shift_;
  uint32_t offset_, step_;
  int sign_shift_;
  bool signed_zero_;
};

}  // namespace

std::unique_ptr<const ArrayEncoder> MinifloatCodec::arithmetic(const MinifloatFormat& format) {
  return std::make_unique<MinifloatEncoder>(format);
}

}  // namespace bitloom
