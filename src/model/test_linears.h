#pragma once
// For tests only: linears and inputs of a block by their names.

#include <gtest/gtest.h>

#include <string_view>

#include "model/graph.h"

namespace bitloom::testing {

/// The linear of this role, which the block must have.
inline const Linear& linear_of(const Graph& graph, int block, std::string_view role) {
  for (const Site& site : linear_sites(graph, block)) {
    if (site.linear->role == role) return *site.linear;
  }
  ADD_FAILURE() << "block " << block << " has no linear " << role;
  static const Linear absent;
  return absent;
}

/// Places of the inputs of a block without experts.
inline constexpr int kAttention = 0, kAttentionOutput = 1, kMlp = 2, kMlpDown = 3;

}  // namespace bitloom::testing
