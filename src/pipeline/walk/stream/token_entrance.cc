#include "pipeline/walk/stream/token_entrance.h"

#include <memory>

#include "forward/layers/embedding.h"

namespace bitloom {

std::vector<int64_t> lengths_of(const TokenSequences& sequences) {
  std::vector<int64_t> lengths;
  lengths.reserve(sequences.size());
  for (const std::vector<int32_t>& sequence : sequences) lengths.push_back(static_cast<int64_t>(sequence.size()));
  return lengths;
}

std::vector<int32_t> tokens_of(const SequenceChunk& chunk, const TokenSequences& sequences) {
  std::vector<int32_t> tokens;
  tokens.reserve(static_cast<size_t>(chunk.rows()));
  for (int64_t s = chunk.first; s < chunk.first + chunk.batch; ++s) {
    const std::vector<int32_t>& sequence = sequences[static_cast<size_t>(s)];
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
  }
  return tokens;
}

Entrance token_entrance(const Model& model, const TokenSequences& sequences) {
  const auto weights = std::make_shared<const OuterWeights>(load_outer_weights(model));
  return [&model, &sequences, weights](const SequenceChunk& chunk, const Pass& pass, Workspace& workspace,
                                       ThreadPool& threads) {
    const std::vector<int32_t> tokens = tokens_of(chunk, sequences);
    check_tokens(model, *weights, tokens, chunk.length);
    embed_tokens(model.graph(), *weights, tokens, pass, workspace, threads);
  };
}

}  // namespace bitloom
