#include "transform/reassembly/channel_matching.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace bitloom {
namespace {

/// The even channel's best partner.
struct Proposal {
  float cost;
  int32_t even, odd;
  bool operator<(const Proposal& other) const { return cost != other.cost ? cost < other.cost : even < other.even; }
};

double distance(std::span<const float> moment, int64_t channels, int64_t i, int64_t j) {
  const auto at = [&](int64_t r, int64_t c) {
    return static_cast<double>(moment[static_cast<size_t>(r * channels + c)]);
  };
  return std::max(0.0, at(i, i) + at(j, j) - 2 * at(i, j));
}

}  // namespace

std::vector<int64_t> parts_of_channels(std::span<const float> absmax, double theta) {
  std::vector<int64_t> parts;
  parts.reserve(absmax.size());
  for (const float most : absmax) {
    parts.push_back(std::max(int64_t{1}, static_cast<int64_t>(std::ceil(static_cast<double>(most) / theta))));
  }
  return parts;
}

PairCosts::PairCosts(int64_t channels, std::span<const float> inputs, std::span<const float> weights,
                     ThreadPool& threads)
    : channels_(channels), odds_(channels / 2) {
  const int64_t evens = channels - odds_;
  costs_.resize(static_cast<size_t>(evens * odds_));
  threads.parallel_for(evens, [&](int64_t even) {
    for (int64_t odd = 0; odd < odds_; ++odd) {
      const int64_t i = 2 * even, j = 2 * odd + 1;
      costs_[static_cast<size_t>(even * odds_ + odd)] =
          static_cast<float>(distance(inputs, channels, i, j) * distance(weights, channels, i, j) / 4);
    }
  });
}

std::optional<ChannelMoves> match_channels(std::span<const int64_t> parts, const PairCosts& costs) {
  const int64_t channels = costs.channels();
  assert(static_cast<int64_t>(parts.size()) == channels);
  const auto whole = [&parts](int64_t c) { return parts[static_cast<size_t>(c)] == 1; };
  std::vector<Proposal> proposals;
  for (int64_t even = 0; even < channels; even += 2) {
    Proposal best{std::numeric_limits<float>::infinity(), static_cast<int32_t>(even), -1};
    for (int64_t odd = 1; odd < channels && whole(even); odd += 2) {
      if (whole(odd) && costs.of(even, odd) < best.cost) {
        best.cost = costs.of(even, odd), best.odd = static_cast<int32_t>(odd);
      }
    }
    if (best.odd >= 0) proposals.push_back(best);
  }
  int64_t extra = 0;
  for (const int64_t of_channel : parts) extra += of_channel - 1;
  if (extra > static_cast<int64_t>(proposals.size())) return std::nullopt;
  std::sort(proposals.begin(), proposals.end());
  proposals.resize(static_cast<size_t>(extra));
  std::sort(proposals.begin(), proposals.end(), [](const Proposal& a, const Proposal& b) { return a.even < b.even; });
  ChannelMoves moves;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t copy = 1; copy < parts[static_cast<size_t>(c)]; ++copy) {
      const Proposal& taken = proposals[moves.size()];
      moves.push_back({taken.even, taken.odd, static_cast<int32_t>(c)});
    }
  }
  return moves;
}

}  // namespace bitloom
