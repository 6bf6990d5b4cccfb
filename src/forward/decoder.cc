#include "forward/decoder.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"
#include "forward/attention/softmax.h"
#include "forward/block.h"
#include "forward/layers/embedding.h"
#include "forward/row_loop.h"
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
  Pass steps;                        // of the last step
  std::vector<int32_t> step_tokens;  // of all its sequences
};

Decoder::State::State(std::shared_ptr<const Model> source, ThreadPool& pool, const PackOptions& packing)
    : model(std::move(source)), threads(pool), graph(model->graph()), weights(load_weights(*model, packing)) {
  work.scratch.isa = packing.isa;
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
  for (RopeTable& rope : ropes) rope.reach(pass.length());
  embed_tokens(graph, weights, tokens, pass, work, threads);
  for (const BlockRunner& block : blocks) block.run(pass, work, threads);
  if (weights.final_norm.present()) {
    norm_rows(weights.final_norm, work.hidden.data(), rows, work.hidden.data(), threads);
  }
  if (!weights.project_out.present()) return {work.hidden.data(), static_cast<size_t>(rows * graph.hidden)};
  const LinearReader narrow = {&weights.project_out, work.narrow.data()};
  apply_layers({&narrow, 1}, {work.hidden.data()}, rows, work.linears, threads);
  return {work.narrow.data(), static_cast<size_t>(rows * weights.project_out.out())};
}

Decoder::Decoder(std::shared_ptr<const Model> model, ThreadPool& threads, Activations activations)
    : state_(std::make_unique<State>(std::move(model), threads, PackOptions{isa_from_environment(), activations})) {}

Decoder::~Decoder() = default;

const Graph& Decoder::graph() const { return state_->graph; }

bool Decoder::has_kernels_for(int64_t rows) const {
  const auto has = [rows](const LinearWeights& layer) { return layer.kernel_for(rows) != nullptr; };
  const ModelWeights& weights = state_->weights;
  return has(weights.project_in) || has(weights.project_out) || has(weights.head) ||
         std::any_of(weights.blocks.begin(), weights.blocks.end(), [&](const BlockWeights& block) {
           return std::any_of(block.linears.begin(), block.linears.end(), has);
         });
}

RoundedProducts Decoder::rounded_products() const { return count_products(state_->graph, state_->weights); }

PromptWeights Decoder::prompt_weights() const { return count_prompt_weights(state_->weights); }

int64_t Decoder::rounding_rows() const {
  constexpr int64_t kManyRows = 512;
  const PromptWeights weights = prompt_weights();
  return weights.bf16 > 0 && weights.fp32 == 0 ? kManyRows : kUnpackedTokens;
}

void Decoder::set_activation_format(int block, int input, const std::optional<ActivationFormat>& format) {
  assert(input >= 0 && input < input_count(state_->graph, block));
  std::map<int, InputRounder>& rounders = state_->weights.blocks[static_cast<size_t>(block)].rounders;
  rounders.erase(input);
  if (format) rounders.emplace(input, InputRounder(*format, input_at(state_->graph, block, input).width));
}

int64_t Decoder::hidden_width() const {
  return state_->weights.project_out.present() ? state_->weights.project_out.out() : state_->graph.hidden;
}

std::span<const float> Decoder::forward(std::span<const int32_t> tokens, int64_t batch, int64_t length) {
  assert(static_cast<int64_t>(tokens.size()) == batch * length);
  return state_->run(tokens, Pass::whole(batch, length));
}

std::span<const float> Decoder::step(std::span<const int32_t> tokens, KvCache& cache) {
  state_->check_steps();
  const int64_t rows = static_cast<int64_t>(tokens.size()), filled = cache.size_ + rows;
  if (filled > cache.capacity_) {
    refuse("{}: {} tokens do not fit the cache, which holds {} of {}", state_->model->path(), rows, cache.size_,
           cache.capacity_);
  }
  assert(cache.keys_.size() == state_->graph.blocks.size());
  const KvRun kept{cache.page(filled), 0, filled};
  state_->steps.clear();
  state_->steps.add(rows, cache.size_, filled, {&kept, 1});
  const std::span<const float> hidden = state_->run(tokens, state_->steps);
  cache.size_ = filled;
  return hidden;
}

std::span<const float> Decoder::steps(std::span<const SequenceStep> sequences) {
  state_->check_steps();
  state_->steps.clear();
  state_->step_tokens.clear();
  for (const SequenceStep& sequence : sequences) {
    const auto rows = static_cast<int64_t>(sequence.tokens.size()), length = sequence.position + rows;
    state_->steps.add(rows, sequence.position, length, sequence.runs);
    state_->step_tokens.insert(state_->step_tokens.end(), sequence.tokens.begin(), sequence.tokens.end());
  }
  return state_->run(state_->step_tokens, state_->steps);
}

std::span<const float> Decoder::branches(std::span<const Branch> branches, KvCache& prefix) {
  state_->check_steps();
  std::vector<int64_t> ends;  // position after each branch
  for (const Branch& branch : branches) {
    assert(branch.parent < static_cast<int64_t>(ends.size()));
    const int64_t start = branch.parent < 0 ? prefix.size_ : ends[static_cast<size_t>(branch.parent)];
    ends.push_back(start + static_cast<int64_t>(branch.tokens.size()));
  }
  const int64_t length = ends.empty() ? 0 : *std::max_element(ends.begin(), ends.end());
  Pass pass;
  std::vector<int32_t> tokens;
  std::vector<KvRun> runs;
  for (size_t b = 0; b < branches.size(); ++b) {
    const auto& [of_branch, parent] = branches[b];
    const auto rows = static_cast<int64_t>(of_branch.size());
    runs.clear();
    if (parent >= 0) {
      const auto before = pass.runs(pass.sequences()[static_cast<size_t>(parent)]);
      runs.assign(before.begin(), before.end());
    } else if (prefix.size_ > 0) {
      runs.push_back({prefix.page(prefix.size_), 0, prefix.size_});
    }
    runs.push_back({{}, pass.rows(), rows});
    pass.add(rows, ends[b] - rows, length, runs);
    tokens.insert(tokens.end(), of_branch.begin(), of_branch.end());
  }
  return state_->run(tokens, pass);
}

void Decoder::logits(std::span<const float> hidden, int64_t rows, float* out) const {
  assert(static_cast<int64_t>(hidden.size()) == rows * hidden_width());
  const int64_t vocab = state_->graph.vocab_size;
  const LinearReader head = {&state_->weights.head, out};
  apply_layers({&head, 1}, {hidden.data()}, rows, state_->work.linears, state_->threads);
  const float scale = state_->graph.logit_scale, cap = state_->graph.logit_softcap;
  if (scale == 1.0f && cap <= 0.0f) return;
  for_rows(state_->threads, rows, [&](int64_t row) {
    float* of_row = out + row * vocab;
    for (int64_t i = 0; i < vocab; ++i) of_row[i] *= scale;
    if (cap > 0.0f) soft_cap(cap, of_row, vocab);
  });
}

}  // namespace bitloom
