#include "pipeline/walk/block_reassembly.h"

#include <fmt/format.h>

#include "pipeline/walk/block_scaling.h"
#include "pipeline/walk/walk_needs.h"
#include "transform/reassembly/reassemble.h"

namespace bitloom {

std::map<int, ActivationFormat> reassembled_inputs(const WalkTask& task, const BlockState& state,
                                                   const std::map<int, InputStatistics>& statistics,
                                                   const std::function<void(int input)>& advance, ThreadPool& threads) {
  const RoundedWeights rounded = nearest_by(task.steps, threads);
  std::map<int, ActivationFormat> formats;
  for (const auto& [input, of_input] : statistics) {
    const ReassembleTransform* transform =
        of_input.tokens() == 0 ? nullptr : reassembly_of_input(task, state.index, input);
    if (transform == nullptr) {
      advance(input);
      continue;
    }
    std::vector<ReassembledReader> readers;
    for (const Site& site : linear_sites(state.model->graph(), state.index)) {
      if (site.input != input) continue;
      const Linear& linear = *site.linear;
      readers.push_back({state.current.linears[static_cast<size_t>(site.linear_index)].weight,
                         [&linear, &rounded](const RowSource& w) { return rounded(w, linear); }});
    }
    ActivationFormat format = state.rounders.at(input).format();
    format.moves = choose_reassembly(of_input, format, readers, *transform, threads).moves;
    if (!format.moves.empty()) formats.emplace(input, std::move(format));
    advance(input);
  }
  return formats;
}

std::string remark_on_reassembly(const InputFormats& activations, const Graph& graph) {
  int64_t inputs = 0, moved = 0, channels = 0, moves = 0;
  double weights = 0;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    inputs += input_count(graph, b);
    for (const Site& site : linear_sites(graph, b)) weights += static_cast<double>(site.linear->out * site.linear->in);
  }
  for (const auto& [place, format] : activations) {
    if (format.moves.empty()) continue;
    ++moved, moves += static_cast<int64_t>(format.moves.size());
    channels += input_at(graph, place.first, place.second).width;
  }
  if (moved == 0) return fmt::format("reassemble: all {} inputs of the blocks are rounded best as they are", inputs);
  constexpr double kBitsOfMove = 3 * 32;  // three channels
  return fmt::format(
      "reassemble: {} of {} inputs of the blocks; {} of their {} channels are merged into others for parts of large "
      "ones "
      "({:.4f} bits per weight of the blocks for lists of them)",
      moved, inputs, moves, channels, kBitsOfMove * static_cast<double>(moves) / weights);
}

}  // namespace bitloom
