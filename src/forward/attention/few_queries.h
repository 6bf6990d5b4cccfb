#pragma once
// Attention of sequences that a pass gives few tokens, over keys and values in pages: kernels/cached_attention reads
// them as they are kept, 64 of them for all heads and rows before the next 64, which are asked for on the way where
// they follow in the same part and run of pages.
//
// Goals: the speed of memory; a token's bits depend neither on the number of threads nor on how many tokens of its
// sequence the pass has. For that the keys are cut at fixed positions into parts, computed apart and put together in
// their order. Non-goals: keys that are not kept, many tokens, bidirectional attention (attention.h); the same bits
// wherever the pages lie: 64 keys that lie in two runs are two calls of the kernel, whose sums come in another
// order than those of one. To cut every part where a page may end would cost integers of 8 bits a quarter of their
// speed.

#include <cstdint>
#include <vector>

#include "base/simd/cpu_features.h"
#include "base/threads.h"
#include "forward/pass.h"

namespace bitloom {

struct AttentionCall;

/// Keys [begin, end) of a sequence, and where they lie: in its runs from `run` on, which begins at run_position.
struct AttentionPart {
  int64_t sequence;  // of FewQueries::sequences
  int64_t begin, end, run, run_position;
};

/// What is kept between calls so that nothing is allocated once it is large enough.
struct FewQueries {
  struct Sequence {
    const PassSequence* sequence;
    int64_t first_part, parts, first_row;  // rows of all sequences together
  };

  std::vector<Sequence> sequences;
  std::vector<AttentionPart> parts;
  std::vector<float> queries;   // [rows, heads, padded_channels(head_dim)]
  std::vector<int64_t> places;  // of each part in `states`
  std::vector<float> states;    // of each part: values [rows, heads, padded channels], most and sum [rows, heads]
  std::vector<int64_t> rows;    // of `sequences`, by row
  int64_t shares = 1;           // of a part's key heads, of which each is a piece of work
  int64_t pieces() const { return static_cast<int64_t>(parts.size()) * shares; }
};

/// Whether attention_of_piece() serves the sequence.
bool has_few_queries(const AttentionCall& call, const PassSequence& sequence);

/// Makes parts of the pass's sequences that have few queries; their keys and values are in the pages.
void prepare_parts(const AttentionCall& call, FewQueries& few);
/// Of one of few.pieces().
void attention_of_piece(const AttentionCall& call, FewQueries& few, Isa isa, int64_t piece);
/// Writes the outputs, after all pieces.
void join_parts(const AttentionCall& call, FewQueries& few, ThreadPool& threads);

}  // namespace bitloom
