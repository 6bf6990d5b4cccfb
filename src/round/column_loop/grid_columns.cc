#include "round/column_loop/grid_columns.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "base/simd/vector_clones.h"
#include "round/nearest/nearest.h"
#include "round/scale/grid_builder.h"
#include "round/scale/group_quantizer.h"
#include "round/scale/scale_constraint.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

BITLOOM_VECTOR_CLONES void divide(const float* w, const float* divisor, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] / divisor[i];
}

BITLOOM_VECTOR_CLONES void multiply(float* y, const float* factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] *= factor[i];
}

/// How columns, in the order of the loop, belong to groups of scales.
struct ColumnGroups {
  const std::vector<int64_t>* order = nullptr;  // position -> column
  int64_t group_cols = 1;                       // columns per group
  int64_t groups = 1;
  bool fitted = false;  // scales are fitted by begin_group; then every run of group_cols positions is one group
  int64_t group_of(int64_t position) const { return (*order)[static_cast<size_t>(position)] / group_cols; }
};

class GridColumns final : public StoringPolicy {
 public:
  /// `importance` [columns by position] or null: weights of the clip search.
  GridColumns(const GroupQuantizer& quantizer, const ColumnGroups& groups, int64_t rows, const float* importance)
      : quantizer_(quantizer),
        groups_(groups),
        rows_(rows),
        importance_(importance),
        scales_(static_cast<size_t>(groups.groups * rows)),
        codes_(groups.order->size() * static_cast<size_t>(rows)),
        y_(static_cast<size_t>(rows)),
        divisor_(static_cast<size_t>(rows)),
        multiplier_(static_cast<size_t>(rows)) {}

  /// The scale of group g for row r: set before the loop unless it is fitted.
  GroupScale& scale(int64_t g, int64_t r) { return scales_[static_cast<size_t>(g * rows_ + r)]; }

  int64_t group() const override { return groups_.fitted ? groups_.group_cols : 1; }
  void begin_group(int64_t begin, int64_t end, const float* columns) override;
  void quantize_column(int64_t position, const float* w, float* q) override;
  void decode_column(int64_t position, float* weights) const override {
    quantizer_.decode_scaled(codes_of(position), rows_, scales_.data() + groups_.group_of(position) * rows_, weights);
  }
  int64_t saturated() const override { return saturated_; }
  /// Codes [rows, columns], then scales [rows, groups] where they were fitted.
  Bytes chosen() const override;

 private:
  const uint8_t* codes_of(int64_t position) const { return codes_.data() + position * rows_; }
  void load_scales_of(int64_t g);

  const GroupQuantizer& quantizer_;
  const ColumnGroups& groups_;
  int64_t rows_;
  const float* importance_;
  std::vector<GroupScale> scales_;  // [groups, rows]
  std::vector<uint8_t> codes_;      // [positions, rows]
  std::vector<float> y_, divisor_, multiplier_, gathered_;
  int64_t loaded_ = -1;  // group whose scales are in divisor_ and multiplier_
  int64_t saturated_ = 0;
};

// Rows of the group are gathered from the columns, since a group's weights lie `rows` apart.
void GridColumns::begin_group(int64_t begin, int64_t end, const float* columns) {
  if (!groups_.fitted) return;
  const int64_t g = groups_.group_of(begin), width = end - begin;
  gathered_.resize(static_cast<size_t>(width));
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < width; ++c) gathered_[static_cast<size_t>(c)] = columns[c * rows_ + r];
    const WeightGroup weights{gathered_.data(), 1, width, width,
                              importance_ == nullptr ? nullptr : importance_ + begin};
    std::vector<GroupScale> chosen = {quantizer_.choose(weights)};
    constrain_row(quantizer_, {weights}, chosen);
    scale(g, r) = chosen[0];
  }
  loaded_ = -1;
}

void GridColumns::load_scales_of(int64_t g) {
  for (int64_t r = 0; r < rows_; ++r) {
    const float scale_value = scale(g, r).scale;
    // A group of zeros has scale 0: dividing by infinity sends every weight to the zero level.
    divisor_[static_cast<size_t>(r)] = scale_value == 0 ? std::numeric_limits<float>::infinity() : scale_value;
    multiplier_[static_cast<size_t>(r)] = scale_value;
  }
  loaded_ = g;
}

void GridColumns::quantize_column(int64_t position, const float* w, float* q) {
  const int64_t g = groups_.group_of(position);
  if (g != loaded_) load_scales_of(g);
  divide(w, divisor_.data(), y_.data(), rows_);
  saturated_ +=
      quantizer_.encode_scaled(y_.data(), rows_, scales_.data() + g * rows_, codes_.data() + position * rows_, q);
  multiply(q, multiplier_.data(), rows_);
}

Bytes GridColumns::chosen() const {
  const auto columns = static_cast<int64_t>(groups_.order->size());
  std::vector<uint8_t> codes(codes_.size());
  for (int64_t p = 0; p < columns; ++p) {
    uint8_t* out = codes.data() + (*groups_.order)[static_cast<size_t>(p)];
    for (int64_t r = 0; r < rows_; ++r) out[r * columns] = codes_of(p)[r];
  }
  std::vector<GroupScale> scales;
  for (int64_t r = 0; r < rows_ && groups_.fitted; ++r) {
    for (int64_t g = 0; g < groups_.groups; ++g) scales.push_back(scales_[static_cast<size_t>(g * rows_ + r)]);
  }
  Bytes bytes;
  append(bytes, codes);
  append(bytes, scales);
  return bytes;
}

