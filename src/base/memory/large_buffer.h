#pragma once
// Memory for whole matrices, in pages of 2 MiB where the system has such: 64 MiB then cost 32 page faults, not 16384,
// and columns that are read side by side cost no walk through page tables each.

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace bitloom {

struct FreeBuffer {
  void operator()(float* buffer) const { std::free(buffer); }
};
using LargeBuffer = std::unique_ptr<float[], FreeBuffer>;

/// `count` floats that hold anything: threads should write them first, so that they share the time in which the system
/// finds memory. std::bad_alloc where there is none.
LargeBuffer make_large_buffer(size_t count);

}  // namespace bitloom
