#include "base/simd/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace bitloom {
namespace {

#if defined(__aarch64__)
constexpr Isa kEvery[] = {Isa::kPortable, Isa::kNeon, Isa::kNeonDot, Isa::kNeonI8mm};
#else
constexpr Isa kEvery[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512Vnni, Isa::kAvx512Vbmi, Isa::kAvx512Bf16};
#endif

}  // namespace

std::span<const Isa> every_isa() { return kEvery; }

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kAvx512Vbmi:
      return "avx512vbmi";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDot:
      return "neondot";
    case Isa::kNeonI8mm:
      return "neoni8mm";
  }
  return "";
}

std::optional<Isa> find_isa(std::string_view name) {
  for (const Isa isa : kEvery) {
    if (name == name_of(isa)) return isa;
  }
  return std::nullopt;
}

#if defined(__x86_64__)

/// Clang's __builtin_cpu_supports does not know it.
static bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool machine_has(Isa isa) {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512Vnni:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
    case Isa::kAvx512Vbmi:
      return machine_has(Isa::kAvx512Vnni) && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vbmi2");
    case Isa::kAvx512Bf16:
      return machine_has(Isa::kAvx512Vbmi) && __builtin_cpu_supports("avx512bf16");
    case Isa::kNeon:
    case Isa::kNeonDot:
    case Isa::kNeonI8mm:
      break;
  }
  return false;
}

#elif defined(__aarch64__)

bool machine_has(Isa isa) {
  if (isa == Isa::kNeonDot) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  if (isa == Isa::kNeonI8mm) return machine_has(Isa::kNeonDot) && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
  return isa == Isa::kPortable || isa == Isa::kNeon;
}

#else

bool machine_has(Isa isa) { return isa == Isa::kPortable; }

#endif

Isa best_isa() {
  Isa best = Isa::kPortable;
  for (const Isa isa : kEvery) {
    if (machine_has(isa)) best = isa;
  }
  return best;
}

}  // namespace bitloom
