#include "eval/positions.h"

#include <algorithm>

namespace bitloom {
namespace {

int64_t length_of(const TextWindows::Window& window) { return static_cast<int64_t>(window.tokens.size()); }

/// Every span of the length, in order of the text.
std::vector<TokenSpan> all_spans(std::span<const RowDivergence> rows, const TextWindows& windows, int64_t length) {
  std::vector<double> sums{0};  // of kl of the rows before
  for (const RowDivergence& row : rows) sums.push_back(sums.back() + row.kl);
  std::vector<TokenSpan> out;
  int64_t before = 0;
  for (size_t w = 0; w < windows.windows.size(); ++w) {
    const TextWindows::Window& window = windows.windows[w];
    const int64_t count = std::min(length, window.scored());
    for (int64_t i = 0; i + count <= window.scored(); ++i) {
      const auto row = static_cast<size_t>(before + i);
      const double sum = sums[row + static_cast<size_t>(count)] - sums[row];
      out.push_back(
          {static_cast<int64_t>(w), window.first_scored + i, count, before + i, sum / static_cast<double>(count)});
    }
    before += window.scored();
  }
  return out;
}

bool overlap(const TokenSpan& a, const TokenSpan& b) { return a.row < b.row + b.count && b.row < a.row + a.count; }

}  // namespace

std::vector<PositionBin> kl_by_position(std::span<const RowDivergence> rows, const TextWindows& windows, int64_t bins) {
  int64_t first = length_of(windows.windows.front()), end = 0;
  for (const TextWindows::Window& window : windows.windows) {
    first = std::min(first, window.first_scored);
    end = std::max(end, length_of(window));
  }
  const int64_t width = (end - first + bins - 1) / bins;
  std::vector<PositionBin> out;
  for (int64_t low = first; low < end; low += width) {
    std::vector<double> values;
    std::vector<int64_t> counts;
    int64_t before = 0;
    for (const TextWindows::Window& window : windows.windows) {
      const int64_t from = std::max(low, window.first_scored), to = std::min(low + width, length_of(window));
      for (int64_t t = from; t < to; ++t)
        values.push_back(rows[static_cast<size_t>(before + t - window.first_scored)].kl);
      if (to > from) counts.push_back(to - from);
      before += window.scored();
    }
    if (!values.empty()) out.push_back({low, std::min(low + width, end) - 1, mean_interval(values, counts)});
  }
  return out;
}

std::vector<TokenSpan> worst_spans(std::span<const RowDivergence> rows, const TextWindows& windows, int64_t length,
                                   int64_t count) {
  std::vector<TokenSpan> spans = all_spans(rows, windows, length);
  std::stable_sort(spans.begin(), spans.end(), [](const TokenSpan& a, const TokenSpan& b) { return a.kl > b.kl; });
  std::vector<TokenSpan> out;
  for (const TokenSpan& span : spans) {
    if (static_cast<int64_t>(out.size()) == count) break;
    if (std::none_of(out.begin(), out.end(), [&](const TokenSpan& chosen) { return overlap(span, chosen); }))
      out.push_back(span);
  }
  return out;
}

}  // namespace bitloom
