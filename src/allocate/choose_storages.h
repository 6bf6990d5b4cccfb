#pragma once
// Who gets how many bits: of every matrix one of several storages, so that the sum of the losses predicted for them is
// least and the bytes stay within a budget (papers' beyond page, 2.7).
//
//   minimise  sum_m loss_m(c_m)   subject to  sum_m bytes_m(c_m) <= budget
//
// First choices on the lower convex hull of a matrix's (bytes, loss): among them the greatest gain per byte first is
// optimal for every budget that it ends at. What is left over, less than one step of each matrix, goes to any choices
// that fit it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bitloom {

struct StorageChoice {
  int64_t bytes = 0;
  double loss = 0;  // nats a token, or whatever adds up; a choice that promises a gain over nothing counts as 0
};

/// Of every matrix the index of its choice; each has one at least (asserted). Equal gains go to the matrix that comes
/// first. Error(kUsage) when the smallest choices together are above `budget`: says both in bytes.
std::vector<size_t> choose_storages(std::span<const std::vector<StorageChoice>> matrices, int64_t budget);

}  // namespace bitloom
