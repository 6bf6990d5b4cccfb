#include "tune/teacher.h"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace bitloom {

ActivationShape Teacher::shape(const std::vector<SequenceChunk>& chunks) const {
  ActivationShape shape;
  for (const SequenceChunk& chunk : chunks) shape.chunk_rows.push_back(chunk.rows());
  shape.widths = {width()};
  return shape;
}

Teacher::Teacher(std::shared_ptr<const Model> model, const TokenSequences& sequences,
                 const std::vector<SequenceChunk>& chunks, const std::string& spill_directory, Context& context)
    : decoder_(std::move(model), context.threads), store_(shape(chunks), spill_directory) {
  for (size_t c = 0; c < chunks.size(); ++c) {
    const std::vector<int32_t> tokens = tokens_of(chunks[c], sequences);
    const std::span<const float> hidden = decoder_.forward(tokens, chunks[c].batch, chunks[c].length);
    store_.put(static_cast<int64_t>(c), 0, hidden.data(), width());
    context.progress.advance(chunks[c].rows(), fmt::format("original, {}/{}", c + 1, chunks.size()));
  }
}

std::vector<float> Teacher::hidden(size_t chunk) const {
  std::vector<float> values(static_cast<size_t>(store_.shape().chunk_rows[chunk] * width()));
  store_.get(static_cast<int64_t>(chunk), 0, values.data(), width());
  return values;
}

void Teacher::logits(const float* hidden, int64_t rows, float* out) const {
  decoder_.logits({hidden, static_cast<size_t>(rows * width())}, rows, out);
}

}  // namespace bitloom
