#pragma once
// What token sequences have in common, from the first token on: a tree in which every shared beginning is one branch.

#include <cstdint>
#include <span>
#include <vector>

#include "forward/decoder.h"

namespace bitloom {

using TokenSequences = std::span<const std::vector<int32_t>>;

/// How many tokens both, or all, sequences begin with.
size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b);
size_t common_prefix(TokenSequences sequences);

struct TokenTree {
  std::vector<Branch> branches;            // parents first; their tokens lie in the sequences
  std::vector<std::vector<int64_t>> rows;  // [sequence][i]: the row of token skipped + i among all branches' tokens
  int64_t total_rows = 0;
};

/// The tree of what follows the first `skipped` tokens, which all sequences share. The sequences must outlive it.
TokenTree token_tree(TokenSequences sequences, size_t skipped);

}  // namespace bitloom
