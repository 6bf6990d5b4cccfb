#pragma once
// Rounds vectors to what integer kernels read.

#include "kernels/int_dot/rounded_input.h"

namespace bitloom {

/// Where the parts of a RoundedInput of one token are written.
struct RoundedRow {
  int8_t* digits;                  // [planes, stride]
  float* scales;                   // [stride / lane]
  int32_t *high_sums, *rest_sums;  // the same; rest_sums of 24 bits only
  int64_t stride;                  // cols rounded up to kInputPadding
};

/// x [cols] in blocks of kInputBlock columns (the last may be shorter):
///   scale = max |x| / greatest,  q = round(x / scale) in -greatest .. greatest;  0 and 0 where all are below 2^-100
/// greatest is kGreatestInt8, to nearest, ties to even; or kGreatestInt24, where fp32's division and rounding may be
/// off by one step. A block with a value that is not finite gets a scale of NaN, so that its products are seen to be
/// none.
/// With a `scale` other than 0 (8 bits alone) all blocks have that one, and q = round(x / scale): of x that are
/// multiples of it already, by integers up to kGreatestInt8, this is exact. NaN for one: as for a value that is not
/// finite.
void round_input(const float* x, int64_t cols, DotInput input, InputOrder order, const RoundedRow& out,
                 float scale = 0);

/// kInputPadding columns rounded to 8 bits as above, in their order; and the sums of every sixteen.
struct Int8Piece {
  int8_t digits[kInputPadding];
  float scales[kInputPadding / kInputBlock];
  int32_t sums[kInputPadding / 16];
};
/// Of x [cols], zeros beyond. `scale` as above.
void round_piece_to_int8(const float* x, int64_t cols, Int8Piece& out, float scale = 0);

/// sums[g] = sum over the columns c of group g of scale(c) q(c) of token t, for groups of a multiple of a lane's
/// columns or of all columns; sums [ceil(cols / group)].
void sum_groups(const RoundedInput& x, InputOrder order, int64_t t, int64_t cols, int64_t group, float* sums);

}  // namespace bitloom
