#pragma once
// The instruction sets that kernels are written for, and which of them this machine has.

#include <optional>
#include <span>
#include <string_view>

namespace bitloom {

// Kernels of 256-bit vectors are written once, in Intel's intrinsics (kernels/x86_intrinsics.h): AVX2 on x86, pairs of
// NEON's vectors on 64-bit ARM.
#if defined(__x86_64__) || defined(__aarch64__)
#define BITLOOM_HAS_V256 1
#endif

/// Ascending: a machine that has one has those of its architecture before it.
enum class Isa {
  kPortable,
  kAvx2,
  kAvx512Vnni,
  kAvx512Vbmi,
  kAvx512Bf16,
  kNeon,
  kNeonDot,
  kNeonI8mm,
#if defined(__aarch64__)
  kV256 = kNeon,
#else
  kV256 = kAvx2,
#endif
};

/// Those of this build's architecture, ascending.
std::span<const Isa> every_isa();
/// "portable"; x86: "avx2" (with FMA and F16C), "avx512vnni" (with F, BW, DQ and VL), "avx512vbmi" (with VBMI2),
/// "avx512bf16" (with these); 64-bit ARM: "neon", which all have, "neondot" (dot products of bytes),
/// "neoni8mm" (products of 2 x 8 matrices of bytes).
std::string_view name_of(Isa isa);
std::optional<Isa> find_isa(std::string_view name);

bool machine_has(Isa isa);
/// The last that machine_has().
Isa best_isa();

}  // namespace bitloom
