#include "pipeline/walk/block_walk.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "pipeline/ranks/rank_work.h"
#include "pipeline/rounding/matrix_rounder.h"
#include "pipeline/walk/block/block_lesson.h"
#include "pipeline/walk/block/block_reassembly.h"
#include "pipeline/walk/block/block_scaling.h"
#include "pipeline/walk/block/block_state.h"
#include "pipeline/walk/guided_walk.h"
#include "pipeline/walk/input_format.h"
#include "pipeline/walk/kept_statistics.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "pipeline/walk/walk_needs.h"
#include "transform/bias_correction.h"

namespace bitloom {
namespace {

/// How a matrix is rounded: as the recipe says, but for experts that saw too little.
struct Taken {
  RecipeStep step;
  bool as_uncorrelated = false;  // by uncorrelated_inputs() instead of what was seen
};

/// Second moment 1, of channels that nothing is known of.
InputStatistics uncorrelated_inputs(int64_t channels) {
  std::vector<float> one(static_cast<size_t>(channels * channels));
  for (int64_t c = 0; c < channels; ++c) one[static_cast<size_t>(c * (channels + 1))] = 1;
  InputStatistics statistics(channels);
  statistics.moment = SecondMoment::from_mean(channels, 1, one);
  return statistics;
}

/// What is recorded of a matrix that was rounded for uncorrelated inputs: errors of its outputs are not known.
void count_seen(const InputStatistics& statistics, SiteRecord& record) {
  record.output_error.reset(), record.predicted_kl.reset();
  record.tokens = statistics.tokens();
  record.dropped_tokens = statistics.dropped_tokens();
  record.dead_channels = statistics.dead_channels();
}

class Walk {
 public:
  Walk(const WalkTask& task, SharedJournal& journal, Context& context)
      : task_(task),
        options_(*task.options),
        graph_(task.model->graph()),
        journal_(journal),
        context_(context),
        ranks_(*options_.ranks),
        chunks_(chunks_of_rank(task.chunks, ranks_)) {
    for (const Rope& rope : graph_.ropes) ropes_.emplace_back(rope);
    int64_t tokens = 0;
    for (const SequenceChunk& chunk : task.chunks) {
      if (!chunks_.empty() && chunk.first >= chunks_.front().first) first_tokens_.push_back(tokens);
      tokens += chunk.rows();
    }
    if (task.chunks.empty()) return;  // kept statistics are used
    for (const SequenceChunk& chunk : task.chunks) {
      for (RopeTable& rope : ropes_) rope.reach(chunk.length);
    }
    const bool from_float_only = options_.order == WalkOrder::kNone;
    if (from_float_only || needs_float_stream(task)) make_stream(float_);
    if (!from_float_only) make_stream(quantized_);
    if (task.tuner != nullptr) lessons_.emplace(task, chunks_);
  }

  WalkTimes run() {
    const auto blocks = static_cast<int>(graph_.blocks.size());
    context_.progress.begin("quantizing", units(task_.cost.seconds_after(journal_.finished(), options_.order)));
    for (int b = 0; b < blocks; ++b) run_block(b);
    context_.progress.end();
    for (const SequenceChunk& chunk : task_.chunks) times_.tokens += chunk.rows();
    return times_;
  }

 private:
  void make_stream(std::optional<CalibrationStream>& stream) {
    stream.emplace(graph_, chunks_, options_.precision, task_.spill_directory, context_.threads);
    stream->enter(task_.entrance);
  }

  const RopeTable* rope_of(int block) const {
    const int rope = graph_.blocks[static_cast<size_t>(block)].attention.rope;
    return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
  }

  /// Rows of a chunk, which has `rows`, that are of the first half of the sequences: all or none, but of a chunk alone
  /// those of half of its own.
  int64_t half_rows(int64_t chunk, int64_t rows) const {
    const SequenceChunk& of = chunks_[static_cast<size_t>(chunk)];
    if (task_.chunks.size() == 1) return std::min(rows, of.batch / 2 * of.length);
    return of.first < task_.chunks[task_.chunks.size() / 2].first ? rows : 0;
  }

