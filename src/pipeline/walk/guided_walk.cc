#include "pipeline/walk/guided_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "forward/adjoint/block_adjoint.h"
#include "forward/adjoint/head_adjoint.h"
#include "forward/block.h"
#include "observe/statistics_file.h"
#include "pipeline/ranks/rank_work.h"
#include "pipeline/walk/stream/activation_store.h"
#include "pipeline/walk/stream/calibration_stream.h"

namespace bitloom {
namespace {

constexpr const char* kInputs = "inputs";
constexpr const char* kGradients = "gradients";

std::string moments_path(const std::string& directory, int block, const std::string& role) {
  return fmt::format("{}/block-{:04}.layer.{}.safetensors", directory, block, role);
}

/// All chunks of this rank, where in the model they stand, and what the loss wants of them.
class GuidedWalk {
 public:
  GuidedWalk(const WalkTask& task, const std::string& directory, Context& context)
      : task_(task),
        graph_(task.model->graph()),
        directory_(directory),
        context_(context),
        ranks_(*task.options->ranks),
        chunks_(chunks_of_rank(task.chunks, ranks_)),
        outer_(load_outer_weights(*task.model)),
        store_(shape(), task.spill_directory) {
    for (const Rope& rope : graph_.ropes) ropes_.emplace_back(rope);
    for (const SequenceChunk& chunk : task.chunks) {
      for (RopeTable& rope : ropes_) rope.reach(chunk.length);
    }
  }

  void run() {
    const auto steps = static_cast<int64_t>(2 * chunks_.size() * graph_.blocks.size());
    context_.progress.begin("gradients", steps);
    go_forward();
    for (size_t c = 0; c < chunks_.size(); ++c) differentiate_head(c);
    for (int b = static_cast<int>(graph_.blocks.size()) - 1; b >= 0; --b) go_back(b);
    context_.progress.end();
  }

 private:
  int gradient_slot() const { return static_cast<int>(graph_.blocks.size()); }
  ActivationShape shape() const {
    ActivationShape shape;
    for (const SequenceChunk& chunk : chunks_) shape.chunk_rows.push_back(chunk.rows());
    shape.widths.assign(graph_.blocks.size() + 1, graph_.hidden);
    return shape;
  }
  Pass pass_of(size_t chunk) const { return Pass::whole(chunks_[chunk].batch, chunks_[chunk].length); }
  const RopeTable* rope_of(int block) const {
    const int rope = graph_.blocks[static_cast<size_t>(block)].attention.rope;
    return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
  }
  std::vector<float> stream(size_t chunk, int slot) const {
    std::vector<float> values(static_cast<size_t>(chunks_[chunk].rows() * graph_.hidden));
    store_.get(static_cast<int64_t>(chunk), slot, values.data(), graph_.hidden);
    return values;
  }
  void put(size_t chunk, int slot, const float* values) {
    store_.put(static_cast<int64_t>(chunk), slot, values, graph_.hidden);
  }

  void go_forward();
  void differentiate_head(size_t chunk);
  void go_back(int block);
  std::map<std::string, GuidedMoments> wanted(int block) const;
  void check(const std::string& tensor, const GuidedMoments& moments) const;

