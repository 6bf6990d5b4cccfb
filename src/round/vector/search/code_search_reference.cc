#include <algorithm>

#include "round/vector/search/code_search.h"

namespace bitloom {
namespace {

struct Hypothesis {
  std::vector<uint16_t> codes;  // [groups, M]
  double loss = 0;
};

class RowReference {
 public:
  RowReference(const AdditiveCode& code, const LayerMoment& moment, int64_t row, const float* w)
      : code_(code), moment_(moment), row_(row), w_(w) {}

  double loss_of(const std::vector<uint16_t>& codes) const {
    const auto width = static_cast<size_t>(code_.width()), g = static_cast<size_t>(code_.storage.group);
    const auto books = static_cast<size_t>(code_.storage.codebooks);
    std::vector<double> e(width);
    for (size_t c = 0; c < width; ++c) {
      for (size_t m = 0; m < books; ++m) {
        e[c] += static_cast<double>(code_.entry(static_cast<int64_t>(m), codes[c / g * books + m])[c % g]);
      }
      e[c] = static_cast<double>(code_.scales[static_cast<size_t>(row_)]) * e[c] - static_cast<double>(w_[c]);
    }
    double loss = 0;
    for (size_t a = 0; a < width; ++a) {
      for (size_t b = 0; b < width; ++b) {
        loss += e[a] * static_cast<double>(moment_.at(static_cast<int64_t>(a), static_cast<int64_t>(b))) * e[b];
      }
    }
    return loss;
  }

  /// All vectors of a codebook in one place of all hypotheses: the best of them, ascending.
  std::vector<Hypothesis> extended(const std::vector<Hypothesis>& beam, size_t place, int64_t most) const {
    std::vector<Hypothesis> all;
    for (const Hypothesis& parent : beam) {
      for (int64_t c = 0; c < code_.storage.entries(); ++c) {
        Hypothesis child = parent;
        child.codes[place] = static_cast<uint16_t>(c);
        child.loss = loss_of(child.codes);
        all.push_back(std::move(child));
      }
    }
    std::stable_sort(all.begin(), all.end(), [](const Hypothesis& a, const Hypothesis& b) { return a.loss < b.loss; });
    all.resize(std::min(all.size(), static_cast<size_t>(most)));
    return all;
  }

 private:
  const AdditiveCode& code_;
  const LayerMoment& moment_;
  int64_t row_;
  const float* w_;
};

}  // namespace

void sweep_codes_reference(AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order, int64_t beam,
                           std::span<const float> w) {
  const int64_t books = code.storage.codebooks;
  for (int64_t r = 0; r < code.rows; ++r) {
    if (code.scales[static_cast<size_t>(r)] == 0) continue;
    const RowReference row(code, moment, r, w.data() + r * code.width());
    std::vector<Hypothesis> hypotheses(1);
    hypotheses[0].codes.assign(code.codes_of(r, 0), code.codes_of(r, 0) + code.groups * books);
    for (int64_t p = 0; p < code.groups; ++p) {
      if (p % groups_of_block(code.storage) == 0) hypotheses.resize(1);
      for (int64_t i = 0; i < books; ++i) {
        const int64_t m = order.codebooks[static_cast<size_t>(p * books + i)];
        const int64_t place = order.groups[static_cast<size_t>(p)] * books + m;
        hypotheses = row.extended(hypotheses, static_cast<size_t>(place), beam);
      }
    }
    std::copy(hypotheses[0].codes.begin(), hypotheses[0].codes.end(), code.codes_of(r, 0));
  }
}

}  // namespace bitloom
