#pragma once
// How long a token may be. Each place of a text is followed for as long as a token goes on, and some readers look up
// every way to cut a token in two: without a limit a small file makes either take time in proportion to the square.

#include <cstddef>

namespace bitloom {

constexpr size_t kMaxTokenBytes = 1024;

}  // namespace bitloom