/// Whether every run of `group` positions (the last may be shorter) holds the columns of one group.
bool groups_stay_together(const std::vector<int64_t>& order, int64_t group) {
  for (size_t p = 0; p < order.size(); ++p) {
    const size_t first = p / static_cast<size_t>(group) * static_cast<size_t>(group);
    if (order[p] / group != order[first] / group) return false;
  }
  return true;
}

class GridPolicies final : public ColumnPolicies {
 public:
  GridPolicies(const ColumnProblem& problem, ThreadPool& threads)
      : target_(grid_target(problem.target, problem.place)),
        shape_(scale_shape(target_.storage, problem.weights.rows(), problem.weights.cols())),
        groups_{&problem.order, shape_.group_cols, shape_.cols, false} {
    const bool searched = target_.search.range.searches();
    groups_.fitted = target_.storage.granularity.kind == Granularity::Kind::kGroup && !problem.static_groups &&
                     !is_m2(target_.search.constraint) && groups_stay_together(problem.order, shape_.group_cols);
    if (searched) {
      for (const int64_t column : problem.order) {
        importance_.push_back(problem.error_costs[static_cast<size_t>(column)]);
      }
    }
    groups_.fitted ? prepare_fitted(problem, threads)
                   : take_nearest(problem, searched ? problem.error_costs.data() : nullptr, threads);
  }

  bool rows_are_separable() const override { return true; }
  int64_t zero_groups() const override { return zero_groups_; }

  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    auto policy = std::make_unique<GridColumns>(*quantizer_, groups_, rows.count(),
                                                importance_.empty() ? nullptr : importance_.data());
    if (!groups_.fitted) load_scales(rows, *policy);
    return policy;
  }

  void store(RowRange rows, const Bytes& chosen) override {
    BytesReader reader(chosen);
    const auto codes = reader.take<uint8_t>();
    const auto scales = reader.take<GroupScale>();
    const auto columns = static_cast<int64_t>(groups_.order->size());
    if (static_cast<int64_t>(codes.size()) != rows.count() * columns ||
        static_cast<int64_t>(scales.size()) != (groups_.fitted ? rows.count() * groups_.groups : 0)) {
      fail(ErrorKind::kFailed, "rows [{}, {}): {} codes and {} scales of {} columns do not fit", rows.begin, rows.end,
           codes.size(), scales.size(), columns);
    }
    for (int64_t r = 0; r < rows.count(); ++r) {
      builder_->store_codes(rows.begin + r, codes.data() + r * columns);
      if (!groups_.fitted) continue;
      const auto first = scales.begin() + r * groups_.groups;
      builder_->store_scales(rows.begin + r, {first, first + groups_.groups});
    }
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override { return builder_->finish(name); }

 private:
  /// Checks the weights and finds what fitted scales leave to the whole matrix.
  void prepare_fitted(const ColumnProblem& problem, ThreadPool& threads) {
    check_target(target_, to_string(target_));
    const RowSource& w = problem.weights;
    const TileReader tiles(problem.place, w, 1, threads);
    std::atomic<int64_t> zeros = 0;
    tiles.for_each([&](int64_t, int64_t, int64_t rows, const float* values) {
      for (int64_t at = 0; at < rows * w.cols();) {
        const int64_t width = std::min(shape_.group_cols, w.cols() - at % w.cols());
        if (full_range({values + at, 1, width, width, nullptr}).is_zero()) ++zeros;
        at += width;
      }
    });
    zero_groups_ = zeros;
    builder_.emplace(target_.storage, w.rows(), w.cols());
    float tensor_scale = 1;
    if (target_.storage.scale == ScaleType::kE4M3TwoLevel) {
      tensor_scale = GroupQuantizer(target_).tensor_scale_for(range_of_matrix(tiles));
      builder_->store_tensor_scale(tensor_scale);
    }
    quantizer_.emplace(target_, tensor_scale);
  }

  /// Scales that must be known beforehand are those of nearest rounding.
  void take_nearest(const ColumnProblem& problem, const float* importance, ThreadPool& threads) {
    RoundReport report;
    nearest_ = quantize_nearest(problem.place, problem.weights, target_, threads, &report, importance);
    zero_groups_ = report.zero_groups;
    builder_.emplace(*nearest_);
    quantizer_.emplace(target_, nearest_->grid()->tensor_scale());
  }

  void load_scales(RowRange rows, GridColumns& policy) const {
    std::vector<float> scales(static_cast<size_t>(groups_.groups));
    std::vector<uint8_t> zeros(scales.size());
    for (int64_t r = 0; r < rows.count(); ++r) {
      nearest_->grid()->scales_of_row((rows.begin + r) / shape_.group_rows, scales.data(), zeros.data());
      for (int64_t g = 0; g < groups_.groups; ++g) {
        policy.scale(g, r).scale = scales[static_cast<size_t>(g)];
        policy.scale(g, r).zero = zeros[static_cast<size_t>(g)];
      }
    }
  }

  GridTarget target_;
  ScaleShape shape_;
  ColumnGroups groups_;
  std::vector<float> importance_;                // by position; where scales are searched
  std::shared_ptr<const StoredMatrix> nearest_;  // where scales are not fitted
  std::optional<GroupQuantizer> quantizer_;
  std::optional<GridBuilder> builder_;
  int64_t zero_groups_ = 0;
};

}  // namespace

std::unique_ptr<ColumnPolicies> make_grid_policies(const ColumnProblem& problem, ThreadPool& threads) {
  return std::make_unique<GridPolicies>(problem, threads);
}

}  // namespace bitloom
