#include "forward/decoder.h"

#include <cassert>

#include "base/error.h"
#include "forward/block.h"
#include "forward/row_loop.h"
#include "forward/softmax.h"

namespace bitloom {

struct Decoder::State {
  State(std::shared_ptr<const Checkpoint> source, ThreadPool& pool);

  void check(std::span<const int32_t> tokens, int64_t last_position) const;
  void embed(std::span<const int32_t> tokens, const Pass& pass);
  std::span<const float> run(std::span<const int32_t> tokens, const Pass& pass);

  std::shared_ptr<const Checkpoint> checkpoint;
  ThreadPool& threads;
  const Graph& graph;
  ModelWeights weights;
  std::vector<RopeTable> ropes;
  std::vector<BlockRunner> blocks;
  Workspace work;
};

Decoder::State::State(std::shared_ptr<const Checkpoint> source, ThreadPool& pool)
    : checkpoint(std::move(source)), threads(pool), graph(checkpoint->graph()), weights(load_weights(*checkpoint)) {
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope);
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    const int rope = graph.blocks[i].attention.rope;
    blocks.emplace_back(graph, static_cast<int>(i), weights.blocks[i],
                        rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)]);
  }
}

void Decoder::State::check(std::span<const int32_t> tokens, int64_t length) const {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= graph.vocab_size) {
      refuse("{}: token id {} (number {} of the input) is outside the vocabulary, 0 to {}", checkpoint->path(),
             tokens[i], i, graph.vocab_size - 1);
    }
  }
  if (weights.positions == nullptr) return;
  const int64_t learned = weights.positions->rows() - graph.position_offset;
  if (length > learned) {
    refuse("{}: a sequence of {} tokens is too long, the model has learned positions for {} ('{}')", checkpoint->path(),
           length, learned, graph.position_embedding);
  }
}

// h = project_in(embedding[token] * embedding_scale) + positions[position + offset]
void Decoder::State::embed(std::span<const int32_t> tokens, const Pass& pass) {
  const int64_t width = weights.embedding->cols(), hidden = graph.hidden;
  float* embedded = weights.project_in.present() ? work.narrow.data() : work.hidden.data();
  for_rows(threads, pass.rows(), [&](int64_t row) {
    const int64_t token = tokens[static_cast<size_t>(row)];
    float* out = embedded + row * width;
    weights.embedding->decode_rows(token, token + 1, out);
    for (int64_t i = 0; i < width; ++i) out[i] *= graph.embedding_scale;
  });
  if (weights.project_in.present()) weights.project_in.apply(embedded, pass.rows(), work.hidden.data(), threads);
  if (weights.positions == nullptr) return;
  for_rows(threads, pass.rows(), [&](int64_t row) {
    const int64_t index = pass.position(row) + graph.position_offset;
    float* h = work.hidden.data() + row * hidden;
    float* learned = work.normed.data() + row * hidden;
    weights.positions->decode_rows(index, index + 1, learned);
    for (int64_t i = 0; i < hidden; ++i) h[i] += learned[i];
  });
}

std::span<const float> Decoder::State::run(std::span<const int32_t> tokens, const Pass& pass) {
  const int64_t rows = pass.rows();
  check(tokens, pass.start + pass.length);
  work.reserve(graph, rows);
  for (RopeTable& rope : ropes) rope.reach(pass.start + pass.length);
  embed(tokens, pass);
  for (const BlockRunner& block : blocks) block.run(pass, work, threads);
  if (weights.final_norm.present()) {
    norm_rows(weights.final_norm, work.hidden.data(), rows, work.hidden.data(), threads);
  }
  if (!weights.project_out.present()) return {work.hidden.data(), static_cast<size_t>(rows * graph.hidden)};
  weights.project_out.apply(work.hidden.data(), rows, work.narrow.data(), threads);
  return {work.narrow.data(), static_cast<size_t>(rows * weights.project_out.out())};
}

Decoder::Decoder(std::shared_ptr<const Checkpoint> checkpoint, ThreadPool& threads)
    : state_(std::make_unique<State>(std::move(checkpoint), threads)) {}

Decoder::~Decoder() = default;

const Graph& Decoder::graph() const { return state_->graph; }

int64_t Decoder::hidden_width() const {
  return state_->weights.project_out.present() ? state_->weights.project_out.out() : state_->graph.hidden;
}

std::span<const float> Decoder::forward(std::span<const int32_t> tokens, int64_t batch, int64_t length,
                                        const Tap* tap) {
  assert(static_cast<int64_t>(tokens.size()) == batch * length);
  Pass pass;
  pass.batch = batch, pass.length = length, pass.tap = tap;
  return state_->run(tokens, pass);
}

std::span<const float> Decoder::step(std::span<const int32_t> tokens, KvCache& cache) {
  Pass pass;
  pass.length = static_cast<int64_t>(tokens.size()), pass.start = cache.size_;
  const int64_t filled = pass.start + pass.length;
  if (filled > cache.capacity_) {
    refuse("{}: {} tokens do not fit the cache, which holds {} of {}", state_->checkpoint->path(), pass.length,
           pass.start, cache.capacity_);
  }
  assert(cache.keys_.size() == state_->graph.blocks.size());
  for (size_t i = 0; i < cache.keys_.size(); ++i) {
    const Attention& attention = state_->graph.blocks[i].attention;
    const size_t needed = static_cast<size_t>(filled * attention.kv_heads * attention.head_dim);
    if (cache.keys_[i].size() < needed) cache.keys_[i].resize(needed), cache.values_[i].resize(needed);
    pass.cache.push_back({cache.keys_[i].data(), cache.values_[i].data()});
  }
  const std::span<const float> hidden = state_->run(tokens, pass);
  cache.size_ = filled;
  return hidden;
}

void Decoder::logits(std::span<const float> hidden, int64_t rows, float* out) const {
  assert(static_cast<int64_t>(hidden.size()) == rows * hidden_width());
  const int64_t vocab = state_->graph.vocab_size;
  state_->weights.head.apply(hidden.data(), rows, out, state_->threads);
  if (state_->graph.logit_softcap <= 0.0f) return;
  for_rows(state_->threads, rows,
           [&](int64_t row) { soft_cap(state_->graph.logit_softcap, out + row * vocab, vocab); });
}

}  // namespace bitloom
