#pragma once
// How fast this machine multiplies and adds: the roof of prompts, where every weight serves many tokens.

#include <functional>

#include "base/threads.h"

namespace bitloom {

/// Operations per second of all threads together, a product and its addition counted as two.
struct DotPeak {
  double int8 = 0;  // of 8-bit integers: by the machine's dot products, else by what sums products there
  double bf16 = 0;  // of BF16 numbers, by the machine's dot products; 0 where it has none
  double fp32 = 0;  // fused, in the widest vectors
};

/// Some milliseconds on registers alone, by `clock` (seconds).
DotPeak measure_dot_peak(ThreadPool& threads, const std::function<double()>& clock);

}  // namespace bitloom
