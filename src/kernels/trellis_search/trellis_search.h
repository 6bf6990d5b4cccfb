#pragma once
// One step of a Viterbi search over the states of a trellis code, with costs of 16 bits.
//
//   E[e]    = min over j < 2^k of cost[j n + e],   n = states / 2^k,  e < n      (least)
//   cost[s] = E[s >> k] - least + d(s),   s < states                             (spread)
//
// A cost's low `tag_bits` bits are no cost: they hold s / (states >> next_k), the j with which the next step will reach
// the state, so that a minimum of costs brings its j along, and equal costs are told apart by the lowest j. Sums stay
// at 65535 when they reach it. With h = (hash s') mod 2^16, s' = s << (16 - state_bits), g = floor(mix h / 2^16),
// i0 = g mod 64, i1 = floor(g / 256) mod 64, the cost of a state is
//
//   two values a step:  d = first[i0] + second[i1]
//   one value a step:   u = min(|first[i0] - second[i1]|, most_difference) 2^shift
//                       d = min(floor(u^2 / 2^16), most_cost) 2^tag_bits
//
// Integers throughout: every kernel gives the same bits. Goals: full searches over 2^16 states at the speed of the
// second cache. Non-goals: steps of more than 5 bits.

#include <cstdint>
#include <span>

#include "base/cpu_features.h"

namespace bitloom {

struct TrellisStep {
  int state_bits = 16;
  int k = 0, next_k = 0;  // fresh bits of this step and of the next, 1 to 5; states >= 32 * 2^k
  int tag_bits = 0;       // at least k and next_k
  uint16_t hash = 0, mix = 0;
  bool two_values = true;
  const int16_t* first = nullptr;   // [64], with two values unsigned multiples of 2^tag_bits
  const int16_t* second = nullptr;  // [64]
  uint16_t most_difference = 0, most_cost = 0;
  int shift = 0;
  uint16_t* cost = nullptr;  // [states]
  uint16_t* best = nullptr;  // E [states >> k]
  uint8_t* from = nullptr;   // [states >> k]: the j of E
};

struct TrellisSearchEntry {
  const char* name;
  /// Sets best and from of cost; gives the least of best. best has no tags.
  uint16_t (*least)(const TrellisStep& step);
  /// Sets cost of best, which `least` is taken from.
  void (*spread)(const TrellisStep& step, uint16_t least);
  Isa isa;
};

/// All of this build, in the order of preference.
std::span<const TrellisSearchEntry> trellis_search_kernels();
/// The first that `isa` or a lower one allows.
const TrellisSearchEntry& find_trellis_search(Isa isa);

}  // namespace bitloom
