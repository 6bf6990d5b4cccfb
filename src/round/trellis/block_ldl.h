#pragma once
// The block factorization that feedback between tiles needs (QuIP#, Tseng et al. 2024, section 4.1; papers' beyond
// page, 2.4).
//
//   H = L D L^T,  L [n, n] unit block lower triangular, D block diagonal, blocks of `tile`
//   with H = C C^T, C lower triangular:  L_:,J = C_:,J C_JJ^-1,  D_J = C_JJ C_JJ^T

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "observe/moment/second_moment.h"

namespace bitloom {

struct BlockLdl {
  int64_t n = 0;           // a multiple of the tile: H is padded with the identity
  std::vector<float> l;    // [n, n]
  std::vector<double> d;   // [n]: the diagonals of D's blocks
  double damping = 0;      // the value that worked
  std::vector<char> dead;  // [n]: channels that no token ever used, H_jj = 0
};

/// h [n, n], n a multiple of the tile, both triangles: its factor, or false where it is not positive definite. h is
/// used up.
bool factor_block_ldl(std::vector<float>& h, int64_t n, int64_t tile, BlockLdl& out, ThreadPool& threads);

/// Of a second moment, damped by a share of its mean diagonal; dead channels have 1 on the diagonal. The damping is
/// raised while the factorization fails. `padded`: n, at least its channels. Error(kFailed) when no token was seen, or
/// no damping below 1 does. Memory: 8 n^2 bytes.
BlockLdl make_block_ldl(const SecondMoment& moment, int64_t padded, int64_t tile, double damping, ThreadPool& threads);

}  // namespace bitloom
