#include "pipeline/walk/walk_cost.h"

namespace bitloom {

double BlockCost::seconds() const {
  double total = scale + move + leave + tune;
  for (const auto& [input, cost] : gather) total += cost;
  for (const auto& [input, cost] : round) total += cost;
  return total;
}

double WalkCost::seconds_after(int finished, WalkOrder order) const {
  double total = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const BlockCost& cost = blocks[b];
    total += cost.seconds();
    if (static_cast<int>(b) >= finished) continue;
    for (const auto& [input, of_input] : cost.round) total -= of_input;
    total -= cost.tune + cost.move;
    if (order != WalkOrder::kBlock) continue;
    for (const auto& [input, of_input] : cost.gather) total -= of_input;
  }
  return total;
}

}  // namespace bitloom
