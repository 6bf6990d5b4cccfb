#include "pipeline/walk/input_format.h"

#include "observe/activation_range.h"
#include "round/fpq/fpq.h"

namespace bitloom {

std::optional<ActivationFormat> find_input_format(const ActivationFormat& rule, const WalkTask& task,
                                                  const BlockState& state, int input, const InputStatistics& statistics,
                                                  const OutputImportance& importance, ThreadPool& threads) {
  if (!rule.range.is_by_output()) return find_range(rule, statistics.histogram.value());
  std::optional<FpqRounding> options;  // the first reader's
  std::vector<SearchedMatrix> readers;
  for (const Site& site : linear_sites(state.model->graph(), state.index)) {
    if (site.input != input) continue;
    SearchedMatrix reader{state.current.linears[static_cast<size_t>(site.linear_index)].weight.get(), {}, {}};
    const auto step = task.steps.find(site.linear->weight);
    const auto* fpq = step == task.steps.end() ? nullptr : step->second.rounding.get_if<FpqRounding>();
    if (fpq != nullptr) {
      if (!options) options = *fpq;
      if (needs_of(*fpq).sample > 0) {  // weights chosen by themselves are other ones
        reader.target = grid_target(*step->second.quantize, site.linear->weight);
        reader.importance = importance(site, step->second);
      }
    }
    readers.push_back(std::move(reader));
  }
  const std::vector<float> rows = statistics.sample->rows();
  const std::vector<double> counts = statistics.sample->counts();
  const TokenRows tokens{statistics.sample->tokens(), statistics.channels(), rows.data(), counts.data()};
  const std::vector<double> mean_squares = statistics.moment->mean_squares();
  const std::vector<float> squares(mean_squares.begin(), mean_squares.end());
  const auto choice = choose_input(rule, readers, tokens, statistics.range.absmax(), squares,
                                   search_of(options.value_or(FpqRounding{})), threads);
  if (!choice) return std::nullopt;
  return choice->format;
}

}  // namespace bitloom
