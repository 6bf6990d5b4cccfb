#include "hardware/dot_peak.h"

#include "base/simd/cpu_features.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace bitloom {
namespace {

/// What a step of it makes; no body where the machine has no such vectors.
struct Loop {
  void (*body)() = nullptr;
  double operations = 0;
};

constexpr int64_t kRounds = 1 << 20, kSums = 12;  // a multiply-add takes four or five cycles, two may run at once

/// Twelve independent sums, each an operand of STEP(its number) beside operand 12; the assembly keeps them in registers
/// and from being foreseen.
#define BITLOOM_SUM_REGISTERS(STEP, kRegister)                                                                      \
  for (int64_t i = 0; i < kRounds; ++i) {                                                                           \
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)  \
                 : "+" kRegister(sums[0]), "+" kRegister(sums[1]), "+" kRegister(sums[2]), "+" kRegister(sums[3]),  \
                   "+" kRegister(sums[4]), "+" kRegister(sums[5]), "+" kRegister(sums[6]), "+" kRegister(sums[7]),  \
                   "+" kRegister(sums[8]), "+" kRegister(sums[9]), "+" kRegister(sums[10]), "+" kRegister(sums[11]) \
                 : kRegister(one));                                                                                 \
  }

#if defined(__x86_64__)

#define BITLOOM_BYTES(sum) "vpdpbusd %12, %12, %" #sum "\n\t"
__attribute__((target("avx512f"))) void sum_int8() {
  __m512i sums[kSums], one = _mm512_set1_epi32(0x01010101);
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  BITLOOM_SUM_REGISTERS(BITLOOM_BYTES, "v")
}
// Products of bytes, added in pairs: what there is without VNNI.
#define BITLOOM_PAIRS(sum) "vpmaddubsw %12, %12, %" #sum "\n\t"
__attribute__((target("avx2"))) void sum_int8_256() {
  __m256i sums[kSums], one = _mm256_set1_epi8(1);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  BITLOOM_SUM_REGISTERS(BITLOOM_PAIRS, "v")
}
#define BITLOOM_HALVES(sum) "vdpbf16ps %12, %12, %" #sum "\n\t"
__attribute__((target("avx512f"))) void sum_bf16() {
  __m512 sums[kSums], one = _mm512_castsi512_ps(_mm512_set1_epi32(0x3F003F00));  // 0.5
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  BITLOOM_SUM_REGISTERS(BITLOOM_HALVES, "v")
}
#define BITLOOM_FLOATS(sum) "vfmadd231ps %12, %12, %" #sum "\n\t"
__attribute__((target("avx512f"))) void sum_fp32_512() {
  __m512 sums[kSums], one = _mm512_set1_ps(0.5f);
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  BITLOOM_SUM_REGISTERS(BITLOOM_FLOATS, "v")
}
__attribute__((target("avx2,fma"))) void sum_fp32_256() {
  __m256 sums[kSums], one = _mm256_set1_ps(0.5f);
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  BITLOOM_SUM_REGISTERS(BITLOOM_FLOATS, "v")
}

Loop int8_loop() {
  if (machine_has(Isa::kAvx512Vnni)) return {sum_int8, 2 * 64};
  return {machine_has(Isa::kAvx2) ? sum_int8_256 : nullptr, 2 * 32};
}
Loop bf16_loop() { return {machine_has(Isa::kAvx512Bf16) ? sum_bf16 : nullptr, 2 * 32}; }
Loop fp32_loop() {
  if (machine_has(Isa::kAvx512Vnni)) return {sum_fp32_512, 2 * 16};
  return {machine_has(Isa::kAvx2) ? sum_fp32_256 : nullptr, 2 * 8};
}

#elif defined(__aarch64__)

#define BITLOOM_BYTES(sum) "sdot %" #sum ".4s, %12.16b, %12.16b\n\t"
__attribute__((target("arch=armv8.2-a+dotprod"))) void sum_int8() {
  int32x4_t sums[kSums], one = vdupq_n_s32(0x01010101);
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  BITLOOM_SUM_REGISTERS(BITLOOM_BYTES, "w")
}
#define BITLOOM_MATRICES(sum) "smmla %" #sum ".4s, %12.16b, %12.16b\n\t"
__attribute__((target("arch=armv8.2-a+i8mm"))) void sum_matrices() {
  int32x4_t sums[kSums], one = vdupq_n_s32(0x01010101);
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  BITLOOM_SUM_REGISTERS(BITLOOM_MATRICES, "w")
}
// Products of bytes, of half of a register: what there is without dot products.
#define BITLOOM_PRODUCTS(sum) "smlal %" #sum ".8h, %12.8b, %12.8b\n\t"
void sum_products() {
  int32x4_t sums[kSums], one = vdupq_n_s32(0x01010101);
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  BITLOOM_SUM_REGISTERS(BITLOOM_PRODUCTS, "w")
}
#define BITLOOM_FLOATS(sum) "fmla %" #sum ".4s, %12.4s, %12.4s\n\t"
void sum_fp32() {
  float32x4_t sums[kSums], one = vdupq_n_f32(0.5f);
  for (auto& sum : sums) sum = vdupq_n_f32(0);
  BITLOOM_SUM_REGISTERS(BITLOOM_FLOATS, "w")
}
Loop int8_loop() {
  if (machine_has(Isa::kNeonI8mm)) return {sum_matrices, 2 * 32};
  if (machine_has(Isa::kNeonDot)) return {sum_int8, 2 * 16};
  return {sum_products, 2 * 8};
}
Loop bf16_loop() { return {}; }
Loop fp32_loop() { return {sum_fp32, 2 * 4}; }

#else

Loop int8_loop() { return {}; }
Loop bf16_loop() { return {}; }
Loop fp32_loop() { return {}; }

#endif

double rate_of(const Loop& loop, ThreadPool& threads, const std::function<double()>& clock) {
  if (loop.body == nullptr) return 0;
  const int64_t pieces = 4 * threads.thread_count();
  const double start = clock();
  threads.parallel_for(pieces, [&loop](int64_t) { loop.body(); });
  const double seconds = clock() - start;
  return seconds > 0 ? loop.operations * static_cast<double>(kRounds * kSums * pieces) / seconds : 0;
}

}  // namespace

DotPeak measure_dot_peak(ThreadPool& threads, const std::function<double()>& clock) {
  return {rate_of(int8_loop(), threads, clock), rate_of(bf16_loop(), threads, clock),
          rate_of(fp32_loop(), threads, clock)};
}

}  // namespace bitloom
