#pragma once
// One step of a Viterbi search over the states of a trellis code, with costs of 16 bits.
//
//   E'[e] = min over j < 2^next_k of cost(j n + e),   n = states >> next_k,  e < n;   from[e] the least such j
//   cost(s) = E[s >> k] - least + d(s),               s < states
//
// E[e] is what the best path costs that ends in bits e, so that a step's k fresh bits make a state of them; least is
// that of E. A cost is a multiple of 2^tag_bits: while a minimum is taken its low bits hold j. Sums stay at 65535 when
// they reach it, and then lose these bits. With h = (hash s') mod 2^16, s' = s << (16 - state_bits),
// g = floor(mix h / 2^16), i0 = g mod 64, i1 = floor(g / 256) mod 64, the cost of a state is
//
//   two values a step:  d = first[i0] + second[i1]
//   one value a step:   u = min(|first[i0] - second[i1]|, most_difference) 2^shift
//                       d = min(floor(u^2 / 2^16), most_cost) 2^tag_bits
//
// Integers throughout: every kernel gives the same bits. Costs of states stay in registers, E in the first cache.
// Goals: full searches over 2^16 states at the speed of the processor. Non-goals: steps of more than 5 bits.

#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

struct TrellisStep {
  int state_bits = 16;
  int k = 0, next_k = 0;  // fresh bits of this step and of the next, 1 to 5; states >= 128 * 2^next_k
  int tag_bits = 0;       // at least k and next_k
  uint16_t hash = 0, mix = 0;
  bool two_values = true;
  const int16_t* first = nullptr;   // [64], with two values unsigned multiples of 2^tag_bits
  const int16_t* second = nullptr;  // [64]
  uint16_t most_difference = 0, most_cost = 0;
  int shift = 0;
  const uint16_t* best = nullptr;  // E [states >> k], and kTrellisBeyond more that may be read
  uint16_t* next = nullptr;        // E' [states >> next_k]
  uint8_t* from = nullptr;         // [states >> next_k]
};
inline constexpr int kTrellisBeyond = 32;

/// Sets next and from; gives the least of next.
using TrellisSearchKernel = uint16_t(const TrellisStep& step, uint16_t least);

struct TrellisSearchEntry {
  const char* name;
  TrellisSearchKernel* kernel;
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const TrellisSearchEntry> trellis_search_kernels();
/// The first that `isa` or a lower one allows.
const TrellisSearchEntry& find_trellis_search(Isa isa);

}  // namespace bitloom
