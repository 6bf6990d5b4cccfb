#pragma once
// A vector as integers under a scale for each run of columns, for kernels that decode weights of 8 bits. In an unnamed
// namespace, since each kernel compiles it with flags of its own.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace bitloom {
namespace {

/// x = scale q, q = sum over planes p of 256^(kPlanes - 1 - p) digit(p), digits in -128..127; the greatest of a run has
/// 127 in the highest digit. With kEighths besides, of every eight columns the mean q, rounded and split the same way.
/// A run with a value that is not finite gets a scale of NaN, so that its products are seen to be none.
template <int kPlanes, bool kEighths>
class RunDigits {
 public:
  static constexpr int64_t kLongest = 512;
  static constexpr int32_t kGreatest = 127 << (8 * (kPlanes - 1));

  /// Runs of at most `length` columns, a multiple of 16. Needs bytes() of scratch memory.
  RunDigits(int64_t runs, int64_t length, std::byte* scratch) : runs_(runs), length_(length), scratch_(scratch) {}
  static int64_t bytes(int64_t runs, int64_t length, int64_t tokens) { return tokens * runs * record_bytes(length); }

  /// [length]: of the columns beyond the run's zeros.
  const int8_t* digits(int64_t token, int64_t run, int plane) const {
    return reinterpret_cast<const int8_t*>(record(token, run)) + plane * length_;
  }
  /// [length / 8]
  const int8_t* eighths(int64_t token, int64_t run, int plane) const {
    return digits(token, run, kPlanes) + plane * (length_ / 8);
  }
  float scale(int64_t token, int64_t run) const { return *numbers(token, run); }
  /// Of a plane's digits.
  int32_t sum(int64_t token, int64_t run, int plane) const {
    return reinterpret_cast<const int32_t*>(numbers(token, run))[1 + plane];
  }

  /// What a plane's digits are to be multiplied with, but for the scale.
  static constexpr float weight(int plane) { return static_cast<float>(1 << (8 * (kPlanes - 1 - plane))); }

  /// Of x [count], count <= length.
  [[gnu::noinline]] void round(const float* x, int64_t count, int64_t token, int64_t run) {
    // The bits of magnitudes are in the order of the magnitudes, Inf and NaN above all others.
    int32_t most_bits = 0;
    for (int64_t i = 0; i < count; ++i) most_bits = std::max(most_bits, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
    const auto most = std::bit_cast<float>(most_bits);
    const bool finite = most_bits < 0x7f800000, small = most < 0x1p-100f;
    const float inverse = finite && !small ? static_cast<float>(kGreatest) / most : 0.0f;
    int32_t q[kLongest];
    if (inverse == 0) {
      std::fill(q, q + length_, 0);
    } else {
      for (int64_t i = 0; i < count; ++i) {
        const float value = x[i] * inverse;
        q[i] = static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f));
      }
      std::fill(q + count, q + length_, 0);
    }
    auto* out = const_cast<int8_t*>(digits(token, run, 0));
    auto* to = const_cast<float*>(numbers(token, run));
    auto* sums = reinterpret_cast<int32_t*>(to + 1);
    *to = !finite ? std::numeric_limits<float>::quiet_NaN() : small ? 0.0f : most / static_cast<float>(kGreatest);
    if constexpr (kEighths) {
      int32_t means[kLongest / 8], unused[kPlanes];
      for (int64_t i = 0; i < length_ / 8; ++i) {
        int32_t total = 4;
        for (int64_t c = 0; c < 8; ++c) total += q[8 * i + c];
        means[i] = total >> 3;
      }
      split(means, length_ / 8, out + kPlanes * length_, unused);
    }
    split(q, length_, out, sums);
  }

 private:
  static constexpr int64_t numbers_at(int64_t length) { return kPlanes * (kEighths ? length + length / 8 : length); }
  static constexpr int64_t record_bytes(int64_t length) {
    return (numbers_at(length) + 4 * (1 + kPlanes) + 63) / 64 * 64;
  }
  std::byte* record(int64_t token, int64_t run) const {
    return scratch_ + (token * runs_ + run) * record_bytes(length_);
  }
  const float* numbers(int64_t token, int64_t run) const {
    return reinterpret_cast<const float*>(record(token, run) + numbers_at(length_));
  }

  /// The digits of q [count], by planes, and their sums.
  static void split(int32_t* q, int64_t count, int8_t* digits, int32_t* sums) {
    for (int plane = kPlanes - 1; plane >= 0; --plane) {
      int32_t sum = 0;
      int8_t* out = digits + plane * count;
      for (int64_t i = 0; i < count; ++i) {
        const auto digit = static_cast<int8_t>(q[i]);
        out[i] = digit, sum += digit, q[i] = (q[i] - digit) >> 8;
      }
      sums[plane] = sum;
    }
  }

  int64_t runs_, length_;
  std::byte* scratch_;
};

}  // namespace
}  // namespace bitloom
