#include "pipeline/walk/block/block_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "transform/reassembly/moved_columns.h"

namespace bitloom {
namespace {

/// The whole matrix in fp32. Rewritten weights are computed whenever they are decoded, and a walk decodes them for
/// every chunk.
RowSourcePtr in_memory(const RowSource& rows, ThreadPool& threads) {
  constexpr int64_t kTileRows = 64;
  std::vector<float> values(static_cast<size_t>(rows.rows() * rows.cols()));
  threads.parallel_for((rows.rows() + kTileRows - 1) / kTileRows, [&](int64_t tile) {
    const int64_t begin = tile * kTileRows, end = std::min(rows.rows(), begin + kTileRows);
    rows.decode_rows(begin, end, values.data() + begin * rows.cols());
  });
  return dense_matrix(rows.rows(), rows.cols(), std::move(values));
}

BlockWeights load_for_walk(const Checkpoint& model, int block, ThreadPool& threads) {
  BlockWeights weights = load_block_weights(model, block);
  for (const Site& site : linear_sites(model.graph(), block)) {
    if (!model.is_edited(site.linear->weight)) continue;
    LinearWeights& of_site = weights.linears[static_cast<size_t>(site.linear_index)];
    of_site.weight = in_memory(*of_site.weight, threads);
    model.release(site.linear->weight);
  }
  return weights;
}

/// Formats of the block's inputs, those whose range is yet to be found or the others.
std::map<int, ActivationFormat> formats_of(const InputFormats& formats, int block, bool calibrated) {
  std::map<int, ActivationFormat> result;
  for (const auto& [place, format] : formats) {
    if (place.first == block && format.range.is_calibrated() == calibrated) result.emplace(place.second, format);
  }
  return result;
}

std::map<int, InputRounder> rounders_of(const std::map<int, ActivationFormat>& formats, const Graph& graph, int block) {
  std::map<int, InputRounder> rounders;
  for (const auto& [input, format] : formats) {
    rounders.emplace(input, InputRounder(format, input_at(graph, block, input).width));
  }
  return rounders;
}

std::map<Operand, InputRounder> rounders_of(const OperandFormats& formats, const Graph& graph, int block) {
  std::map<Operand, InputRounder> rounders;
  for (const auto& [place, format] : formats) {
    const auto& [of_block, operand] = place;
    const Attention& attention = graph.blocks[static_cast<size_t>(block)].attention;
    if (of_block == block) rounders.emplace(operand, InputRounder(format, attention.width_of(operand)));
  }
  return rounders;
}

}  // namespace

BlockState::BlockState(std::shared_ptr<const Checkpoint> model_before, const Graph& graph, int block,
                       const RopeTable* rope, const InputFormats& formats, const OperandFormats& operand_formats,
                       ThreadPool& threads)
    : index(block),
      rounders(rounders_of(formats_of(formats, block, false), graph, block)),
      operands(rounders_of(operand_formats, graph, block)),
      unfixed(formats_of(formats, block, true)),
      model(std::move(model_before)),
      original(load_for_walk(*model, block, threads)),
      float_runner(graph, block, original, rope),
      runner(graph, block, current, rope) {
  set_current(original);
}

void BlockState::set_current(BlockWeights weights) {
  current = std::move(weights);
  current.rounders = rounders, current.operands = operands;
}

void BlockState::rewrite(std::shared_ptr<const Checkpoint> rewritten, ThreadPool& threads) {
  model = std::move(rewritten);
  original = load_for_walk(*model, index, threads);
  set_current(original);
}

void BlockState::move_channels(const std::map<int, ActivationFormat>& formats, ThreadPool& threads) {
  if (!finished) outcome.activations.insert(formats.begin(), formats.end());
  for (const auto& [input, format] : outcome.activations) {
    if (format.moves.empty()) continue;
    rounders.insert_or_assign(input, InputRounder(format, input_at(model->graph(), index, input).width));
    for (const Site& site : linear_sites(model->graph(), index)) {
      if (site.input != input) continue;
      const std::string& name = site.linear->weight;
      RowSourcePtr& weight = current.linears[static_cast<size_t>(site.linear_index)].weight;
      const auto rewritten = outcome.rewritten.find(name);
      weight = finished && rewritten != outcome.rewritten.end()
                   ? rewritten_rows(model->graph(), index, name, rewritten->second)
                   : in_memory(*moved_columns(weight, Reassembly(format.moves)), threads);
    }
  }
  current.rounders = rounders;
}

const Reassembly& BlockState::reassembly(int input) const {
  static const Reassembly none;
  const auto rounder = rounders.find(input);
  return rounder == rounders.end() ? none : rounder->second.reassembly();
}

void BlockState::fix_range(int input, const FormatFinder& find) {
  const auto rule = unfixed.find(input);
  if (rule == unfixed.end()) return;
  if (!finished) {
    const auto found = find(rule->second);
    if (!found) {
      outcome.remarks.push_back(
          fmt::format("block {}, {}: no range for {}: calibration saw nothing but zeros there; tokens are rounded in "
                      "ranges of their own",
                      index, input_at(model->graph(), index, input).name, to_string(rule->second)));
    }
    outcome.activations.emplace(input, found ? *found : with_dynamic_range(rule->second));
  }
  rounders.emplace(input, InputRounder(outcome.activations.at(input), input_at(model->graph(), index, input).width));
  current.rounders = rounders;
}

void BlockState::resume(BlockOutcome of_earlier_run) {
  outcome = std::move(of_earlier_run);
  finished = true;
  for (const auto& [input, format] : outcome.activations) {
    if (format.moves.empty()) continue;
    ActivationFormat as_it_is = format;
    as_it_is.moves.clear(), as_it_is.staggered = false;
    const auto rounder = rounders.find(input);
    if (rounder != rounders.end() && rounder->second.format() == as_it_is &&
        bad_moves(format.moves, input_at(model->graph(), index, input).width).empty()) {
      continue;
    }
    refuse(
        "the journal's block {}, input {}: {} with {} moves of channels does not come of the recipe; add --restart to "
        "begin anew",
        index, input, kind_text(format), format.moves.size());
  }
  for (const auto& [input, rule] : unfixed) {
    const auto found = outcome.activations.find(input);
    const bool given = found != outcome.activations.end();
    if (given && may_come_of(rule, found->second)) continue;
    refuse(
        "the journal's block {}, {}: its inputs' format is {}, expected what came of {}; add --restart to begin anew",
        index, input_at(model->graph(), index, input).name, given ? kind_text(found->second) : "missing",
        to_string(rule));
  }
}

void BlockState::take_finished(const Site& site) {
  LinearWeights& weights = current.linears[static_cast<size_t>(site.linear_index)];
  weights.weight = outcome.quantized.at(site.linear->weight);
  const auto bias = outcome.rewritten.find(site.linear->bias);
  if (bias != outcome.rewritten.end()) weights.bias = bias->second;
}

TensorEdits BlockState::finished_rewrites() const {
  TensorEdits edits;
  for (const auto& [name, values] : outcome.rewritten) {
    edits.tensors[name] = rewritten_rows(model->graph(), index, name, values);
  }
  return edits;
}

void BlockState::take_rewritten() {
  TensorEdits edits = finished_rewrites();
  for (const Site& site : linear_sites(model->graph(), index)) {
    edits.tensors.erase(site.linear->weight), edits.tensors.erase(site.linear->bias);
  }
  BlockWeights with_norms = load_block_weights(static_cast<const Model&>(*model).edited(edits), index);
  with_norms.linears = std::move(current.linears);
  set_current(std::move(with_norms));
}

}  // namespace bitloom
