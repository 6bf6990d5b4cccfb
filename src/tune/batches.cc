#include "tune/batches.h"

namespace bitloom {

std::vector<SequenceChunk> batches_of(const TokenSequences& sequences, int64_t batch) {
  std::vector<SequenceChunk> batches;
  const std::vector<int64_t> lengths = lengths_of(sequences);
  for (size_t s = 0; s < lengths.size(); ++s) {
    if (lengths[s] == 0) continue;
    const bool joins = !batches.empty() && batches.back().length == lengths[s] && batches.back().batch < batch &&
                       batches.back().first + batches.back().batch == static_cast<int64_t>(s);
    if (joins) {
      ++batches.back().batch;
    } else {
      batches.push_back({static_cast<int64_t>(s), 1, lengths[s]});
    }
  }
  return batches;
}

std::vector<int64_t> rows_in(const std::vector<SequenceChunk>& batches) {
  std::vector<int64_t> rows;
  for (const SequenceChunk& batch : batches) rows.push_back(batch.rows());
  return rows;
}

}  // namespace bitloom
