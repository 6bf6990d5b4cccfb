#include "pipeline/cost/cost_model.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>

#include "base/clock.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "linalg/gemm.h"
#include "pipeline/walk/guided_walk.h"
#include "pipeline/walk/walk_needs.h"
#include "round/fpq/fpq.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"
#include "transform/reassembly/reassemble.h"

namespace bitloom {
namespace {

template <typename Body>
double seconds_of(const Body& body) {
  body();                                                 // buffers are allocated, code is paged in
  double best = std::numeric_limits<double>::infinity();  // what other programs take is not the machine's rate
  for (int turn = 0; turn < 3; ++turn) {
    const Stopwatch watch;
    body();
    best = std::min(best, watch.seconds());
  }
  return best;
}

std::vector<float> normal_values(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  Rng rng(0, 0xC057);
  for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5f);
  return values;
}

double flops(double multiply_adds) { return 2 * multiply_adds; }

int64_t moment_bytes(int64_t d) {
  const int64_t edge = (d + SecondMoment::kTile - 1) / SecondMoment::kTile;
  return edge * (edge + 1) / 2 * SecondMoment::kTile * SecondMoment::kTile * 8;
}

constexpr int64_t kHistogramBytes = 65536 * 8;  // for all channels together

/// One more than asked for, and what orders them.
int64_t bytes_of_sample(const Needs& needs, int64_t d) {
  return needs.sample > 0 ? (needs.sample + 1) * (4 * d + 32) : 0;
}

/// Vectors of a channel each and what is asked for beside them.
int64_t bytes_of_statistics(const Needs& needs, int64_t d) {
  if (!needs.any()) return 0;
  return 16 * d + (needs.second_moment ? moment_bytes(d) : 0) + (needs.cross_moment ? 4 * d * d : 0) +
         (needs.halves ? moment_bytes(d) + 4 * d * d : 0) + (needs.histogram ? kHistogramBytes : 0) +
         bytes_of_sample(needs, d);
}

class Predictor {
 public:
  Predictor(const WalkTask& task, const std::vector<SequenceChunk>& chunks, const MachineRates& rates,
            ThreadPool& threads)
      : task_(task), graph_(task.model->graph()), chunks_(chunks), rates_(rates), threads_(threads.thread_count()) {
    for (const SequenceChunk& chunk : chunks) {
      tokens_ += chunk.rows();
      longest_chunk_ = std::max(longest_chunk_, chunk.rows());
      pairs_ +=
          static_cast<double>(chunk.batch) * static_cast<double>(chunk.length) * static_cast<double>(chunk.length) / 2;
    }
    const bool only_float = task.options->order == WalkOrder::kNone;
    streams_ = only_float ? 1 : needs_float_stream(task) ? 2 : 1;
  }

  WalkCost predict() const {
    WalkCost cost;
    for (int b = 0; b < static_cast<int>(graph_.blocks.size()); ++b) cost.blocks.push_back(block(b));
    int64_t largest = 0;
    for (int b = 0; b < static_cast<int>(graph_.blocks.size()); ++b) {
      const BlockCost& of_block = cost.blocks[static_cast<size_t>(b)];
      cost.seconds += of_block.seconds() + gradient_seconds(b);
      largest = std::max({largest, of_block.peak_memory, gradient_memory(b)});
      cost.disk_bytes += moments_bytes(b);
    }
    cost.activation_bytes = std::max(streams_ * activation_shape(graph_, chunks_, task_.options->precision).bytes(),
                                     gradient_stream_bytes());
    // The file is read and written through a buffer of one chunk's largest slot.
    const int64_t fixed = private_resident_bytes() + streams_ * pass_bytes();
    cost.least_memory = fixed + largest + streams_ * transfer_bytes();
    const int64_t in_memory = fixed + largest + cost.activation_bytes;
    cost.spills = task_.options->memory > 0 && in_memory > task_.options->memory;
    cost.peak_memory = cost.spills ? cost.least_memory : in_memory;
    cost.held_memory = cost.peak_memory - largest;
    cost.disk_bytes += (cost.spills ? cost.activation_bytes : 0) + quantized_bytes();
    return cost;
  }

