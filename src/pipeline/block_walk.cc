#include "pipeline/block_walk.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "pipeline/block_scaling.h"
#include "pipeline/calibration_stream.h"
#include "pipeline/matrix_rounder.h"
#include "pipeline/walk_needs.h"
#include "transform/bias_correction.h"
#include "transform/scaled_rows.h"

namespace bitloom {
namespace {

class Walk {
 public:
  Walk(const WalkTask& task, Journal& journal, Context& context)
      : task_(task),
        options_(*task.options),
        graph_(task.model->graph()),
        journal_(journal),
        context_(context),
        chunks_(make_chunks(options_.data->sequences)) {
    for (const Rope& rope : graph_.ropes) ropes_.emplace_back(rope);
    for (const SequenceChunk& chunk : chunks_) {
      for (RopeTable& rope : ropes_) rope.reach(chunk.length);
    }
    const bool from_float_only = options_.order == WalkOrder::kNone;
    if (from_float_only || needs_float_stream(task)) make_stream(float_);
    if (!from_float_only) make_stream(quantized_);
  }

  WalkTimes run() {
    const auto blocks = static_cast<int>(graph_.blocks.size());
    context_.progress.begin("quantizing", blocks);
    for (int b = 0; b < blocks; ++b) {
      run_block(b);
      context_.progress.advance(1, fmt::format("block {} of {}", b + 1, blocks));
    }
    context_.progress.end();
    for (const SequenceChunk& chunk : chunks_) times_.tokens += chunk.rows();
    return times_;
  }

 private:
  struct BlockState;  // one block's weights and how to run them

  void make_stream(std::optional<CalibrationStream>& stream) {
    stream.emplace(graph_, chunks_, options_.precision, task_.spill_directory, context_.threads);
    stream->embed(*task_.model);
  }

  const RopeTable* rope_of(int block) const {
    const int rope = graph_.blocks[static_cast<size_t>(block)].attention.rope;
    return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
  }

  using Statistics = std::map<SiteInput, InputStatistics>;

  void run_block(int block);
  void scale(BlockState& state);
  void gather(BlockState& state, SiteInput input, Statistics& statistics);
  void look_at(BlockState& state, Statistics& statistics);
  void add(std::span<const float> x, int64_t rows, InputStatistics& statistics);
  Statistics wanted_of_block(int block) const;
  void round_sites(BlockState& state, SiteInput input, const InputStatistics* statistics);
  void correct_bias(BlockState& state, const Site& site, const RowSource& before, const InputStatistics& statistics);
  void advance(BlockState& state, SiteInput input);
  void leave(BlockState& state);
  bool corrects_bias(const std::string& tensor) const;

  const WalkTask& task_;
  const QuantizeOptions& options_;
  const Graph& graph_;
  Journal& journal_;
  Context& context_;
  const std::vector<SequenceChunk> chunks_;
  std::vector<RopeTable> ropes_;
  std::optional<CalibrationStream> quantized_, float_;
  WalkTimes times_;
};

struct Walk::BlockState {
  BlockState(const Walk& walk, int b)
      : index(b),
        model(walk.task_.model),
        original(load_block_weights(*model, b)),
        current(original),
        float_runner(walk.graph_, b, original, walk.rope_of(b)),
        runner(walk.graph_, b, current, walk.rope_of(b)) {}

  /// Other weights that compute the same.
  void rewrite(std::shared_ptr<const Checkpoint> rewritten) {
    model = std::move(rewritten);
    original = load_block_weights(*model, index);
    current = original;
  }

