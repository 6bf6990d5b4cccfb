#include "observe/input_statistics.h"

#include <algorithm>

namespace bitloom {
namespace {

/// 512 KiB for all channels together. A histogram reaches to the largest value: where that is 1000 times the body's
/// deviation, as outliers of large models are, a deviation has 32 bins or more, enough to tell 8-bit ranges apart.
constexpr int64_t kHistogramBins = 1 << 16;

}  // namespace

InputStatistics::InputStatistics(int64_t channels, const Needs& needs) : range(channels) {
  if (needs.second_moment) moment.emplace(channels);
  if (needs.cross_moment) cross.emplace(channels);
  if (needs.halves) half.emplace(HalfMoments{SecondMoment(channels), CrossMoment(channels)});
  if (needs.histogram) histogram.emplace(kHistogramBins);
  if (needs.sample > 0) sample.emplace(channels, needs.sample);
}

void InputStatistics::add(const float* f, const float* x, int64_t tokens, ThreadPool& threads, int64_t first,
                          int64_t half_tokens) {
  range.add(x, tokens, channels(), threads);
  if (moment) moment->add(x, tokens, channels(), threads);
  if (cross) cross->add(f, x, tokens, channels(), threads);
  if (half && half_tokens > 0) {
    half->moment.add(x, half_tokens, channels(), threads);
    half->cross.add(f, x, half_tokens, channels(), threads);
  }
  if (histogram) histogram->add(x, tokens, channels(), channels(), threads);
  if (sample) sample->add(x, tokens, first);
}

int64_t InputStatistics::dead_channels() const {
  if (moment) {
    const std::vector<double> squares = moment->mean_squares();
    return std::count(squares.begin(), squares.end(), 0.0);
  }
  const std::vector<float> most = range.absmax();
  return std::count(most.begin(), most.end(), 0.0f);
}

}  // namespace bitloom