 private:
  const RecipeStep* step_of(const Linear& linear) const {
    const auto step = task_.steps.find(linear.weight);
    return step == task_.steps.end() ? nullptr : &step->second;
  }

  /// Rows that an input of the block has; of experts the mean.
  double rows_of(int b, const Input& input) const {
    const Experts& experts = graph_.blocks[static_cast<size_t>(b)].experts;
    const auto rows = static_cast<double>(tokens_);
    return input.expert < 0 ? rows
                            : rows * static_cast<double>(experts.top_k) / static_cast<double>(experts.mlps.size());
  }

  double linear_flops(const Site& site) const {
    const auto n = static_cast<double>(site.linear->out), d = static_cast<double>(site.linear->in);
    return flops(rows_of(site.block, *site.reads) * n * d);
  }

  /// The sites of the input before, and attention where it lies between: one stream.
  double forward_seconds(int b, int input) const {
    const Block& block = graph_.blocks[static_cast<size_t>(b)];
    double work = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      if (site.input + 1 == input) work += linear_flops(site);
    }
    if (input_at(graph_, b, input).producer == Producer::kAttention) {
      const int64_t per_pair = block.attention.head_dim + block.attention.values();
      work += flops(pairs_ * static_cast<double>(block.attention.heads * per_pair));
    }
    return work / rates_.forward;
  }

