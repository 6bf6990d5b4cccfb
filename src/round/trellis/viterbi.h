#pragma once
// The bits of a tile whose values lie nearest a target: Viterbi's search over the states of a trellis code, in two
// passes that make the tile's end meet its beginning (QTIP, Tseng et al. 2024, section 3.2; papers' beyond page, 2.1).
//
//   minimise sum_i (x_i - v_i)^2,   C_t[s] = min_(s' -> s) C_(t-1)[s'] + |x_t - v(s)|^2
//
// Pass 1 begins at the middle, with every state free, and gives the bits before step 0. Pass 2 begins at step 0 with
// those bits, and must end with them.
//
// There is one effort, the full search. What was measured beside it, of its time and above its error, for normal
// targets at 2 (T6V2) and at 3 bits (T6V1), in AVX-512 (docs/performance.md): a beam, which spreads only
// some 600 of the bits before a step (all within a threshold that follows their number, 512 aimed at), takes 44 % of
// the time for 4.3 % more error, and 42 % for 11 %; pass 1 over the 16 steps to either side of step 0 alone, 66 %
// for 1.6 %, and 57 % for 2.4 %; a code of 12-bit states, 11 % for 5.2 %, and 8 % for 12 %.

#include <cstdint>
#include <vector>

#include "format/families/trellis/trellis_code.h"
#include "kernels/trellis_search/trellis_search.h"

namespace bitloom {

/// Bits of a step that the kernels take; codes with more take the reference.
inline constexpr int kMostKernelBits = 5;

/// One thread's searches, in integers: the same bits on every machine. Costs of a step are counted in a 32nd of what it
/// costs on average for a normal source, coarser at high rates; targets beyond the table by a quarter of it, or by what
/// costs a 16th of the range of costs, count as no further away; steps of more than 5 bits take the reference. Scratch:
/// (steps + 4) 2^(16 - k) bytes, 0.5 to 8.5 MB.
class TrellisEncoder {
 public:
  TrellisEncoder(const TrellisCode& code, const TrellisSearchEntry& kernel);

  /// x [256] in table units, in the order of steps (trellis_place); words [code.words()].
  void encode(const float* x, uint16_t* words);

 private:
  std::vector<uint32_t> path(int start, int64_t seam);
  void set_costs(const float* x);

  TrellisCode code_;
  const TrellisSearchEntry& kernel_;
  int tag_bits_ = 0;
  double unit_ = 0;      // table units, squared, of a cost of 1
  double fraction_ = 0;  // one value a step: values are counted in 1 / fraction_ table units
  TrellisStep step_;
  std::vector<uint16_t> best_, next_;       // with kTrellisBeyond
  std::vector<std::vector<uint8_t>> from_;  // by step: of the bits before it
  std::vector<int16_t> tables_;    // [256, 64]: of two values a step what each costs, else what is left of the target
  std::vector<int16_t> of_table_;  // one value a step: the code's table
};

/// The definition, in fp64 and for any code. Ties go to the lowest state.
void encode_trellis_reference(const TrellisCode& code, const float* x, uint16_t* words);

/// Pass 2 alone, around a given seam, the code.state_bits - k_0 bits before step 0; gives the squared error.
double encode_trellis_around(const TrellisCode& code, const float* x, uint32_t seam, uint16_t* words);

/// The words of a path: of each step the last k_t bits of its state.
void write_trellis_path(const TrellisCode& code, const std::vector<uint32_t>& states, uint16_t* words);

}  // namespace bitloom
