#pragma once
// Products of a matrix of E8P's lattice points, its codes as they lie in their file, with one or several vectors.
//
//   y[t, r] = scale sum_j sum_i  v_i(code(r, j)) x[t, 8 j + i]          t < tokens, first <= r < last
//   v_i = 2 s_i a_i + t,   odd integers of at most 11
//
// a, s and t of a code are those of format/families/vector/e8p.h; of coordinate 7, whose sign is the parity of the
// others' and of a, that of a is put into the tables. x is rounded for runs of 512 columns to integers of 24 bits
// where `exact`, of 16 else, and the mean of eight columns, which t multiplies, once more (VBMI), or taken as it is
// (portable).
// A row's sum is fp32, run after run, whatever the rows beside it.
//
// Goals: the speed of memory, no copy of the codes. Non-goals: many tokens (decode rows and use sgemm).

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dot_call.h"

namespace bitloom {

inline constexpr int64_t kE8pPoint = 8;  // weights of a code
inline constexpr int kE8pOffset = 14;    // makes 2 s a, and v, positive

/// What kernels look up.
struct E8pTables {
  /// Of a vector, given in halves (1, 3 or 5), [256][8].
  explicit E8pTables(const int8_t (*halves)[kE8pPoint]);

  /// (a_i - 1) / 2 in halves: coordinate i in bits 2 (i % 4) and the next of fields[i / 4].
  alignas(64) uint8_t fields[2][256];
  /// 2 a, that of coordinate 7 negative where a's sum in halves is twice an odd number.
  alignas(64) int8_t vectors[256][kE8pPoint];
  /// Of a code's lower byte: 14 + t, with the signs; that of coordinate 7 is the parity of the others.
  alignas(64) int8_t signs[256][kE8pPoint];
};

struct E8pRows {
  const std::byte* codes = nullptr;  // U16 [rows, ceil(cols / 8)]
  const E8pTables* tables = nullptr;
  int64_t rows = 0, cols = 0;
  float scale = 0;

  int64_t points() const { return (cols + kE8pPoint - 1) / kE8pPoint; }
};

/// Tokens at most.
inline constexpr int64_t kE8pTokens = 8;
/// Bytes of scratch memory, at an address divisible by 64.
int64_t e8p_dot_scratch(const E8pRows& w);

/// Counted in rows.
using E8pDotCall = DotCall<E8pRows>;
using E8pDotKernel = void(const E8pDotCall& call);
using E8pDotEntry = DotEntry<E8pRows>;

/// All of this build, in the order of preference.
std::span<const E8pDotEntry> e8p_dot_kernels();
/// The first that `isa` or a lower one allows.
const E8pDotEntry& find_e8p_dot(Isa isa);

}  // namespace bitloom
