#include "allocate/choose_storages.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>
#include <queue>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

double loss_of(const StorageChoice& choice) { return std::max(choice.loss, 0.0); }

/// Loss that a byte more takes away, going from one choice to a larger one.
double gain_per_byte(const StorageChoice& from, const StorageChoice& to) {
  return (loss_of(from) - loss_of(to)) / static_cast<double>(to.bytes - from.bytes);
}

/// Indices of the choices on the lower convex hull, by growing bytes and falling loss: gains per byte fall strictly.
std::vector<size_t> lower_hull(const std::vector<StorageChoice>& choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (choices[a].bytes != choices[b].bytes) return choices[a].bytes < choices[b].bytes;
    return loss_of(choices[a]) < loss_of(choices[b]);
  });
  std::vector<size_t> hull;
  for (const size_t c : order) {
    if (!hull.empty() && loss_of(choices[c]) >= loss_of(choices[hull.back()])) continue;
    while (hull.size() >= 2 && gain_per_byte(choices[hull[hull.size() - 2]], choices[hull.back()]) <=
                                   gain_per_byte(choices[hull.back()], choices[c])) {
      hull.pop_back();
    }
    hull.push_back(c);
  }
  return hull;
}

/// What no step up a hull fits into any more goes to other choices, the greatest gain first.
void spend_rest(std::span<const std::vector<StorageChoice>> matrices, int64_t left, std::vector<size_t>& chosen) {
  for (double gain = 1; gain > 0;) {
    gain = 0;
    size_t matrix = 0, to = 0;
    for (size_t m = 0; m < matrices.size(); ++m) {
      const StorageChoice& now = matrices[m][chosen[m]];
      for (size_t c = 0; c < matrices[m].size(); ++c) {
        const double more = loss_of(now) - loss_of(matrices[m][c]);
        if (matrices[m][c].bytes - now.bytes <= left && more > gain) gain = more, matrix = m, to = c;
      }
    }
    if (gain == 0) return;
    left -= matrices[matrix][to].bytes - matrices[matrix][chosen[matrix]].bytes;
    chosen[matrix] = to;
  }
}

/// The next step up the hull of one matrix.
struct Step {
  double gain;  // per byte
  size_t matrix;
  size_t to;  // place on the hull
  bool operator<(const Step& other) const {
    return gain != other.gain ? gain < other.gain : matrix > other.matrix;  // the queue's top is the greatest
  }
};

}  // namespace

std::vector<size_t> choose_storages(std::span<const std::vector<StorageChoice>> matrices, int64_t budget) {
  std::vector<std::vector<size_t>> hulls;
  std::vector<size_t> chosen;
  std::priority_queue<Step> steps;
  const auto offer = [&](size_t m, size_t to) {
    const std::vector<size_t>& hull = hulls[m];
    if (to < hull.size()) steps.push({gain_per_byte(matrices[m][hull[to - 1]], matrices[m][hull[to]]), m, to});
  };
  int64_t used = 0;
  for (size_t m = 0; m < matrices.size(); ++m) {
    assert(!matrices[m].empty());
    hulls.push_back(lower_hull(matrices[m]));
    chosen.push_back(hulls[m].front());
    used += matrices[m][chosen[m]].bytes;
    offer(m, 1);
  }
  if (used > budget) {
    misuse("the smallest storages take {} together, more than the {} that are left for them", human_bytes(used),
           human_bytes(std::max<int64_t>(budget, 0)));
  }
  while (!steps.empty()) {
    const Step step = steps.top();
    steps.pop();
    const size_t next = hulls[step.matrix][step.to];
    const int64_t more = matrices[step.matrix][next].bytes - matrices[step.matrix][chosen[step.matrix]].bytes;
    if (used + more > budget) continue;  // a smaller matrix may still have a step that fits
    used += more;
    chosen[step.matrix] = next;
    offer(step.matrix, step.to + 1);
  }
  spend_rest(matrices, budget - used, chosen);
  return chosen;
}

}  // namespace bitloom
