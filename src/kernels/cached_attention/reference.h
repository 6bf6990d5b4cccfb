#pragma once
// The definition of cached_attention.h, read literally, in fp64: what every kernel is compared with.

#include <vector>

#include "kernels/cached_attention/cached_attention.h"

namespace bitloom {

/// Of one query, from no keys: log sum_j e^s_j, sum_j p_j v_j with p the softmax, and what rounding errors are bounded
/// by.
struct ReferenceAttention {
  double log_sum = 0;
  std::vector<double> values;       // [value_dim]
  double score_size = 0, size = 0;  // the greatest sum of |scale q k| of a score, with its bias; the greatest |v|
  double query_size = 0;            // the greatest of max |q| times sum |scale k|
  double greatest = 0;              // probability
};
ReferenceAttention cached_attention_reference(const CachedAttentionCall& call, KvFormat format, int64_t query);

}  // namespace bitloom
