#include "pipeline/walk/stream/calibration_stream.h"

#include <algorithm>

namespace bitloom {

std::vector<SequenceChunk> make_chunks(const std::vector<int64_t>& lengths) {
  std::vector<SequenceChunk> chunks;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const bool joins =
        !chunks.empty() && chunks.back().length == lengths[s] && chunks.back().rows() + lengths[s] <= kChunkRows;
    if (!joins) chunks.push_back({static_cast<int64_t>(s), 0, lengths[s]});
    chunks.back().batch += 1;
  }
  return chunks;
}

std::vector<SequenceChunk> chunks_of_rank(std::vector<SequenceChunk> chunks, const Ranks& ranks) {
  const RankShare share = share_of(ranks, static_cast<int64_t>(chunks.size()));
  chunks.erase(chunks.begin() + share.end, chunks.end());
  chunks.erase(chunks.begin(), chunks.begin() + share.begin);
  return chunks;
}

ActivationShape activation_shape(const Graph& graph, const std::vector<SequenceChunk>& chunks,
                                 ActivationPrecision precision) {
  ActivationShape shape;
  shape.precision = precision;
  for (const SequenceChunk& chunk : chunks) shape.chunk_rows.push_back(chunk.rows());
  const BlockWeights none;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    const BlockRunner runner(graph, b, none, nullptr);
    for (int input = 0; input < runner.inputs(); ++input) {
      const std::vector<KeptBuffer> kept = runner.kept_at(input);
      if (shape.widths.size() < kept.size()) shape.widths.resize(kept.size());
      for (size_t slot = 0; slot < kept.size(); ++slot) {
        shape.widths[slot] = std::max(shape.widths[slot], kept[slot].width);
      }
    }
  }
  return shape;
}

CalibrationStream::CalibrationStream(const Graph& graph, const std::vector<SequenceChunk>& chunks,
                                     ActivationPrecision precision, const std::string& spill_directory,
                                     ThreadPool& threads)
    : graph_(graph),
      chunks_(chunks),
      threads_(threads),
      store_(activation_shape(graph, chunks, precision), spill_directory) {
  for (const SequenceChunk& chunk : chunks) workspace_.reserve(graph, chunk.rows());
}

void CalibrationStream::enter(const Entrance& entrance) {
  for (int64_t c = 0; c < chunks(); ++c) {
    entrance(chunks_[static_cast<size_t>(c)], pass_of(c), workspace_, threads_);
    save(c, at_entrance());
  }
}

std::span<const float> CalibrationStream::reach(int64_t chunk, const BlockRunner& block, int input) {
  if (!block.begins_step(input)) return block.reach(input, pass_of(chunk), workspace_, threads_);
  load(chunk, input == 0 ? at_entrance() : block.kept_at(input - 1));
  const std::span<const float> x = block.reach(input, pass_of(chunk), workspace_, threads_);
  if (input > 0) save(chunk, block.kept_at(input));
  return x;
}

void CalibrationStream::finish(int64_t chunk, const BlockRunner& block) {
  load(chunk, block.kept_at(block.inputs() - 1));
  block.finish(pass_of(chunk), workspace_, threads_);
  save(chunk, at_entrance());
}

void CalibrationStream::read_entrance(int64_t chunk, float* hidden) const {
  store_.get(chunk, 0, hidden, graph_.hidden);
}

void CalibrationStream::write_entrance(int64_t chunk, const float* hidden) {
  store_.put(chunk, 0, hidden, graph_.hidden);
}

void CalibrationStream::look_through(int64_t chunk, const BlockRunner& block,
                                     const std::function<void(int, std::span<const float>)>& visit) {
  load(chunk, at_entrance());
  for (int input = 0; input < block.inputs(); ++input) {
    visit(input, block.reach(input, pass_of(chunk), workspace_, threads_));
  }
}

void CalibrationStream::pass_through(int64_t chunk, const BlockRunner& block) {
  load(chunk, at_entrance());
  block.run(pass_of(chunk), workspace_, threads_);
  save(chunk, at_entrance());
}

Pass CalibrationStream::pass_of(int64_t chunk) const {
  const SequenceChunk& of = chunks_[static_cast<size_t>(chunk)];
  return Pass::whole(of.batch, of.length);
}

void CalibrationStream::load(int64_t chunk, const std::vector<KeptBuffer>& kept) {
  for (size_t slot = 0; slot < kept.size(); ++slot) {
    store_.get(chunk, static_cast<int>(slot), (workspace_.*kept[slot].buffer).data(), kept[slot].width);
  }
}

void CalibrationStream::save(int64_t chunk, const std::vector<KeptBuffer>& kept) {
  for (size_t slot = 0; slot < kept.size(); ++slot) {
    store_.put(chunk, static_cast<int>(slot), (workspace_.*kept[slot].buffer).data(), kept[slot].width);
  }
}

}  // namespace bitloom