  double leave_seconds(int b) const {
    double work = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      if (site.input + 1 == input_count(graph_, b)) work += linear_flops(site);
    }
    return static_cast<double>(streams_) * work / rates_.forward;
  }

  /// Ranges and means are lost in the time of the forward pass.
  double statistics_seconds(int b, int input, const Needs& needs) const {
    const Input& at = input_at(graph_, b, input);
    const double square = rows_of(b, at) * static_cast<double>(at.width) * static_cast<double>(at.width);
    return (needs.second_moment ? square / rates_.moments : 0) +
           (needs.cross_moment ? flops(square) / rates_.forward : 0) +
           (needs.halves ? (square / rates_.moments + flops(square) / rates_.forward) / 2 : 0);
  }

  RoundingCost rounding_cost(int b, int input, const Linear& linear, const RecipeStep& step) const {
    Needs gathered = needs_of_input(task_, b, input).rounding;
    gathered.sample = std::min(gathered.sample, tokens_);
    return cost_of(step.rounding,
                   {linear.out, linear.in, *step.quantize, gathered, threads_, task_.options->ranks->size()});
  }

  /// Of finding the input's format, where outputs decide on it (walk/input_format.h).
  RoundingCost format_cost(int b, int input) const {
    const auto format = task_.activations.find({b, input});
    if (format == task_.activations.end() || !format->second.range.is_by_output()) return {};
    std::optional<FpqRounding> options;
    SearchedReaders readers;
    for (const Site& site : linear_sites(graph_, b)) {
      if (site.input != input) continue;
      readers.rows += site.linear->out;
      const RecipeStep* step = step_of(*site.linear);
      const auto* fpq = step == nullptr ? nullptr : step->rounding.get_if<FpqRounding>();
      if (fpq == nullptr) continue;
      if (!options) options = *fpq;
      if (needs_of(*fpq).sample == 0) continue;
      readers.chosen_rows += site.linear->out;
      readers.weight_bits = bits_of(step->quantize->storage.base.get_if<GridStorage>()->format);
    }
    const int64_t tokens = std::min(needs_of_input(task_, b, input).rounding.sample, tokens_);
    return cost_of_input(options.value_or(FpqRounding{}), format->second, readers, input_at(graph_, b, input).width,
                         tokens);
  }

  double seconds_of_matrix(const RoundingCost& cost) const {
    return cost.nearest / rates_.rounding + cost.loop / rates_.feedback + cost.flops / rates_.forward;
  }
  double seconds_of_input(const RoundingCost& cost) const {
    return cost.shared_factor / rates_.factor + cost.shared_flops / rates_.forward;
  }

  /// Moments of the block's layers that take a backward pass; see walk/guided_walk.h.
  int64_t moments_bytes(int b) const {
    int64_t bytes = 0;
    for (const Linear& linear : graph_.blocks[static_cast<size_t>(b)].linears) bytes += moments_bytes(linear);
    return bytes;
  }
  int64_t moments_bytes(const Linear& linear) const {
    const Needs needs = gradient_needs(task_, linear.weight);
    return (needs_gradients(needs) ? moment_bytes(linear.in) : 0) +
           (needs.output_moment ? moment_bytes(linear.out) : 0);
  }

  /// The streams before every block, and behind the last.
  int64_t gradient_stream_bytes() const {
    if (!needs_gradients(task_)) return 0;
    return 4 * (static_cast<int64_t>(graph_.blocks.size()) + 1) * graph_.hidden * tokens_;
  }

  /// The block's moments, what one chunk keeps on its way through it and back (twice the values of a pass, and their
  /// gradients), and a weighted copy of what a layer reads.
  int64_t gradient_memory(int b) const { return needs_gradients(task_) ? moments_bytes(b) + 4 * pass_bytes() : 0; }

  /// Forward, once more, and twice that for the gradients of inputs and outputs; then the moments.
  double gradient_seconds(int b) const {
    if (!needs_gradients(task_)) return 0;
    double work = 0, moments = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      const Needs needs = gradient_needs(task_, site.linear->weight);
      const auto in = static_cast<double>(site.linear->in), out = static_cast<double>(site.linear->out);
      work += 3 * linear_flops(site);
      moments += rows_of(b, *site.reads) * (needs_gradients(needs) ? in * in : 0);
      moments += rows_of(b, *site.reads) * (needs.output_moment ? out * out : 0);
    }
    return work / rates_.forward + moments / rates_.moments;
  }

  BlockCost block(int b) const {
    BlockCost cost;
    bool scales = false, moves = false;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      const InputNeeds needs = needs_of_input(task_, b, input);
      scales |= needs.scaling.any(), moves |= needs.moving.any();
      cost.gather[input] = static_cast<double>(streams_) * forward_seconds(b, input);
      cost.gather[input] += statistics_seconds(b, input, needs.rounding);
      double shared = 0;
      cost.round[input] = 0;
      for (const Site& site : linear_sites(graph_, b)) {
        const RecipeStep* step = site.input == input ? step_of(*site.linear) : nullptr;
        if (step == nullptr) continue;
        const RoundingCost of_matrix = rounding_cost(b, input, *site.linear, *step);
        cost.round[input] += seconds_of_matrix(of_matrix);
        shared = std::max(shared, seconds_of_input(of_matrix));
      }
      cost.round[input] += seconds_of_matrix(format_cost(b, input));
      cost.round[input] += shared;
      cost.scale += statistics_seconds(b, input, needs.scaling) + search_seconds(b, input);
      cost.move += statistics_seconds(b, input, needs.moving) + reassembly_seconds(b, input);
    }
    // Once more for the scales' statistics, for those of channels that are moved, and in order "block" for leaving with
    // the quantized weights.
    double pass = 0;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      pass += static_cast<double>(streams_) * forward_seconds(b, input);
    }
    const bool twice = task_.options->order == WalkOrder::kBlock;
    if (scales) cost.scale += pass;
    if (moves) cost.move += pass;
    cost.leave = leave_seconds(b) + (twice ? pass : 0);
    cost.peak_memory = block_memory(b);
    return cost;
  }

  double search_seconds(int b, int input) const {
    double seconds = 0;
    for (const TransformSites& transform : task_.transforms) {
      const auto* search = std::get_if<ScaleSearchTransform>(&transform.transform);
      if (search == nullptr) continue;
      for (const Site& site : linear_sites(graph_, b)) {
        if (site.input != input || !transform.tensors.contains(site.linear->weight)) continue;
        const auto n = static_cast<double>(site.linear->out), d = static_cast<double>(site.linear->in);
        seconds += static_cast<double>(search->steps) * (n * d / rates_.rounding + flops(n * d * d) / rates_.forward);
      }
    }
    return seconds;
  }

  /// Candidates are at most as many as channels may be added.
  double reassembly_seconds(int b, int input) const {
    const ReassembleTransform* transform = reassembly_of_input(task_, b, input);
    if (transform == nullptr) return 0;
    const auto d = static_cast<double>(input_at(graph_, b, input).width);
    const double candidates = 1 + std::min(static_cast<double>(transform->steps), transform->ratio * d);
    const auto tokens = static_cast<double>(std::min(kReassemblyTokens, tokens_));
    double seconds = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      if (site.input != input) continue;
      const double n = static_cast<double>(site.linear->out);
      seconds += candidates * (n * d / rates_.rounding + flops(tokens * n * d) / rates_.forward);
      seconds += flops(n * d * d) / rates_.forward;
    }
    return seconds;
  }

  /// Statistics of the inputs whose channels are moved; then what their samples of all ranks take, or what the search
  /// for one of the inputs holds.
  int64_t moving_bytes(int b) const {
    int64_t statistics = 0, search = 0, gathered = 0;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      const Needs needs = needs_of_input(task_, b, input).moving;
      if (!needs.any()) continue;
      const int64_t d = input_at(graph_, b, input).width, tokens = std::min(kReassemblyTokens, tokens_);
      int64_t rows = 0, widest = 0;
      for (const Site& site : linear_sites(graph_, b)) {
        if (site.input == input) rows += site.linear->out, widest = std::max(widest, site.linear->out);
      }
      statistics += bytes_of_statistics(needs, d);
      gathered = std::max(gathered, gathered_bytes(needs, d));
      search = std::max(search, 4 * (3 * d * d + (rows + 2 * widest) * d + tokens * (2 * d + rows + widest)));
    }
    return statistics + std::max(search, gathered);
  }

  /// Bytes beyond what is held all the time, at the block's worst moment.
  int64_t block_memory(int b) const {
    const bool at_once = task_.options->order == WalkOrder::kBlock;
    int64_t worst = 0, quantized = 0, waiting = 0;  // statistics of inputs whose turn is yet to come
    for (int input = 0; input < input_count(graph_, b); ++input) waiting += at_once ? statistics_bytes(b, input) : 0;
    const int64_t looking = at_once ? waiting + float_inputs_bytes(b) : 0;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      int64_t rounding = 0, source = 0, shared = 0;
      for (const Site& site : linear_sites(graph_, b)) {
        if (site.input != input) continue;
        source += task_.model->matrix(*site.linear)->stored_bytes();
        const RecipeStep* step = step_of(*site.linear);
        if (step == nullptr) continue;
        const int64_t bytes = bytes_of_quantized(*step, *site.linear);
        quantized += bytes;
        const RoundingCost cost = rounding_cost(b, input, *site.linear, *step);
        // Moments of its own are loaded for it, and moved into a frame's coordinates.
        rounding = std::max(rounding, cost.bytes + bytes + 2 * moments_bytes(*site.linear));
        shared = std::max(shared, cost.shared_bytes + unseen_bytes(site, *step));
      }
      const int64_t gathered =
          gathered_bytes(needs_of_input(task_, b, input).rounding, input_at(graph_, b, input).width);
      rounding = std::max({rounding + shared, format_cost(b, input).bytes, gathered});
      if (!at_once && begins_step(b, input)) waiting = step_statistics_bytes(b, input);
      worst = std::max(worst, waiting + rounding + source + quantized);
      waiting -= statistics_bytes(b, input);
    }
    return std::max({worst, looking, scaling_bytes(b), moving_bytes(b)}) + rewritten_bytes(b) + moved_rows_bytes(b);
  }

  /// Of an expert that saw too little: a second moment of no data beside its own, and what it is made from.
  int64_t unseen_bytes(const Site& site, const RecipeStep& step) const {
    const Needs needs = needs_of(step.rounding);
    const bool by_moments = needs.second_moment || needs.guided_moment;
    if (site.reads->expert < 0 || !by_moments || find_rounding_without_data(step.quantize->storage)) return 0;
    return moment_bytes(site.reads->width) + 4 * site.reads->width * site.reads->width;
  }

  int64_t statistics_bytes(int b, int input) const {
    return bytes_of_statistics(needs_of_input(task_, b, input).rounding, input_at(graph_, b, input).width);
  }

  /// Of a sample with several ranks, when each has those of all, and makes one of them.
  int64_t gathered_bytes(const Needs& needs, int64_t d) const {
    const int64_t ranks = task_.options->ranks->size();
    return ranks > 1 ? (ranks + 2) * bytes_of_sample(needs, d) : 0;
  }

  bool begins_step(int b, int input) const {
    return bitloom::begins_step(graph_.blocks[static_cast<size_t>(b)], input);
  }

  /// Of the inputs that are reached together with `first`.
  int64_t step_statistics_bytes(int b, int first) const {
    int64_t bytes = statistics_bytes(b, first);
    for (int input = first + 1; input < input_count(graph_, b) && !begins_step(b, input); ++input) {
      bytes += statistics_bytes(b, input);
    }
    return bytes;
  }

  /// Order "block" keeps what the float model's sites read until the quantized prefix's are there: one chunk's.
  int64_t float_inputs_bytes(int b) const {
    int64_t width = 0;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      if (needs_of_input(task_, b, input).rounding.cross_moment) width += input_at(graph_, b, input).width;
    }
    return 4 * width * longest_chunk_;
  }

  /// Statistics of all inputs that get scales, and for a search a dense second moment and a rounded matrix.
  int64_t scaling_bytes(int b) const {
    int64_t statistics = 0, search = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      if (!searches(site)) continue;
      const int64_t n = site.linear->out, d = site.linear->in;
      const RecipeStep* step = step_of(*site.linear);
      search =
          std::max(search, 4 * d * d + 4 * n * d + (step != nullptr ? bytes_of_quantized(*step, *site.linear) : 0));
    }
    for (int input = 0; input < input_count(graph_, b); ++input) {
      statistics += bytes_of_statistics(needs_of_input(task_, b, input).scaling, input_at(graph_, b, input).width);
    }
    return statistics + search;
  }

  bool searches(const Site& site) const {
    return std::any_of(task_.transforms.begin(), task_.transforms.end(), [&](const TransformSites& sites) {
      return std::holds_alternative<ScaleSearchTransform>(sites.transform) &&
             sites.tensors.contains(site.linear->weight);
    });
  }

  /// Rows of an input whose channels are moved before they are looked at: one chunk's, of both streams.
  int64_t moved_rows_bytes(int b) const {
    int64_t widest = 0;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      if (needs_of_input(task_, b, input).moving.any()) widest = std::max(widest, input_at(graph_, b, input).width);
    }
    return 4 * streams_ * widest * longest_chunk_;
  }

  /// Rewritten matrices are held as fp32 while their block is walked; where channels are moved the float model's stay
  /// beside those of moved columns. See block_walk.cc, BlockState.
  int64_t rewritten_bytes(int b) const {
    bool scaled = false;
    for (int input = 0; input < input_count(graph_, b); ++input) {
      scaled |= needs_of_input(task_, b, input).scaling.any();
    }
    int64_t bytes = 0;
    for (const Site& site : linear_sites(graph_, b)) {
      const bool edited = scaled || task_.model->is_edited(site.linear->weight);
      const bool moved = needs_of_input(task_, b, site.input).moving.any();
      bytes += ((edited ? 1 : 0) + (moved ? 1 : 0)) * 4 * site.linear->out * site.linear->in;
    }
    return bytes;
  }

  static int64_t bytes_of_quantized(const RecipeStep& step, const Linear& linear) {
    int64_t total = 0;
    for (const TensorPart& part : greatest_parts(step.storage(), linear.out, linear.in)) {
      total += bytes_of(part.dtype, std::accumulate(part.shape.begin(), part.shape.end(), int64_t{1},
                                                    [](int64_t a, int64_t n) { return a * n; }));
    }
    return total;
  }

  int64_t quantized_bytes() const {
    int64_t total = 0;
    for (const Site& site : linear_sites(graph_)) {
      if (const RecipeStep* step = step_of(*site.linear)) total += bytes_of_quantized(*step, *site.linear);
    }
    return total;
  }

  /// Buffers of one chunk on its way through a block.
  int64_t pass_bytes() const {
    Workspace shape;
    shape.reserve(graph_, 1);
    return shape.bytes() * longest_chunk_;
  }

  int64_t transfer_bytes() const {
    const ActivationShape shape = activation_shape(graph_, chunks_, task_.options->precision);
    const int64_t widest = *std::max_element(shape.widths.begin(), shape.widths.end());
    return bytes_of(shape.precision == ActivationPrecision::kF32 ? DType::kF32 : DType::kBF16, widest * longest_chunk_);
  }

  const WalkTask& task_;
  const Graph& graph_;
  const std::vector<SequenceChunk>& chunks_;
  const MachineRates& rates_;
  int64_t threads_, streams_ = 1, tokens_ = 0, longest_chunk_ = 0;
  double pairs_ = 0;  // of a query and a key it sees, over all sequences
};

}  // namespace

