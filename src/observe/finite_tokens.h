#pragma once
// Which tokens an observer may use: those without NaN and Inf. Observers leave the others out.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"

namespace bitloom {

/// mask[t] is 1 when row t of x [tokens, channels], `stride` elements from row to row, holds finite values only.
std::vector<char> finite_tokens(const float* x, int64_t tokens, int64_t channels, int64_t stride, ThreadPool& threads);

/// Calls run(begin, end) for every maximal run of tokens whose mask is set, in order, cut to at most `most` tokens: so
/// that nothing need be copied.
void for_each_run(const std::vector<char>& mask, int64_t most, const std::function<void(int64_t, int64_t)>& run);

}  // namespace bitloom