  int index;
  std::shared_ptr<const Checkpoint> model;
  BlockWeights original, current;
  BlockRunner float_runner, runner;
  BlockOutcome outcome;
  bool finished = false;
};

void Walk::run_block(int block) {
  BlockState state(*this, block);
  state.finished = block < journal_.finished();
  if (state.finished) state.outcome = journal_.load(block);
  scale(state);
  Statistics statistics;
  if (!state.finished && options_.order == WalkOrder::kBlock) {
    statistics = wanted_of_block(block);
    look_at(state, statistics);
  }
  for (const SiteInput input : kSiteInputs) {
    if (options_.order != WalkOrder::kBlock) gather(state, input, statistics);
    const auto of_input = statistics.find(input);
    round_sites(state, input, of_input == statistics.end() ? nullptr : &of_input->second);
    statistics.erase(input);
  }
  leave(state);
  if (!state.finished) journal_.store(block, state.outcome);
  for (const Site& site : linear_sites(graph_, block)) task_.model->release(site.linear->weight);
}

/// Channel scales for the block's inputs. Of a block that is finished they matter to the float stream only, and there
/// to the last bit, so they are found again.
void Walk::scale(BlockState& state) {
  Statistics statistics;
  for (const SiteInput input : kSiteInputs) {
    if (needs_of_input(task_, state.index, input).scales)
      statistics.emplace(input, InputStatistics(width_of_input(graph_, state.index, input)));
  }
  if (statistics.empty()) return;
  TensorEdits edits;
  if (!state.finished || float_) {
    look_at(state, statistics);
    edits = scale_block(task_.model, state.index, task_.transforms, task_.steps, statistics, context_.threads);
  } else {
    for (const auto& [name, values] : state.outcome.rewritten) {
      const CheckpointTensor& as = task_.model->tensor(name);
      edits.tensors[name] = dense_matrix(as.rows->rows(), as.rows->cols(), values);
    }
  }
  for (const auto& [name, rows] : edits.tensors) {
    if (!state.finished && !task_.steps.contains(name)) state.outcome.rewritten[name] = rows->decode_all();
  }
  state.rewrite(Checkpoint::edited(task_.model, std::move(edits)));
}

/// Brings every sequence to the input without looking.
void Walk::advance(BlockState& state, SiteInput input) {
  if (options_.order == WalkOrder::kBlock) return;  // leave() passes through the whole block
  if (quantized_) {
    for (int64_t c = 0; c < quantized_->chunks(); ++c) quantized_->reach(c, state.runner, input);
  }
  if (float_) {
    for (int64_t c = 0; c < float_->chunks(); ++c) float_->reach(c, state.float_runner, input);
  }
}

/// Brings every sequence to the input, and gathers what is wanted of it on the way.
void Walk::gather(BlockState& state, SiteInput input, Statistics& statistics) {
  const InputNeeds needs = needs_of_input(task_, state.index, input);
  if (state.finished || !needs.statistics) return advance(state, input);
  const int64_t width = width_of_input(graph_, state.index, input);
  InputStatistics& of_input = statistics.emplace(input, InputStatistics(width)).first->second;
  if (needs.cross) of_input.cross.emplace(width);
  CalibrationStream& seen = quantized_ ? *quantized_ : *float_;
  const BlockRunner& runner = quantized_ ? state.runner : state.float_runner;
  for (int64_t c = 0; c < seen.chunks(); ++c) {
    const std::span<const float> x = seen.reach(c, runner, input);
    add(x, seen.rows(c), of_input);
    if (!float_ || !quantized_) continue;
    const std::span<const float> f = float_->reach(c, state.float_runner, input);
    if (of_input.cross) of_input.cross->add(f.data(), x.data(), seen.rows(c), width, context_.threads);
  }
}

void Walk::add(std::span<const float> x, int64_t rows, InputStatistics& statistics) {
  const int64_t width = statistics.moment.channels();
  statistics.moment.add(x.data(), rows, width, context_.threads);
  statistics.range.add(x.data(), rows, width, context_.threads);
}

/// Empty statistics for every input of the block of which something is wanted.
Walk::Statistics Walk::wanted_of_block(int block) const {
  Statistics statistics;
  for (const SiteInput input : kSiteInputs) {
    const InputNeeds needs = needs_of_input(task_, block, input);
    if (!needs.statistics) continue;
    const int64_t width = width_of_input(graph_, block, input);
    InputStatistics& of_input = statistics.emplace(input, InputStatistics(width)).first->second;
    if (needs.cross) of_input.cross.emplace(width);
  }
  return statistics;
}

/// Fills statistics of several inputs in one pass through the block as it is now; the sequences stay at its entrance.
void Walk::look_at(BlockState& state, Statistics& statistics) {
  CalibrationStream& seen = quantized_ ? *quantized_ : *float_;
  std::map<SiteInput, std::vector<float>> wanted;
  for (int64_t c = 0; c < seen.chunks(); ++c) {
    if (float_ && quantized_) {
      float_->look_through(c, state.float_runner, [&](SiteInput input, std::span<const float> f) {
        const auto found = statistics.find(input);
        if (found != statistics.end() && found->second.cross) wanted[input].assign(f.begin(), f.end());
      });
    }
    seen.look_through(c, state.runner, [&](SiteInput input, std::span<const float> x) {
      const auto found = statistics.find(input);
      if (found == statistics.end()) return;
      add(x, seen.rows(c), found->second);
      if (!found->second.cross) return;
      found->second.cross->add(wanted[input].data(), x.data(), seen.rows(c), found->second.moment.channels(),
                               context_.threads);
    });
  }
}

/// Rounds the input's sites, or takes them from the journal, and exchanges their weights.
void Walk::round_sites(BlockState& state, SiteInput input, const InputStatistics* statistics) {
  const Block& block = graph_.blocks[static_cast<size_t>(state.index)];
  MatrixRounder rounder(statistics, context_.threads);
  for (const Site& site : linear_sites(graph_, state.index)) {
    const std::string& name = site.linear->weight;
    const auto step = task_.steps.find(name);
    if (site.input != input || step == task_.steps.end()) continue;
    LinearWeights& weights = weights_of(block, *site.linear, state.current);
    if (state.finished) {
      weights.weight = state.outcome.quantized.at(name);
      const auto bias = state.outcome.rewritten.find(site.linear->bias);
      if (bias != state.outcome.rewritten.end()) weights.bias = bias->second;
      continue;
    }
    SiteRecord record;
    record.name = name;
    record.rounding = to_short(step->second.rounding);
    const std::string place = fmt::format("{}: tensor '{}'", task_.model->path(), name);
    const RowSourcePtr before = weights.weight;
    weights.weight = state.outcome.quantized[name] = rounder.round(place, *before, step->second, record);
    state.outcome.sites.push_back(std::move(record));
    if (corrects_bias(name)) correct_bias(state, site, *before, *statistics);
    if (!float_) task_.model->release(name);
  }
}

bool Walk::corrects_bias(const std::string& tensor) const {
  for (const TransformSites& sites : task_.transforms) {
    const bool corrects = std::holds_alternative<BiasCorrectionTransform>(sites.transform);
    if (corrects && sites.tensors.contains(tensor)) return true;
  }
  return false;
}

void Walk::correct_bias(BlockState& state, const Site& site, const RowSource& before,
                        const InputStatistics& statistics) {
  const Block& block = graph_.blocks[static_cast<size_t>(state.index)];
  LinearWeights& weights = weights_of(block, *site.linear, state.current);
  if (weights.bias.empty()) return;  // recipes for such models are refused unless some layer has a bias
  weights.bias = corrected_bias(weights.bias, before, *weights.weight, statistics.range.mean(), context_.threads);
  state.outcome.rewritten[site.linear->bias] = weights.bias;
}

/// Brings every sequence to the next block.
void Walk::leave(BlockState& state) {
  const bool whole = options_.order == WalkOrder::kBlock;
  for (int64_t c = 0; quantized_ && c < quantized_->chunks(); ++c) {
    whole ? quantized_->pass_through(c, state.runner) : quantized_->finish(c, state.runner);
  }
  for (int64_t c = 0; float_ && c < float_->chunks(); ++c) {
    whole ? float_->pass_through(c, state.float_runner) : float_->finish(c, state.float_runner);
  }
}

}  // namespace

WalkTimes walk_blocks(const WalkTask& task, Journal& journal, Context& context) {
  return Walk(task, journal, context).run();
}

}  // namespace bitloom
