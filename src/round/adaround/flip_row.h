#pragma once
// Coordinate descent on one row of rounded weights: the elementwise half.
//
// Moving weight j by m_j (to the other of its two levels) changes the row's loss q(D) = D H D^T - 2 p D^T by
//   change_j = 2 m_j g_j + m_j^2 H_jj,   g = D H - p      and then   g += m_j H_j,  m_j = -m_j

#include <cstdint>

namespace bitloom {

struct FlipRow {
  float* half = nullptr;            // g [n]
  float* move = nullptr;            // m [n]; 0: fixed
  const float* diagonal = nullptr;  // H_jj [n]
  float* change = nullptr;          // scratch [n]
  int64_t n = 0;
};

/// The move that lowers the loss most, the first among equals; -1 when none does.
int64_t best_flip(const FlipRow& row);

/// Makes it: `h_row` [n] is row j of H.
void flip(const FlipRow& row, int64_t j, const float* h_row);

}  // namespace bitloom