  /// Progress counts expected microseconds.
  static int64_t units(double seconds) { return static_cast<int64_t>(seconds * 1e6); }

  /// Work that was expected to take `seconds` is done.
  void advance_progress(int block, double seconds, const std::string& where) {
    context_.progress.advance(units(seconds), fmt::format("block {}/{} {}", block + 1, graph_.blocks.size(), where));
  }
  /// Seconds that each chunk is expected to take.
  double per_chunk(double seconds) const { return seconds / static_cast<double>(std::max<size_t>(chunks_.size(), 1)); }
  const BlockCost& cost_of(int block) const { return task_.cost.blocks[static_cast<size_t>(block)]; }

  using Statistics = std::map<int, InputStatistics>;

  void run_block(int block);
  bool gathers(const BlockState& state) const;
  void scale(BlockState& state);
  void move(BlockState& state);
  void gather(BlockState& state, int first, Statistics& statistics);
  void look_at(BlockState& state, Statistics& statistics, double seconds);
  void add(const Reassembly& reassembly, std::span<const float> f, std::span<const float> x, int64_t chunk,
           InputStatistics& statistics);
  void sum(InputStatistics& statistics);
  int64_t width_of(int block, int input) const { return input_at(graph_, block, input).width; }
  Statistics wanted_of_block(int block) const;
  void round_sites(BlockState& state, int input, const InputStatistics* statistics);
  void correct_bias(BlockState& state, const Site& site, const RowSource& before, const InputStatistics& statistics);
  std::span<const float> reach(std::optional<CalibrationStream>& stream, int64_t chunk, const BlockRunner& runner,
                               int input);
  void keep_lesson(const BlockState& state);
  void tune(BlockState& state);
  void leave(BlockState& state);
  void leave(std::optional<CalibrationStream>& stream, int64_t chunk, const BlockRunner& runner) const;
  static Taken step_for(BlockState& state, const Site& site, const RecipeStep& step, const InputStatistics* statistics);
  std::optional<GuidedMoments> moments_for(const BlockState& state, const Site& site, const RecipeStep& step) const;
  double weights_to_round(int block, int input) const;
  void check_squares(const BlockState& state, int input, const InputStatistics& statistics) const;
  void check_seen(BlockState& state, int input, const InputStatistics& statistics) const;
  bool corrects_bias(const std::string& tensor) const;

