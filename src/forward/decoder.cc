#include "forward/decoder.h"

#include <cassert>

#include "base/error.h"
#include "forward/block.h"
#include "forward/embedding.h"
#include "forward/row_loop.h"
#include "forward/softmax.h"
#include "ops/choose_isa.h"

namespace bitloom {

struct Decoder::State {
  State(std::shared_ptr<const Model> source, ThreadPool& pool, const PackOptions& packing);

  std::span<const float> run(std::span<const int32_t> tokens, const Pass& pass);
  void check_steps() const;

  std::shared_ptr<const Model> model;
  ThreadPool& threads;
  const Graph& graph;
  ModelWeights weights;
  std::vector<RopeTable> ropes;
  std::vector<BlockRunner> blocks;
  Workspace work;
};

Decoder::State::State(std::shared_ptr<const Model> source, ThreadPool& pool, const PackOptions& packing)
    : model(std::move(source)), threads(pool), graph(model->graph()), weights(load_weights(*model, packing)) {
  for (const Rope& rope : graph.ropes) ropes.emplace_back(rope);
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    const int rope = graph.blocks[i].attention.rope;
    blocks.emplace_back(graph, static_cast<int>(i), weights.blocks[i],
                        rope < 0 ? nullptr : &ropes[static_cast<size_t>(rope)]);
  }
}

// A token of a bidirectional block changes what came before it.
void Decoder::State::check_steps() const {
  for (const Block& block : graph.blocks) {
    if (block.attention.mask == Mask::kCausal) continue;
    refuse("{}: attention of this {} model is bidirectional, which has no steps", model->path(), graph.architecture);
  }
}

std::span<const float> Decoder::State::run(std::span<const int32_t> tokens, const Pass& pass) {
  const int64_t rows = pass.rows();
  check_tokens(*model, weights, tokens, pass.reach());
  if (rows == 0) return {};
  work.reserve(graph, rows);
  for (RopeTable& rope : ropes) rope.reach(pass.reach());
  embed_tokens(graph, weights, tokens, pass, work, threads);
  for (const BlockRunner& block : blocks) block.run(pass, work, threads);
  if (weights.final_norm.present()) {
    norm_rows(weights.final_norm, work.hidden.data(), rows, work.hidden.data(), threads);
  }
  if (!weights.project_out.present()) return {work.hidden.data(), static_cast<size_t>(rows * graph.hidden)};
  const LinearReader narrow = {&weights.project_out, work.narrow.data()};
  apply_layers({&narrow, 1}, work.hidden.data(), rows, work.blocks, threads);
  return {work.narrow.data(), static_cast<size_t>(rows * weights.project_out.out())};
}

Decoder::Decoder(std::shared_ptr<const Model> model, ThreadPool& threads, Activations activations)
    : state_(std::make_unique<State>(std::move(model), threads, PackOptions{isa_from_environment(), activations})) {}

Decoder::~Decoder() = default;

const Graph& Decoder::graph() const { return state_->graph; }

int64_t Decoder::hidden_width() const {
  return state_->weights.project_out.present() ? state_->weights.project_out.out() : state_->graph.hidden;
}

std::span<const float> Decoder::forward(std::span<const int32_t> tokens, int64_t batch, int64_t length) {
  assert(static_cast<int64_t>(tokens.size()) == batch * length);
  Pass pass;
  pass.batch = batch, pass.length = length;
  return state_->run(tokens, pass);
}

std::span<const float> Decoder::step(std::span<const int32_t> tokens, KvCache& cache) {
  state_->check_steps();
  Pass pass;
  pass.length = static_cast<int64_t>(tokens.size()), pass.start = cache.size_;
  const int64_t filled = pass.reach();
  if (filled > cache.capacity_) {
    refuse("{}: {} tokens do not fit the cache, which holds {} of {}", state_->model->path(), pass.length, pass.start,
           cache.capacity_);
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

std::span<const float> Decoder::branches(std::span<const Branch> branches, KvCache& prefix) {
  state_->check_steps();
  Pass pass;
  pass.start = prefix.size_;
  std::vector<int32_t> tokens;
  std::vector<int64_t> ends;  // position after each branch
  for (const Branch& branch : branches) {
    assert(branch.parent < static_cast<int64_t>(ends.size()));
    const auto rows = static_cast<int64_t>(branch.tokens.size());
    const int64_t start = branch.parent < 0 ? prefix.size_ : ends[static_cast<size_t>(branch.parent)];
    pass.branches.push_back({pass.length, rows, branch.parent});
    for (int64_t i = 0; i < rows; ++i) pass.positions.push_back(start + i);
    tokens.insert(tokens.end(), branch.tokens.begin(), branch.tokens.end());
    ends.push_back(start + rows);
    pass.length += rows;
  }
  if (tokens.empty()) return {};
  for (size_t i = 0; i < prefix.keys_.size(); ++i)
    pass.cache.push_back({prefix.keys_[i].data(), prefix.values_[i].data()});
  return state_->run(tokens, pass);
}

void Decoder::logits(std::span<const float> hidden, int64_t rows, float* out) const {
  assert(static_cast<int64_t>(hidden.size()) == rows * hidden_width());
  const int64_t vocab = state_->graph.vocab_size;
  const LinearReader head = {&state_->weights.head, out};
  apply_layers({&head, 1}, hidden.data(), rows, state_->work.blocks, state_->threads);
  if (state_->graph.logit_softcap <= 0.0f) return;
  for_rows(state_->threads, rows,
           [&](int64_t row) { soft_cap(state_->graph.logit_softcap, out + row * vocab, vocab); });
}

}  // namespace bitloom
