#include <algorithm>
#include <limits>

#include "round/trellis/viterbi.h"

namespace bitloom {
namespace {

constexpr double kUnreachable = std::numeric_limits<double>::infinity();

struct Path {
  std::vector<uint32_t> states;  // by step, from the first that was searched
  double cost = 0;
};

class Search {
 public:
  Search(const TrellisCode& code, const float* x) : code_(code), x_(x) {
    for (uint32_t s = 0; s < states(); ++s) indices_.push_back(trellis_indices(trellis_state(code, s)));
  }

  /// The best path of all steps from `start`, around the tile's end. seam < 0: any; else the bits before `start`, at
  /// both ends.
  Path run(int start, int64_t seam) const {
    const int steps = code_.steps();
    std::vector<double> cost(states(), 0.0), next(states());
    std::vector<std::vector<uint8_t>> from;
    for (int i = 0; i < steps; ++i) {
      const int t = (start + i) % steps, k = code_.fresh_bits(t);
      const uint32_t n = states() >> k;
      std::vector<uint8_t> step_from(n);
      for (uint32_t e = 0; e < n; ++e) {
        double best = i > 0 || seam < 0 || seam == e ? cost[e] : kUnreachable;
        for (uint32_t j = 1; j < 1U << k && i > 0; ++j) {
          if (cost[j * n + e] < best) best = cost[j * n + e], step_from[e] = static_cast<uint8_t>(j);
        }
        for (uint32_t fresh = 0; fresh < 1U << k; ++fresh) next[e << k | fresh] = best + error(t, e << k | fresh);
      }
      from.push_back(std::move(step_from));
      std::swap(cost, next);
    }
    return trace(start, seam, cost, from);
  }

 private:
  uint32_t states() const { return 1U << code_.state_bits; }

  double error(int t, uint32_t s) const {
    const double a = kTrellisTable[static_cast<size_t>(indices_[s].first)];
    const double b = kTrellisTable[static_cast<size_t>(indices_[s].second)];
    const auto squared = [](double d) { return d * d; };
    if (code_.values == 1) return squared(static_cast<double>(x_[t]) - a - b);
    return squared(static_cast<double>(x_[2 * t]) - a) + squared(static_cast<double>(x_[2 * t + 1]) - b);
  }

  Path trace(int start, int64_t seam, const std::vector<double>& cost,
             const std::vector<std::vector<uint8_t>>& from) const {
    const int steps = code_.steps(), first_k = code_.fresh_bits(start);
    const uint32_t step = seam < 0 ? 1 : states() >> first_k;
    uint32_t s = seam < 0 ? 0 : static_cast<uint32_t>(seam);
    for (uint32_t other = s; other < states(); other += step) {
      if (cost[other] < cost[s]) s = other;
    }
    Path path{std::vector<uint32_t>(static_cast<size_t>(steps)), cost[s]};
    for (int i = steps - 1; i >= 0; --i) {
      const int k = code_.fresh_bits((start + i) % steps);
      path.states[static_cast<size_t>(i)] = s;
      const uint32_t e = s >> k;
      s = uint32_t{from[static_cast<size_t>(i)][e]} << (code_.state_bits - k) | e;
    }
    return path;
  }

  const TrellisCode& code_;
  const float* x_;
  std::vector<TrellisIndices> indices_;  // by state
};

}  // namespace

double encode_trellis_around(const TrellisCode& code, const float* x, uint32_t seam, uint16_t* words) {
  const Path path = Search(code, x).run(0, seam);
  write_trellis_path(code, path.states, words);
  return path.cost;
}

void encode_trellis_reference(const TrellisCode& code, const float* x, uint16_t* words) {
  const Search search(code, x);
  const int middle = code.steps() / 2;
  const uint32_t before = search.run(middle, -1).states[static_cast<size_t>(code.steps() - middle - 1)];
  const uint32_t seam = before & ((1U << (code.state_bits - code.fresh_bits(0))) - 1);
  write_trellis_path(code, search.run(0, seam).states, words);
}

void write_trellis_path(const TrellisCode& code, const std::vector<uint32_t>& states, uint16_t* words) {
  std::fill(words, words + code.words(), uint16_t{0});
  int at = 0;  // bits written
  for (int t = 0; t < code.steps(); ++t) {
    for (int i = code.fresh_bits(t) - 1; i >= 0; --i, ++at) {
      const uint32_t bit = states[static_cast<size_t>(t)] >> i & 1;
      words[at / 16] = static_cast<uint16_t>(words[at / 16] | bit << (15 - at % 16));
    }
  }
}

}  // namespace bitloom