  const WalkTask& task_;
  const QuantizeOptions& options_;
  const Graph& graph_;
  SharedJournal& journal_;
  Context& context_;
  Ranks& ranks_;
  const std::vector<SequenceChunk> chunks_;  // of this rank
  std::vector<int64_t> first_tokens_;        // the number of each chunk's first token, of those of all ranks
  std::vector<RopeTable> ropes_;
  std::optional<CalibrationStream> quantized_, float_;
  std::optional<LessonKeeper> lessons_;     // where blocks are tuned
  std::vector<float> moved_, moved_float_;  // rows of an input whose channels are moved
  WalkTimes times_;
};

void Walk::run_block(int block) {
  BlockState state(task_.model, graph_, block, rope_of(block), task_.activations, task_.operands, context_.threads);
  if (block < journal_.finished()) state.resume(journal_.load(block));
  scale(state);
  move(state);
  if (lessons_) keep_lesson(state);
  Statistics statistics;
  const bool at_once = options_.order == WalkOrder::kBlock && options_.statistics_in.empty();
  if (at_once && gathers(state)) {
    statistics = wanted_of_block(block);
    double seconds = 0;
    for (const auto& [input, of_input] : cost_of(block).gather) seconds += of_input;
    look_at(state, statistics, seconds);
  }
  for (int input = 0; input < input_count(graph_, block); ++input) {
    if (!at_once && state.runner.begins_step(input)) gather(state, input, statistics);
    const auto of_input = statistics.find(input);
    const bool known = of_input != statistics.end();
    if (known && !options_.statistics_out.empty() && ranks_.leads()) {
      keep_statistics(options_.statistics_out, block, input_at(graph_, block, input).name, of_input->second);
    }
    const InputStatistics* of_data = known ? &of_input->second : nullptr;
    state.fix_range(input, [&](const ActivationFormat& rule) {
      const auto importance = [&](const Site& site, const RecipeStep& step) {
        const std::optional<GuidedMoments> moments = moments_for(state, site, step);
        return moments && moments->gradients ? moments->out().mean_squares() : std::vector<double>();
      };
      const ScopedTimer timed(times_.rounding);
      return find_input_format(rule, task_, state, input, of_input->second, importance, context_.threads);
    });
    round_sites(state, input, of_data);
    statistics.erase(input);
  }
  if (lessons_) tune(state);
  leave(state);
  if (!state.finished) journal_.store(block, state.outcome);
  for (const Site& site : linear_sites(graph_, block)) task_.model->release(site.linear->weight);
}

/// Of a finished block statistics are only kept.
bool Walk::gathers(const BlockState& state) const { return !state.finished || !options_.statistics_out.empty(); }

/// Channel scales for the block's inputs. Of a block that is finished they matter to the float stream only, and there
/// to the last bit, so they are found again.
void Walk::scale(BlockState& state) {
  Statistics statistics;
  for (int input = 0; input < input_count(graph_, state.index); ++input) {
    const Needs needs = needs_of_input(task_, state.index, input).scaling;
    if (needs.any()) statistics.emplace(input, InputStatistics(width_of(state.index, input), needs));
  }
  if (statistics.empty()) return;
  TensorEdits edits;
  if (!state.finished || float_) {
    look_at(state, statistics, cost_of(state.index).scale);
    const ScopedTimer timed(times_.scaling);
    edits = scale_block(task_.model, state.index, task_.transforms, task_.steps, statistics, context_.threads);
  } else {
    edits = state.finished_rewrites();
    advance_progress(state.index, cost_of(state.index).scale, "scales");
  }
  for (const auto& [name, rows] : edits.tensors) {
    if (!state.finished && !task_.steps.contains(name)) state.outcome.rewritten[name] = rows->decode_all();
  }
  state.rewrite(Checkpoint::edited(task_.model, edits), context_.threads);
}

/// Which channels of the block's inputs are split and merged.
void Walk::move(BlockState& state) {
  Statistics statistics;
  for (int input = 0; input < input_count(graph_, state.index); ++input) {
    const Needs needs = needs_of_input(task_, state.index, input).moving;
    if (needs.any()) statistics.emplace(input, InputStatistics(width_of(state.index, input), needs));
  }
  if (statistics.empty()) return;
  if (state.finished) return state.move_channels({}, context_.threads);
  const double seconds = cost_of(state.index).move / 2;  // of looking at the inputs, and of the search
  look_at(state, statistics, seconds);
  const ScopedTimer timed(times_.scaling);
  const double of_input = seconds / static_cast<double>(statistics.size());
  const auto advance = [&](int input) {
    advance_progress(state.index, of_input, input_at(graph_, state.index, input).name);
  };
  state.move_channels(reassembled_inputs(task_, state, statistics, advance, context_.threads), context_.threads);
  for (const Site& site : linear_sites(graph_, state.index)) {
    const auto format = state.outcome.activations.find(site.input);
    const bool moved = format != state.outcome.activations.end() && !format->second.moves.empty();
    if (!moved || task_.steps.contains(site.linear->weight)) continue;
    const RowSource& weight = *state.current.linears[static_cast<size_t>(site.linear_index)].weight;
    state.outcome.rewritten[site.linear->weight] = weight.decode_all();
  }
}

/// Brings every sequence to the inputs of the step that `first` begins, and gathers what is wanted of them on the way.
void Walk::gather(BlockState& state, int first, Statistics& statistics) {
  const bool kept = !options_.statistics_in.empty();
  int end = first;
  do {
    const Input& at = input_at(graph_, state.index, end);
    const Needs needs = needs_of_input(task_, state.index, end).rounding;
    if (!needs.any() || !gathers(state)) continue;
    statistics.emplace(end, kept ? load_statistics(options_.statistics_in, state.index, at.name, at.width, needs)
                                 : InputStatistics(at.width, needs));
  } while (++end < input_count(graph_, state.index) && !state.runner.begins_step(end));
  for (int64_t c = 0; c < static_cast<int64_t>(chunks_.size()); ++c) {
    for (int input = first; input < end; ++input) {
      const std::span<const float> f = reach(float_, c, state.float_runner, input);
      const std::span<const float> x = quantized_ ? reach(quantized_, c, state.runner, input) : f;
      if (const auto found = statistics.find(input); found != statistics.end()) {
        add(state.reassembly(input), f, x, c, found->second);
      }
      advance_progress(state.index, per_chunk(cost_of(state.index).gather.at(input)),
                       input_at(graph_, state.index, input).name);
    }
  }
  for (auto& [input, of_input] : statistics) {
    if (!kept) sum(of_input);
    check_seen(state, input, of_input);
  }
}

std::span<const float> Walk::reach(std::optional<CalibrationStream>& stream, int64_t chunk, const BlockRunner& runner,
                                   int input) {
  const ScopedTimer timed(times_.forward);
  return stream ? stream->reach(chunk, runner, input) : std::span<const float>();
}

std::span<const float> moved_rows(const Reassembly& reassembly, std::span<const float> x, int64_t channels,
                                  std::vector<float>& moved) {
  if (reassembly.empty() || x.empty()) return x;
  moved.assign(x.begin(), x.end());
  for (size_t begin = 0; begin < moved.size(); begin += static_cast<size_t>(channels)) {
    reassembly.move_values(moved.data() + begin);
  }
  return moved;
}

/// x: what the sites read of a chunk, before channels are moved; f: what they would read in the float model, where that
/// is asked for. An expert's rows, no more than the chunk's, are numbered as they come.
void Walk::add(const Reassembly& reassembly, std::span<const float> f, std::span<const float> x, int64_t chunk,
               InputStatistics& statistics) {
  if (x.empty()) return;
  const ScopedTimer timed(times_.statistics);
  x = moved_rows(reassembly, x, statistics.channels(), moved_);
  if (statistics.cross) f = moved_rows(reassembly, f, statistics.channels(), moved_float_);
  const int64_t rows = static_cast<int64_t>(x.size()) / statistics.channels();
  statistics.add(f.data(), x.data(), rows, context_.threads, first_tokens_[static_cast<size_t>(chunk)],
                 half_rows(chunk, rows));
}

/// Over the tokens of all ranks.
void Walk::sum(InputStatistics& statistics) {
  const ScopedTimer timed(times_.statistics);
  sum_over_ranks(statistics, ranks_);
}

/// Empty statistics for every input of the block of which something is wanted.
Walk::Statistics Walk::wanted_of_block(int block) const {
  Statistics statistics;
  for (int input = 0; input < input_count(graph_, block); ++input) {
    const Needs needs = needs_of_input(task_, block, input).rounding;
    if (needs.any()) statistics.emplace(input, InputStatistics(width_of(block, input), needs));
  }
  return statistics;
}

/// Fills statistics of several inputs in one pass through the block as it is now, expected to take `seconds`; the
/// sequences stay at its entrance.
void Walk::look_at(BlockState& state, Statistics& statistics, double seconds) {
  CalibrationStream& seen = quantized_ ? *quantized_ : *float_;
  const BlockRunner& runner = quantized_ ? state.runner : state.float_runner;
  std::map<int, std::vector<float>> wanted;
  for (int64_t c = 0; c < seen.chunks(); ++c) {
    if (float_ && quantized_) {
      float_->look_through(c, state.float_runner, [&](int input, std::span<const float> f) {
        const auto found = statistics.find(input);
        if (found != statistics.end() && found->second.cross) wanted[input].assign(f.begin(), f.end());
      });
    }
    seen.look_through(c, runner, [&](int input, std::span<const float> x) {
      const auto found = statistics.find(input);
      if (found != statistics.end()) add(state.reassembly(input), wanted[input], x, c, found->second);
    });
    advance_progress(state.index, per_chunk(seconds), "inputs");
  }
  for (auto& [input, of_input] : statistics) {
    sum(of_input);
    check_seen(state, input, of_input);
  }
}

/// Rounds the input's sites, or takes them from the journal, and exchanges their weights.
void Walk::round_sites(BlockState& state, int input, const InputStatistics* statistics) {
  const ScopedTimer timed(times_.rounding);
  const auto input_rounder = state.rounders.find(input);
  std::optional<ActivationFormat> format;  // of what the statistics are of: channels are moved already
  if (input_rounder != state.rounders.end()) {
    format = input_rounder->second.format();
    format->moves.clear(), format->staggered = false;
  }
  const ActivationFormat* input_format = format ? &*format : nullptr;
  MatrixRounder rounder(statistics, ranks_, context_.threads, input_format);
  std::optional<InputStatistics> uncorrelated;  // once one needs them
  std::optional<MatrixRounder> without_data;
  const double weights_of_input = weights_to_round(state.index, input);
  for (const Site& site : linear_sites(graph_, state.index)) {
    const std::string& name = site.linear->weight;
    const auto step = task_.steps.find(name);
    if (site.input != input || step == task_.steps.end()) continue;
    LinearWeights& weights = state.current.linears[static_cast<size_t>(site.linear_index)];
    if (state.finished) {
      state.take_finished(site);
      continue;
    }
    SiteRecord record;
    record.name = name;
    const std::string place = fmt::format("{}: tensor '{}'", task_.model->path(), name);
    const RowSourcePtr before = weights.weight;
    const Taken taken = step_for(state, site, step->second, statistics);
    const std::optional<GuidedMoments> moments = moments_for(state, site, taken.step);
    const double seconds = cost_of(state.index).round.at(input) *
                           static_cast<double>(site.linear->out * site.linear->in) / weights_of_input;
    double done = 0;
    const auto advance = [&](double share) {
      done += share;
      advance_progress(state.index, seconds * share, name);
    };
    if (taken.as_uncorrelated && !without_data) {
      uncorrelated = uncorrelated_inputs(site.reads->width);
      without_data.emplace(&*uncorrelated, ranks_, context_.threads, input_format);
    }
    const Rounded rounded = (taken.as_uncorrelated ? *without_data : rounder)
                                .round(place, *before, taken.step, record, moments ? &*moments : nullptr, advance);
    if (taken.as_uncorrelated) count_seen(*statistics, record);
    if (lessons_ && task_.tuning.correction > 0) state.before[name] = before;
    weights.weight = state.outcome.quantized[name] = rounded.matrix;
    for (const std::string& remark : rounded.report.remarks) {
      state.outcome.remarks.push_back(fmt::format("'{}': {}", name, remark));
    }
    state.outcome.sites.push_back(std::move(record));
    if (corrects_bias(name)) correct_bias(state, site, *before, *statistics);
    if (!float_) task_.model->release(name);
    advance(std::max(0.0, 1 - done));
  }
}

/// Of fewer tokens than channels the second moment is singular: the error that data would move lies where they say
/// nothing. An expert that saw so few is rounded without them: by another method, or, where none chooses such codes, as
/// if its inputs were uncorrelated.
Taken Walk::step_for(BlockState& state, const Site& site, const RecipeStep& step, const InputStatistics* statistics) {
  const Needs needs = needs_of(step.rounding);
  const bool by_moments = needs.second_moment || needs.guided_moment;
  if (site.reads->expert < 0 || statistics == nullptr || !by_moments) return {step};
  const int64_t tokens = statistics->tokens();
  if (tokens >= site.reads->width) return {step};
  Taken taken{step};
  std::string how;
  if (std::optional<Rounding> without = find_rounding_without_data(step.quantize->storage)) {
    how = fmt::format("{} instead of {}", to_short(*without), to_short(step.rounding));
    taken.step.rounding = std::move(*without);
  } else {
    how = fmt::format("{} as if its inputs were uncorrelated and of one size", to_short(step.rounding));
    taken.as_uncorrelated = true;
  }
  state.outcome.remarks.push_back(
      fmt::format("'{}': rounded by {}: its expert saw {} calibration tokens, fewer than its {} channels",
                  site.linear->weight, how, tokens, site.reads->width));
  return taken;
}

std::optional<GuidedMoments> Walk::moments_for(const BlockState& state, const Site& site,
                                               const RecipeStep& step) const {
  const Needs needs = needs_of(step.rounding);
  if (!bitloom::needs_gradients(needs)) return std::nullopt;
  return load_moments(task_.moments, state.index, *site.linear, needs);
}

double Walk::weights_to_round(int block, int input) const {
  double weights = 0;
  for (const Site& site : linear_sites(graph_, block)) {
    if (site.input != input || !task_.steps.contains(site.linear->weight)) continue;
    weights += static_cast<double>(site.linear->out * site.linear->in);
  }
  return weights;
}

void Walk::check_squares(const BlockState& state, int input, const InputStatistics& statistics) const {
  for (const double square : statistics.moment->mean_squares()) {
    if (std::isfinite(square)) continue;
    const std::vector<float> absmax = statistics.range.absmax();
    fail(ErrorKind::kFailed, "{}: block {}, {}: activations are as large as {:.3g}, and their squares overflow",
         task_.model->path(), state.index, input_at(graph_, state.index, input).name,
         *std::max_element(absmax.begin(), absmax.end()));
  }
}

/// Nothing can be learned from tokens that a layer never sees; some that it does not see are worth a remark.
void Walk::check_seen(BlockState& state, int input, const InputStatistics& statistics) const {
  const int64_t seen = statistics.tokens(), dropped = statistics.dropped_tokens();
  if (seen == 0 && (dropped > 0 || input_at(graph_, state.index, input).expert < 0)) {
    fail(ErrorKind::kFailed, "{}: block {}, {}: all {} calibration tokens have activations that are not finite",
         task_.model->path(), state.index, input_at(graph_, state.index, input).name, dropped);
  }
  if (statistics.moment) check_squares(state, input, statistics);
  if (dropped == 0 || state.finished) return;
  std::string remark = fmt::format(
      "block {}, {}: {} of {} calibration tokens have activations that are not finite and "
      "are left out",
      state.index, input_at(graph_, state.index, input).name, dropped, seen + dropped);
  std::vector<std::string>& remarks = state.outcome.remarks;
  if (std::find(remarks.begin(), remarks.end(), remark) == remarks.end()) remarks.push_back(std::move(remark));
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
  LinearWeights& weights = state.current.linears[static_cast<size_t>(site.linear_index)];
  if (weights.bias.empty()) return;  // said before the walk: see remarks_on_recipe
  weights.bias = corrected_bias(before, *weights.weight, statistics.range.mean(), weights.bias, context_.threads);
  state.outcome.rewritten[site.linear->bias] = weights.bias;
}

void Walk::keep_lesson(const BlockState& state) {
  const ScopedTimer timed(times_.forward);
  CalibrationStream& read = quantized_ ? *quantized_ : *float_;
  lessons_->keep(state, read, tunes_to_model(task_) ? *float_ : read, context_.threads);
}

void Walk::tune(BlockState& state) {
  const ScopedTimer timed(times_.tuning);
  lessons_->tune(
      state, [&](double share) { advance_progress(state.index, cost_of(state.index).tune * share, "tuning"); },
      context_);
  if (quantized_) lessons_->return_to_entrance(*quantized_);
}

/// Brings every sequence to the next block.
void Walk::leave(BlockState& state) {
  for (int64_t c = 0; c < static_cast<int64_t>(chunks_.size()); ++c) {
    const ScopedTimer timed(times_.forward);
    leave(float_, c, state.float_runner);
    if (lessons_ && quantized_) {
      quantized_->pass_through(c, state.runner);
    } else {
      leave(quantized_, c, state.runner);
    }
    advance_progress(state.index, per_chunk(cost_of(state.index).leave), "output");
  }
}

void Walk::leave(std::optional<CalibrationStream>& stream, int64_t chunk, const BlockRunner& runner) const {
  if (!stream) return;
  const bool whole = options_.order == WalkOrder::kBlock;
  whole ? stream->pass_through(chunk, runner) : stream->finish(chunk, runner);
}

}  // namespace

WalkTimes walk_blocks(const WalkTask& task, SharedJournal& journal, Context& context) {
  return Walk(task, journal, context).run();
}

}  // namespace bitloom