int64_t private_resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0, shared = 0;
  statm >> total >> resident >> shared;
  return (resident - shared) * ::sysconf(_SC_PAGESIZE);
}

MachineRates measure_rates(ThreadPool& threads, int64_t width) {
  const int64_t square = width * width;
  const std::vector<float> x = normal_values(square);
  std::vector<float> y(static_cast<size_t>(square));
  const RowSourcePtr w = dense_matrix(width, width, normal_values(square));
  TileScratch scratch;
  MachineRates rates;
  const double cube = static_cast<double>(square) * static_cast<double>(width);
  rates.forward =
      flops(cube) / seconds_of([&] { linear(x.data(), width, width, *w, nullptr, y.data(), width, scratch, threads); });
  SecondMoment moment(width);
  rates.moments = cube / seconds_of([&] { moment.add(x.data(), width, width, threads); });
  GptqFactor factor;
  rates.factor =
      4.0 / 3.0 * cube / seconds_of([&] { factor = make_gptq_factor(moment, nullptr, GptqRounding{}, 0, threads); });
  const GridTarget target = parse_grid_target("int4-g128");
  const double nearest = seconds_of([&] { quantize_nearest("", *w, target, threads); });
  rates.rounding = static_cast<double>(square) / nearest;
  const double feedback = seconds_of([&] { quantize_gptq("", *w, parse_target("int4-g128"), factor, false, threads); });
  rates.feedback = cube / std::max(feedback - nearest, 0.1 * feedback);
  return rates;
}

namespace {

/// A probe of `width` channels is worth its time in walks that take at least so many seconds, of models that have such
/// layers: some milliseconds, two seconds, ten seconds. Wider layers come closer to what the processor can do.
struct RateProbe {
  double walk_seconds;
  int64_t width;
};
constexpr RateProbe kRateProbes[] = {{0, 128}, {20, 1024}, {600, 4096}};

}  // namespace

WalkCost predict_walk(const WalkTask& task, const std::vector<SequenceChunk>& chunks, const MachineRates& rates,
                      ThreadPool& threads) {
  return Predictor(task, chunks, rates, threads).predict();
}

WalkCost predict_walk(const WalkTask& task, const std::vector<SequenceChunk>& chunks, ThreadPool& threads) {
  const Graph& graph = task.model->graph();
  int64_t widest = 0;
  for (const Site& site : linear_sites(graph)) widest = std::max(widest, site.linear->in);
  WalkCost cost;
  for (const RateProbe& probe : kRateProbes) {
    if (cost.seconds < probe.walk_seconds || (probe.walk_seconds > 0 && widest < probe.width / 2)) continue;
    cost = predict_walk(task, chunks, measure_rates(threads, probe.width), threads);
  }
  return cost;
}

}  // namespace bitloom
