#include "observe/moment/guided_moments.h"

#include <cmath>
#include <vector>

namespace bitloom {
namespace {

constexpr Needs kMoment{.second_moment = true};

}  // namespace

GuidedMoments::GuidedMoments(int64_t in, int64_t out, const Needs& needs) : out_channels(out), weighted(in, kMoment) {
  if (needs.output_moment) gradients.emplace(out, kMoment);
}

void GuidedMoments::add(const float* x, const float* dy, int64_t tokens, ThreadPool& threads) {
  const int64_t n = weighted.channels(), m = out_channels;
  std::vector<float> rows(static_cast<size_t>(tokens * n));
  threads.parallel_for(tokens, [&](int64_t t) {
    double squares = 0;
    for (int64_t i = 0; i < m; ++i) squares += static_cast<double>(dy[t * m + i]) * dy[t * m + i];
    const auto root = static_cast<float>(std::sqrt(squares / static_cast<double>(m)));
    for (int64_t i = 0; i < n; ++i) rows[static_cast<size_t>(t * n + i)] = root * x[t * n + i];
  });
  weighted.add(nullptr, rows.data(), tokens, threads);
  if (gradients) gradients->add(nullptr, dy, tokens, threads);
}

}  // namespace bitloom
