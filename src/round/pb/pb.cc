#include "round/pb/pb.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "format/families/partial/partial_storage.h"
#include "round/gptq/gptq.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// The mask and the levels of a matrix, [rows, cols] and [rows].
struct Plan {
  int64_t rows = 0, cols = 0;
  std::vector<uint8_t> mask;
  std::vector<PartialScales> scales;
};

/// Marks the `count` weights of greatest w^2 cost, the first among equals.
std::vector<uint8_t> find_mask(const std::vector<float>& w, const std::vector<float>& costs, int64_t count) {
  std::vector<uint8_t> mask(w.size(), 0);
  if (count == 0) return mask;
  std::vector<float> saliency(w.size());
  for (size_t i = 0; i < w.size(); ++i) saliency[i] = w[i] * w[i] * costs[i % costs.size()];
  std::vector<uint32_t> order(w.size());
  std::iota(order.begin(), order.end(), 0u);
  std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), [&](uint32_t a, uint32_t b) {
    return saliency[a] != saliency[b] ? saliency[a] > saliency[b] : a < b;
  });
  for (int64_t i = 0; i < count; ++i) mask[order[static_cast<size_t>(i)]] = 1;
  return mask;
}

/// mu and alpha of the weights that are not masked, range of those that are; in fp16.
PartialScales scales_of(const float* w, const uint8_t* mask, int64_t cols) {
  double sum = 0, absolute = 0, count = 0;
  float low = INFINITY, high = -INFINITY;
  for (int64_t c = 0; c < cols; ++c) {
    if (mask[c] != 0) {
      low = std::min(low, w[c]), high = std::max(high, w[c]);
    } else {
      sum += static_cast<double>(w[c]), ++count;
    }
  }
  PartialScales scales;
  if (low <= high) {
    scales.low = finite_f16(low);
    scales.step = finite_f16((high - scales.low) / 255);
  }
  if (count == 0) return scales;
  scales.mu = finite_f16(static_cast<float>(sum / count));
  for (int64_t c = 0; c < cols; ++c) {
    if (mask[c] == 0) absolute += std::abs(static_cast<double>(w[c]) - static_cast<double>(scales.mu));
  }
  scales.alpha = finite_f16(static_cast<float>(absolute / count));
  return scales;
}

class PbColumns final : public StoringPolicy {
 public:
  PbColumns(const Plan& plan, const std::vector<int64_t>& order, RowRange rows)
      : plan_(plan), order_(order), rows_(rows), codes_(static_cast<size_t>(rows.count() * plan.cols)) {}

  int64_t group() const override { return 1; }
  void begin_group(int64_t, int64_t, const float*) override {}

  void quantize_column(int64_t position, const float* w, float* q) override {
    for (int64_t r = 0; r < rows_.count(); ++r) {
      const PartialScales& s = plan_.scales[static_cast<size_t>(rows_.begin + r)];
      uint8_t& code = codes_[place(position, r)];
      if (is_masked(position, r)) {
        const float x = s.step == 0 ? 0.0f : (w[r] - s.low) / s.step;
        code = static_cast<uint8_t>(std::clamp(std::nearbyint(x), 0.0f, 255.0f));
      } else {
        code = w[r] >= s.mu ? 1 : 0;
      }
    }
    decode_column(position, q);
  }

  void decode_column(int64_t position, float* weights) const override {
    for (int64_t r = 0; r < rows_.count(); ++r) {
      const PartialScales& s = plan_.scales[static_cast<size_t>(rows_.begin + r)];
      const uint8_t code = codes_[place(position, r)];
      weights[r] = is_masked(position, r) ? s.low + s.step * static_cast<float>(code)
                   : code != 0            ? s.mu + s.alpha
                                          : s.mu - s.alpha;
    }
  }

  Bytes chosen() const override {
    Bytes bytes;
    append(bytes, codes_);
    return bytes;
  }

 private:
  int64_t column_at(int64_t position) const { return order_[static_cast<size_t>(position)]; }
  size_t place(int64_t position, int64_t r) const { return static_cast<size_t>(r * plan_.cols + column_at(position)); }
  bool is_masked(int64_t position, int64_t r) const {
    return plan_.mask[static_cast<size_t>((rows_.begin + r) * plan_.cols + column_at(position))] != 0;
  }

  const Plan& plan_;
  const std::vector<int64_t>& order_;
  RowRange rows_;
  std::vector<uint8_t> codes_;  // [rows, cols]
};

class PbPolicies final : public ColumnPolicies {
 public:
  PbPolicies(const RoundingProblem& problem, const GptqFactor& factor)
      : storage_(problem.target.storage), order_(factor.order) {
    const RowSource& w = problem.weights;
    plan_.rows = w.rows(), plan_.cols = w.cols();
    const std::vector<float> values = TileReader(problem.place, w, 1, problem.threads).decode_all();
    const double share = storage_.base.get<PartialStorage>().share;
    plan_.mask =
        find_mask(values, factor.error_costs(), static_cast<int64_t>(share * static_cast<double>(values.size())));
    for (int64_t r = 0; r < w.rows(); ++r) {
      plan_.scales.push_back(scales_of(values.data() + r * w.cols(), plan_.mask.data() + r * w.cols(), w.cols()));
    }
    codes_.resize(values.size());
  }

  bool rows_are_separable() const override { return true; }
  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<PbColumns>(plan_, order_, rows);
  }
  void store(RowRange rows, const Bytes& chosen) override {
    BytesReader reader(chosen);
    const auto codes = reader.take<uint8_t>();
    if (static_cast<int64_t>(codes.size()) != rows.count() * plan_.cols) {
      fail(ErrorKind::kFailed, "rows [{}, {}): {} codes of {} columns do not fit", rows.begin, rows.end, codes.size(),
           plan_.cols);
    }
    std::copy(codes.begin(), codes.end(), codes_.begin() + rows.begin * plan_.cols);
  }
  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    return stored_from_bytes(name, storage_, plan_.rows, plan_.cols,
                             pack_partial(plan_.rows, plan_.cols, plan_.mask, codes_, plan_.scales));
  }

 private:
  const Storage& storage_;
  const std::vector<int64_t>& order_;
  Plan plan_;
  std::vector<uint8_t> codes_;
};

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr Option kOptions[] = {
    number_option<&PbRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&PbRounding::order>("order", kOrders, "in which columns are rounded"),
};

}  // namespace

Needs needs_of(const PbRounding&) { return {.second_moment = true}; }

bool rounds_onto(const PbRounding&, const Storage& storage) {
  return storage.base.get_if<PartialStorage>() != nullptr && storage.side == SideTerms{};
}

Storage storage_by(const PbRounding&, Storage wanted) { return wanted; }

/// Beside the loop the whole matrix with saliencies, their order, mask and codes.
RoundingCost cost_of(const PbRounding&, const RoundingShape& shape) {
  const double weights = static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
  RoundingCost cost = feedback_cost(shape, {.separable = true, .nearest = 4 * weights}, false);
  cost.bytes += shape.rows * shape.cols * 14;
  return cost;
}

Rounded round_by(const PbRounding& options, const RoundingProblem& problem) {
  const GptqFactor& factor = shared_factor({.damping = options.damping, .order = options.order}, 0, problem);
  PbPolicies policies(problem, factor);
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, options.damping);
  return result;
}

constinit const RoundingRow kPbMethod =
    rounding_row<PbRounding>("pb", kOptions, "salient weights in 8 bits, the others as signs (partial0.1, ...)",
                             "signs beside 8 bits by error feedback (PB-LLM)");

}  // namespace bitloom
