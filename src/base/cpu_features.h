#pragma once
// The instruction sets that kernels are written for, and which of them this machine has.

#include <optional>
#include <span>
#include <string_view>

namespace bitloom {

/// Ascending: a machine that has one has those before it.
enum class Isa { kPortable, kAvx2, kAvx512Vnni, kAvx512Vbmi };

/// All of them, ascending.
std::span<const Isa> every_isa();
/// "portable", "avx2" (with FMA and F16C), "avx512vnni" (with F, BW, DQ and VL), "avx512vbmi" (with
/// VBMI2).
std::string_view name_of(Isa isa);
std::optional<Isa> find_isa(std::string_view name);

bool machine_has(Isa isa);
/// The last that machine_has().
Isa best_isa();

}  // namespace bitloom
