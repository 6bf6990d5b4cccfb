#include <cstring>
#include <utility>

#include "base/hadamard/walsh_hadamard.h"
#include "base/hadamard/walsh_hadamard_loops.h"
#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

/// Steps of transform() of single values, kLanes in a vector: the same sums, so the same bits.
template <int kLanes>
struct VectorSteps {
  typedef float Lanes __attribute__((vector_size(4 * kLanes)));
  typedef int32_t Places __attribute__((vector_size(4 * kLanes)));

  [[gnu::always_inline]] static void load(const float* x, Lanes& v) { std::memcpy(&v, x, sizeof v); }
  [[gnu::always_inline]] static void store(const Lanes& v, float* x) { std::memcpy(x, &v, sizeof v); }

  /// Between values kHalf apart: lane l <- l & kHalf ? v[l - kHalf] - v[l] : v[l] + v[l + kHalf].
  template <int kHalf, int... kLane>
  [[gnu::always_inline]] static void step_in(Lanes& v, std::integer_sequence<int, kLane...>) {
    const Lanes other = __builtin_shufflevector(v, v, (kLane ^ kHalf)...);
    v = Places{((kLane & kHalf) == 0 ? -1 : 0)...} != 0 ? v + other : other - v;
  }
  /// Those of kHalf and more that meet within a vector.
  template <int kHalf>
  [[gnu::always_inline]] static void steps_in(Lanes& v) {
    step_in<kHalf>(v, std::make_integer_sequence<int, kLanes>());
    if constexpr (2 * kHalf < kLanes) steps_in<2 * kHalf>(v);
  }

  [[gnu::always_inline]] static void step(Lanes& low, Lanes& high) {
    const Lanes a = low, b = high;
    low = a + b, high = a - b;
  }
  /// Those of `half` and 2 half of the vectors at x and half, 2 half and 3 half behind it.
  [[gnu::always_inline]] static void two_steps(float* x, int64_t half) {
    Lanes v[4];
    for (int i = 0; i < 4; ++i) load(x + i * half, v[i]);
    step(v[0], v[1]), step(v[2], v[3]), step(v[0], v[2]), step(v[1], v[3]);
    for (int i = 0; i < 4; ++i) store(v[i], x + i * half);
  }

  /// All of an order of at least 4 kLanes.
  [[gnu::always_inline]] static void all(float* x, int64_t order) {
    for (float* block = x; block < x + order; block += 4 * kLanes) {
      for (int i = 0; i < 4; ++i) {
        Lanes v;
        load(block + i * kLanes, v), steps_in<1>(v), store(v, block + i * kLanes);
      }
      two_steps(block, kLanes);
    }
    int64_t half = 4 * kLanes;
    for (; 4 * half <= order; half *= 4) {
      for (float* block = x; block < x + order; block += 4 * half) {
        for (int64_t i = 0; i < half; i += kLanes) two_steps(block + i, half);
      }
    }
    for (int64_t i = 0; half < order && i < half; i += kLanes) {
      Lanes low, high;
      load(x + i, low), load(x + half + i, high);
      step(low, high);
      store(low, x + i), store(high, x + half + i);
    }
  }
};

constexpr int64_t kLeastOrder = 64;  // 4 lanes of the widest

void with_4_lanes(float* x, int64_t order) { VectorSteps<4>::all(x, order); }
#if defined(__x86_64__)
[[gnu::target("avx2")]] void with_8_lanes(float* x, int64_t order) { VectorSteps<8>::all(x, order); }
[[gnu::target("avx512f")]] void with_16_lanes(float* x, int64_t order) { VectorSteps<16>::all(x, order); }
#endif

constexpr VectorHadamard kForms[] = {{4, with_4_lanes},
#if defined(__x86_64__)
                                     {8, with_8_lanes},
                                     {16, with_16_lanes}
#endif
};

BITLOOM_VECTOR_CLONES void of_rows(float* x, int64_t order, int64_t width) { transform(x, order, width); }

}  // namespace

std::span<const VectorHadamard> vector_hadamards() {
  const std::span<const VectorHadamard> forms = kForms;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) return forms.first(1);
  if (!__builtin_cpu_supports("avx512f")) return forms.first(2);
#endif
  return forms;
}

void walsh_hadamard(float* x, int64_t order, int64_t width) {
  static const VectorHadamard widest = vector_hadamards().back();
  width == 1 && order >= kLeastOrder ? widest.apply(x, order) : of_rows(x, order, width);
}

}  // namespace bitloom
