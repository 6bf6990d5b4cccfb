#include "hardware/dot_peak.h"

#include "base/cpu_features.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bitloom {
namespace {

constexpr int64_t kRounds = 1 << 20, kSums = 12;  // a multiply-add takes four or five cycles, two may run at once

/// Twelve independent sums; the empty assembly keeps them, and their operands, in registers and from being foreseen.
#define BITLOOM_SUM_REGISTERS(instruction)                                                                       \
  for (int64_t i = 0; i < kRounds; ++i) {                                                                        \
    asm volatile(instruction                                                                                     \
                 " %12, %12, %0\n\t" instruction " %12, %12, %1\n\t" instruction " %12, %12, %2\n\t" instruction \
                 " %12, %12, %3\n\t" instruction " %12, %12, %4\n\t" instruction " %12, %12, %5\n\t" instruction \
                 " %12, %12, %6\n\t" instruction " %12, %12, %7\n\t" instruction " %12, %12, %8\n\t" instruction \
                 " %12, %12, %9\n\t" instruction " %12, %12, %10\n\t" instruction " %12, %12, %11"               \
                 : "+v"(sums[0]), "+v"(sums[1]), "+v"(sums[2]), "+v"(sums[3]), "+v"(sums[4]), "+v"(sums[5]),     \
                   "+v"(sums[6]), "+v"(sums[7]), "+v"(sums[8]), "+v"(sums[9]), "+v"(sums[10]), "+v"(sums[11])    \
                 : "v"(one));                                                                                    \
  }

#if defined(__x86_64__)

__attribute__((target("avx512f"))) void sum_int8() {
  __m512i sums[kSums], one = _mm512_set1_epi32(0x01010101);
  for (auto& sum : sums) sum = _mm512_setzero_si512();
  BITLOOM_SUM_REGISTERS("vpdpbusd")
}
// Products of bytes, added in pairs: what there is without VNNI.
__attribute__((target("avx2"))) void sum_int8_256() {
  __m256i sums[kSums], one = _mm256_set1_epi8(1);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  BITLOOM_SUM_REGISTERS("vpmaddubsw")
}
__attribute__((target("avx512f"))) void sum_fp32_512() {
  __m512 sums[kSums], one = _mm512_set1_ps(0.5f);
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  BITLOOM_SUM_REGISTERS("vfmadd231ps")
}
__attribute__((target("avx2,fma"))) void sum_fp32_256() {
  __m256 sums[kSums], one = _mm256_set1_ps(0.5f);
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  BITLOOM_SUM_REGISTERS("vfmadd231ps")
}

#endif

double rate_of(void (*body)(), double operations, ThreadPool& threads, const std::function<double()>& clock) {
  const int64_t pieces = 4 * threads.thread_count();
  const double start = clock();
  threads.parallel_for(pieces, [body](int64_t) { body(); });
  const double seconds = clock() - start;
  return seconds > 0 ? operations * static_cast<double>(kRounds * kSums * pieces) / seconds : 0;
}

}  // namespace

DotPeak measure_dot_peak(ThreadPool& threads, const std::function<double()>& clock) {
  DotPeak peak;
#if defined(__x86_64__)
  const bool wide = machine_has(Isa::kAvx512Vnni);
  if (wide) peak.int8 = rate_of(sum_int8, 2 * 64, threads, clock);
  if (wide) peak.fp32 = rate_of(sum_fp32_512, 2 * 16, threads, clock);
  if (!wide && machine_has(Isa::kAvx2)) peak.int8 = rate_of(sum_int8_256, 2 * 32, threads, clock);
  if (!wide && machine_has(Isa::kAvx2)) peak.fp32 = rate_of(sum_fp32_256, 2 * 8, threads, clock);
#endif
  return peak;
}

}  // namespace bitloom