  const WalkTask& task_;
  const Graph& graph_;
  const std::string& directory_;
  Context& context_;
  Ranks& ranks_;
  const std::vector<SequenceChunk> chunks_;
  const OuterWeights outer_;
  std::vector<RopeTable> ropes_;
  ActivationStore store_;  // slot b: the stream before block b; the last: behind the blocks, then its gradient
};

void GuidedWalk::go_forward() {
  Workspace work;
  for (size_t c = 0; c < chunks_.size(); ++c) {
    work.reserve(graph_, chunks_[c].rows());
    task_.entrance(chunks_[c], pass_of(c), work, context_.threads);
    put(c, 0, work.hidden.data());
  }
  for (int b = 0; b < gradient_slot(); ++b) {
    const BlockWeights weights = load_block_weights(*task_.model, b);
    const BlockRunner block(graph_, b, weights, rope_of(b));
    for (size_t c = 0; c < chunks_.size(); ++c) {
      store_.get(static_cast<int64_t>(c), b, work.hidden.data(), graph_.hidden);
      block.run(pass_of(c), work, context_.threads);
      put(c, b + 1, work.hidden.data());
      context_.progress.advance(1, fmt::format("block {}/{} forward", b + 1, graph_.blocks.size()));
    }
  }
}

void GuidedWalk::differentiate_head(size_t chunk) {
  int64_t first = 0;  // row of the chunk's first among those of all ranks
  for (const SequenceChunk& other : task_.chunks) {
    if (other.first < chunks_[chunk].first) first += other.rows();
  }
  std::vector<float> values = stream(chunk, gradient_slot());
  head_adjoint(graph_, outer_, values.data(), chunks_[chunk].rows(),
               sampled_cross_entropy(task_.options->seed, first, chunks_[chunk].length), GradientSink{},
               context_.threads);
  put(chunk, gradient_slot(), values.data());
}

std::map<std::string, GuidedMoments> GuidedWalk::wanted(int block) const {
  std::map<std::string, GuidedMoments> moments;
  for (const Linear& linear : graph_.blocks[static_cast<size_t>(block)].linears) {
    const Needs needs = gradient_needs(task_, linear.weight);
    if (needs_gradients(needs)) moments.emplace(linear.weight, GuidedMoments(linear.in, linear.out, needs));
  }
  return moments;
}

void GuidedWalk::check(const std::string& tensor, const GuidedMoments& moments) const {
  if (moments.weighted.tokens() == 0 && moments.weighted.dropped_tokens() == 0) return;  // an expert that saw nothing
  const std::vector<double> squares = moments.in().mean_squares();
  const bool any = std::any_of(squares.begin(), squares.end(), [](double square) { return square > 0; });
  if (any && std::all_of(squares.begin(), squares.end(), [](double square) { return std::isfinite(square); })) return;
  fail(ErrorKind::kFailed, "{}: tensor '{}': the gradients of its outputs are {} on all {} calibration tokens",
       task_.model->path(), tensor, any ? "too large" : "0 or not finite",
       moments.weighted.tokens() + moments.weighted.dropped_tokens());
}

void GuidedWalk::go_back(int block) {
  std::map<std::string, GuidedMoments> moments = wanted(block);
  const BlockWeights weights = load_block_weights(*task_.model, block);
  BlockAdjoint adjoint(graph_, block, weights, rope_of(block));
  GradientSink sink;
  sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
    const auto found = moments.find(linear.weight);
    if (found == moments.end()) return;
    found->second.add(x.data(), dy.data(), static_cast<int64_t>(x.size()) / linear.in, context_.threads);
  };
  for (size_t c = 0; c < chunks_.size(); ++c) {
    const Pass pass = pass_of(c);
    std::vector<float> values = stream(c, block), gradient = stream(c, gradient_slot());
    adjoint.run(pass, values.data(), context_.threads);
    adjoint.backward(gradient.data(), sink, context_.threads);
    put(c, gradient_slot(), gradient.data());
    context_.progress.advance(1, fmt::format("block {}/{} backward", block + 1, graph_.blocks.size()));
  }
  for (const Linear& linear : graph_.blocks[static_cast<size_t>(block)].linears) {
    const auto found = moments.find(linear.weight);
    if (found != moments.end()) {
      GuidedMoments& of_layer = found->second;
      sum_over_ranks(of_layer.weighted, ranks_);
      if (of_layer.gradients) sum_over_ranks(*of_layer.gradients, ranks_);
      check(linear.weight, of_layer);
      keep_moments(directory_, block, linear.role, of_layer);
    }
    task_.model->release(linear.weight);
  }
}

}  // namespace

void keep_moments(const std::string& directory, int block, const std::string& role, const GuidedMoments& moments) {
  std::map<std::string, InputStatistics> parts{{kInputs, moments.weighted}};
  if (moments.gradients) parts.emplace(kGradients, *moments.gradients);
  write_statistics(moments_path(directory, block, role), parts, {});
}

GuidedMoments load_moments(const std::string& directory, int block, const Linear& linear, const Needs& needs) {
  const std::string path = moments_path(directory, block, linear.role);
  if (!std::filesystem::exists(path)) refuse("{}: missing; the run that kept these statistics did not need it", path);
  StatisticsFile file = read_statistics(path);
  GuidedMoments moments(linear.in, linear.out, needs);
  const auto take = [&](const char* name, int64_t channels, InputStatistics& to) {
    const auto found = file.inputs.find(name);
    if (found == file.inputs.end() || !found->second.moment) {
      refuse("{}: without the second moment of '{}', which this recipe needs; keep statistics of it", path, name);
    }
    if (found->second.channels() != channels) {
      refuse("{}: '{}' has {} channels, the model has {}", path, name, found->second.channels(), channels);
    }
    to = std::move(found->second);
  };
  take(kInputs, linear.in, moments.weighted);
  if (moments.gradients) take(kGradients, linear.out, *moments.gradients);
  return moments;
}

Needs gradient_needs(const WalkTask& task, const std::string& tensor) {
  const auto step = task.steps.find(tensor);
  if (step == task.steps.end()) return {};
  const Needs needs = needs_of(step->second.rounding);
  return {.guided_moment = needs.guided_moment, .output_moment = needs.output_moment};
}

bool needs_gradients(const WalkTask& task) {
  return std::any_of(task.steps.begin(), task.steps.end(),
                     [](const auto& step) { return needs_gradients(needs_of(step.second.rounding)); });
}

void gather_moments(const WalkTask& task, const std::string& directory, Context& context) {
  GuidedWalk(task, directory, context).run();
}

}  // namespace bitloom
