#include "pipeline/walk_cost.h"

namespace bitloom {

double BlockCost::seconds() const {
  double total = scale + leave;
  for (const auto& [input, cost] : gather) total += cost;
  for (const auto& [input, cost] : round) total += cost;
  return total;
}

}  // namespace bitloom
