#pragma once
// Products of a matrix of binary planes, as it lies in its file, with one or several vectors.
//
//   y[t, r] = scale_r sum over blocks b of sum over c in b of v_rb(s(r, c), t(r, c)) x[t, c]      16 first <= r < 16
//   last
//
// laid out as packing/plane_layout.h says. With bits s and t (1: +) and levels of row and block
// (format/families/planes/planes_storage.h), the sum over a block is that of
//
//   mu_c (X - T) + a_c (2 (S - U) - (X - T)) + mu_o T + a_o (2 U - T)     X, S, T, U: sums of x over columns that are
//   mu_s X' + a_1 (2 S' - X') + a_2 (2 T' - X')                           not salient, of those with s, with t, with
//                                                                         both; ': over salient ones
//
// X is the same for all rows; the other sums are looked up by four bits at a time (kernels/nibble_table.h), in 16 or in
// 24 bits. A row's sum is fp32, block after block, whatever the rows beside it.
//
// Goals: the speed of memory, no copy of the weights. Non-goals: many tokens (decode rows and use sgemm).

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dot_call.h"
#include "packing/plane_layout.h"

namespace bitloom {

/// Levels by their place among a block's.
enum PlaneLevel { kMuC, kAlphaC, kMuO, kAlphaO, kMuS, kAlpha1, kAlpha2, kPlaneLevels };

struct PlaneTiles {
  const std::byte* codes = nullptr;         // [tiles, layout->tile_bytes]
  const std::byte* levels = nullptr;        // [tiles, blocks, level_count, 16] F16, or E4M3 with scales
  const std::byte* level_scales = nullptr;  // F16 [rows]; null: 1
  const PlaneLayout* layout = nullptr;
  std::array<int8_t, kPlaneLevels> places = {};  // of the levels that are stored; -1: 0
  int64_t level_count = 0, rows = 0, cols = 0;
};

/// Bytes of scratch memory, at an address divisible by 64.
int64_t plane_dot_scratch(const PlaneTiles& w);

/// Counted in tiles of 16 rows; exact: 24 bits, else 16.
using PlaneDotCall = DotCall<PlaneTiles>;
using PlaneDotKernel = void(const PlaneDotCall& call);
using PlaneDotEntry = DotEntry<PlaneTiles>;

/// All of this build, in the order of preference.
std::span<const PlaneDotEntry> plane_dot_kernels();
/// The first that `isa` or a lower one allows.
const PlaneDotEntry& find_plane_dot(Isa isa);

}  // namespace bitloom
