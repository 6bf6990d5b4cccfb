#include "pipeline/walk/block/block_reassembly.h"

#include <fmt/format.h>

#include "pipeline/walk/block/block_scaling.h"
#include "pipeline/walk/walk_needs.h"
#include "transform/reassembly/reassemble.h"

namespace bitloom {
namespace {

/// Whether the statistics tell channels apart; see reassembled_inputs().
bool saw_enough(BlockState& state, int input, const InputStatistics& statistics) {
  const Input& at = input_at(state.model->graph(), state.index, input);
  if (at.expert < 0 || statistics.tokens() >= at.width) return true;
  state.outcome.remarks.push_back(
      fmt::format("block {}, {}: not reassembled: its expert saw {} calibration tokens, fewer than its {} channels",
                  state.index, at.name, statistics.tokens(), at.width));
  return false;
}

}  // namespace

std::map<int, ActivationFormat> reassembled_inputs(const WalkTask& task, BlockState& state,
                                                   const std::map<int, InputStatistics>& statistics,
                                                   const std::function<void(int input)>& advance, ThreadPool& threads) {
  const RoundedWeights rounded = nearest_by(task.steps, threads);
  std::map<int, ActivationFormat> formats;
  for (const auto& [input, of_input] : statistics) {
    if (!saw_enough(state, input, of_input)) {
      advance(input);
      continue;
    }
    const ReassembleTransform& transform = *reassembly_of_input(task, state.index, input);
    std::vector<ReassembledReader> readers;
    for (const Site& site : linear_sites(state.model->graph(), state.index)) {
      if (site.input != input) continue;
      const Linear& linear = *site.linear;
      readers.push_back({state.current.linears[static_cast<size_t>(site.linear_index)].weight,
                         [&linear, &rounded](const RowSource& w) { return rounded(w, linear); }});
    }
    ActivationFormat format = state.rounders.at(input).format();
    ReassemblyChoice choice = choose_reassembly(of_input, format, readers, transform, threads);
    format.moves = std::move(choice.moves), format.staggered = choice.staggered;
    if (!format.moves.empty()) formats.emplace(input, std::move(format));
    advance(input);
  }
  return formats;
}

std::string remark_on_reassembly(const WalkTask& task, const InputFormats& activations) {
  const Graph& graph = task.model->graph();
  int64_t inputs = 0, moved = 0, channels = 0, moves = 0;
  double weights = 0;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (int input = 0; input < input_count(graph, b); ++input) {
      inputs += reassembly_of_input(task, b, input) != nullptr ? 1 : 0;
    }
    for (const Site& site : linear_sites(graph, b)) weights += static_cast<double>(site.linear->out * site.linear->in);
  }
  for (const auto& [place, format] : activations) {
    if (format.moves.empty()) continue;
    ++moved, moves += static_cast<int64_t>(format.moves.size());
    channels += input_at(graph, place.first, place.second).width;
  }
  if (moved == 0) return fmt::format("reassemble: all {} inputs that it is for stay as they are", inputs);
  constexpr double kBitsOfMove = 3 * 32;  // three channels
  return fmt::format(
      "reassemble: {} of the {} inputs that it is for; {} of their {} channels are merged into others for parts of "
      "large ones ({:.4f} bits per weight of the blocks for lists of them)",
      moved, inputs, moves, channels, kBitsOfMove * static_cast<double>(moves) / weights);
}

}  // namespace bitloom
