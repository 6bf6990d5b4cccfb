#include "round/column_loop/affine_columns.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "format/side/outliers.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

/// A weight beside its code.
struct KeptEntry {
  int64_t row = 0, col = 0;
  float added = 0;
};

/// Errors of weights beyond three standard deviations from the mean count `factor` times.
void weigh_salient(AffineGroup& group, float factor) {
  double sum = 0, squares = 0;
  const auto n = static_cast<double>(group.w.size());
  for (const float w : group.w)
    sum += static_cast<double>(w), squares += static_cast<double>(w) * static_cast<double>(w);
  const double mean = sum / n, variance = squares / n - mean * mean;
  for (size_t i = 0; i < group.w.size(); ++i) {
    const double deviation = static_cast<double>(group.w[i]) - mean;
    if (deviation * deviation > 9 * variance) group.h[i] *= factor;
  }
}

/// What all tiles of a matrix share.
struct Setting {
  ColumnProblem problem;
  const AffineStorage& storage;
  AffinePlan plan;
  int64_t cols = 0, groups = 0;
  bool fitted = false;  // groups are fitted when they begin
  int64_t column_at(int64_t position) const { return problem.order[static_cast<size_t>(position)]; }
  int64_t group_of(int64_t position) const { return column_at(position) / storage.width(cols); }
  int bits_of(int64_t g) const { return plan.widths[static_cast<size_t>(g)]; }
  float cost_of(int64_t column) const { return problem.error_costs[static_cast<size_t>(column)]; }
};

class AffineColumns final : public StoringPolicy {
 public:
  AffineColumns(const Setting& setting, RowRange rows)
      : setting_(setting),
        first_(rows.begin),
        rows_(rows.count()),
        codes_(static_cast<size_t>(rows_ * setting.cols)),
        scales_(static_cast<size_t>(rows_ * setting.groups)),
        seconds_(setting.storage.second_bits > 0 ? static_cast<size_t>(setting.storage.blocks(rows_) * setting.groups)
                                                 : 0),
        thresholds_(static_cast<size_t>(setting.groups)) {
    if (!setting.fitted) fit_originals();
  }

  int64_t group() const override { return setting_.fitted ? setting_.storage.width(setting_.cols) : 1; }

  void begin_group(int64_t begin, int64_t end, const float* columns) override {
    if (!setting_.fitted) return;
    std::vector<float> costs;
    for (int64_t p = begin; p < end; ++p) costs.push_back(setting_.cost_of(setting_.column_at(p)));
    std::vector<AffineGroup> groups(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r) {
      AffineGroup& group = groups[static_cast<size_t>(r)];
      for (int64_t c = 0; c < end - begin; ++c) group.w.push_back(columns[c * rows_ + r]);
      group.h = costs;
    }
    left_out_ = 0;  // those of groups before are kept by now
    fit_group(setting_.group_of(begin), std::move(groups));
  }

  void quantize_column(int64_t position, const float* w, float* q) override {
    const int64_t g = setting_.group_of(position), column = setting_.column_at(position);
    const int bits = setting_.bits_of(g);
    const auto most = static_cast<float>((1 << bits) - 1);
    for (int64_t r = 0; r < rows_; ++r) {
      const AffineScale& s = scale(r, g);
      code(r, column) = static_cast<uint8_t>(affine_code(w[r], s, bits));
      q[r] = s.value(code(r, column));
      const float beyond = s.scale > 0 ? std::abs(w[r] / s.scale + s.zero - most / 2) - most / 2 : 0.0f;
      saturated_ += beyond > 0.5f ? 1 : 0;
    }
    if (setting_.plan.most_kept > 0) keep(position, w, q);
  }

  void decode_column(int64_t position, float* weights) const override {
    const int64_t g = setting_.group_of(position), column = setting_.column_at(position);
    for (int64_t r = 0; r < rows_; ++r) weights[r] = scale(r, g).value(code(r, column));
    if (setting_.plan.most_kept == 0) return;
    for (size_t i = position == 0 ? 0 : kept_end_[static_cast<size_t>(position - 1)];
         i < kept_end_[static_cast<size_t>(position)]; ++i) {
      weights[kept_[i].row - first_] += kept_[i].added;
    }
  }

  int64_t saturated() const override { return saturated_; }

  Bytes chosen() const override {
    Bytes bytes;
    append(bytes, codes_);
    append(bytes, scales_);
    append(bytes, seconds_);
    append(bytes, kept_);
    return bytes;
  }

 private:
  AffineScale& scale(int64_t r, int64_t g) { return scales_[static_cast<size_t>(r * setting_.groups + g)]; }
  const AffineScale& scale(int64_t r, int64_t g) const { return scales_[static_cast<size_t>(r * setting_.groups + g)]; }
  uint8_t& code(int64_t r, int64_t c) { return codes_[static_cast<size_t>(r * setting_.cols + c)]; }
  uint8_t code(int64_t r, int64_t c) const { return codes_[static_cast<size_t>(r * setting_.cols + c)]; }

  /// Scales of group g for all rows; returns how many weights were left out. `fitted` gets the weights that were not.
  int64_t fit_rows(int64_t g, const std::vector<AffineGroup>& groups, double threshold,
                   std::vector<AffineGroup>& fitted) {
    const AffinePlan& plan = setting_.plan;
    const int bits = setting_.bits_of(g);
    int64_t left_out = 0;
    for (int64_t r = 0; r < rows_; ++r) {
      const AffineGroup& group = groups[static_cast<size_t>(r)];
      AffineGroup& rest = fitted[static_cast<size_t>(r)];
      if (std::isinf(threshold)) {
        scale(r, g) = choose_affine(group, bits, plan.search);
        rest = group;
      } else {
        const OutlierFit fit = (plan.leaves_out_at_once ? fit_leaving_out_at_once : fit_without_outliers)(
            group, bits, plan.search, threshold);
        scale(r, g) = fit.scale;
        rest = fit.fitted;
      }
      left_out += static_cast<int64_t>(group.w.size() - rest.w.size());
    }
    return left_out;
  }

  /// Weights that may still be kept.
  int64_t room() const {
    const double all = setting_.plan.most_kept * static_cast<double>(rows_) * static_cast<double>(setting_.cols);
    return static_cast<int64_t>(all) - static_cast<int64_t>(kept_.size());
  }

  /// Group g of all rows, [rows]. A weight that was left out of a fit and is not kept errs most of all, so where room
  /// grows scarce fewer are left out, in the end none.
  void fit_group(int64_t g, std::vector<AffineGroup> groups) {
    const AffineStorage& storage = setting_.storage;
    if (setting_.plan.salient_weight != 1) {
      for (AffineGroup& group : groups) weigh_salient(group, static_cast<float>(setting_.plan.salient_weight));
    }
    constexpr int kTurns = 12;
    double& threshold = thresholds_[static_cast<size_t>(g)];
    const int64_t free = room() - left_out_;
    threshold = free > 0 ? setting_.plan.threshold : INFINITY;
    std::vector<AffineGroup> fitted(groups.size());
    int64_t left_out = fit_rows(g, groups, threshold, fitted);
    for (int turn = 0; 2 * left_out > free && !std::isinf(threshold); ++turn) {
      threshold = turn < kTurns ? 2 * threshold : INFINITY;
      left_out = fit_rows(g, groups, threshold, fitted);
    }
    left_out_ += left_out;
    for (int64_t r = 0; r < rows_ && storage.second_bits > 0; r += storage.second_rows) {
      const int64_t end = std::min(rows_, r + storage.second_rows);
      const std::vector<AffineGroup> of_block(fitted.begin() + r, fitted.begin() + end);
      std::vector<AffineScale> scales;
      for (int64_t i = r; i < end; ++i) scales.push_back(scale(i, g));
      seconds_[static_cast<size_t>(r / storage.second_rows * setting_.groups + g)] =
          round_second(storage.second_bits, of_block, setting_.bits_of(g),
                       setting_.plan.search == AffineSearch::kLeastSquares, scales);
      for (int64_t i = r; i < end; ++i) scale(i, g) = scales[static_cast<size_t>(i - r)];
    }
  }

  void fit_originals() {
    const int64_t cols = setting_.cols;
    std::vector<float> w(static_cast<size_t>(rows_ * cols));
    setting_.problem.weights.decode_rows(first_, first_ + rows_, w.data());
    for (int64_t g = 0; g < setting_.groups; ++g) {
      const int64_t begin = g * setting_.storage.width(cols), end = begin + setting_.storage.width_of(g, cols);
      std::vector<AffineGroup> groups(static_cast<size_t>(rows_));
      for (int64_t r = 0; r < rows_; ++r) {
        AffineGroup& group = groups[static_cast<size_t>(r)];
        group.w.assign(w.begin() + r * cols + begin, w.begin() + r * cols + end);
        for (int64_t c = begin; c < end; ++c) group.h.push_back(setting_.cost_of(c));
      }
      fit_group(g, std::move(groups));
    }
  }

  /// Weights of the column whose errors cost more than the threshold, as many as there is room for.
  void keep(int64_t position, const float* w, float* q) {
    const int64_t column = setting_.column_at(position);
    const auto cost = static_cast<double>(setting_.cost_of(column));
    const double threshold = thresholds_[static_cast<size_t>(setting_.group_of(position))];
    std::vector<std::pair<double, int64_t>> costly;  // minus the cost, row
    for (int64_t r = 0; r < rows_; ++r) {
      const double difference = static_cast<double>(w[r]) - static_cast<double>(q[r]);
      const double error = cost * difference * difference;
      if (error > threshold) costly.emplace_back(-error, r);
    }
    const auto left = static_cast<size_t>(room());
    if (costly.size() > left) {
      std::nth_element(costly.begin(), costly.begin() + static_cast<ptrdiff_t>(left), costly.end());
      costly.resize(left);
    }
    for (const auto& [negative_cost, r] : costly) {
      const float added = finite_f16(w[r] - q[r]);
      kept_.push_back({first_ + r, column, added});
      q[r] += added;
    }
    kept_end_.push_back(kept_.size());
  }

  const Setting& setting_;
  int64_t first_, rows_;
  std::vector<uint8_t> codes_;         // [rows, cols]
  std::vector<AffineScale> scales_;    // [rows, groups]
  std::vector<AffineSecond> seconds_;  // [blocks, groups]
  std::vector<KeptEntry> kept_;        // in the order of the loop
  std::vector<double> thresholds_;     // by group
  int64_t left_out_ = 0;               // of fits, and not kept yet
  std::vector<size_t> kept_end_;       // by position
  int64_t saturated_ = 0;
};

class AffinePolicies final : public ColumnPolicies {
 public:
  AffinePolicies(const ColumnProblem& problem, const Storage& storage, AffinePlan plan, ThreadPool& threads)
      : storage_(storage),
        rows_(problem.weights.rows()),
        setting_{problem, storage_.base.get<AffineStorage>(), std::move(plan), problem.weights.cols(), 0, false} {
    setting_.groups = setting_.storage.groups(setting_.cols);
    if (setting_.plan.widths.empty()) {
      setting_.plan.widths.assign(static_cast<size_t>(setting_.groups), static_cast<uint8_t>(setting_.storage.bits));
    }
    setting_.fitted = !problem.static_groups && groups_lie_together();
    TileReader(problem.place, problem.weights, 1, threads).for_each([](int64_t, int64_t, int64_t, const float*) {});
    values_.widths = setting_.plan.widths;
    values_.codes.resize(static_cast<size_t>(rows_ * setting_.cols));
    values_.scales.resize(static_cast<size_t>(rows_ * setting_.groups));
    if (setting_.storage.second_bits > 0) {
      values_.seconds.resize(static_cast<size_t>(setting_.storage.blocks(rows_) * setting_.groups));
    }
    kept_.resize(static_cast<size_t>(rows_));
  }

  bool rows_are_separable() const override { return true; }
  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<AffineColumns>(setting_, rows);
  }

  void store(RowRange rows, const Bytes& chosen) override {
    BytesReader reader(chosen);
    const auto codes = reader.take<uint8_t>();
    const auto scales = reader.take<AffineScale>();
    const auto seconds = reader.take<AffineSecond>();
    const auto kept = reader.take<KeptEntry>();
    const AffineStorage& storage = setting_.storage;
    const int64_t blocks = storage.second_bits > 0 ? storage.blocks(rows.count()) : 0;
    if (static_cast<int64_t>(codes.size()) != rows.count() * setting_.cols ||
        static_cast<int64_t>(scales.size()) != rows.count() * setting_.groups ||
        static_cast<int64_t>(seconds.size()) != blocks * setting_.groups) {
      fail(ErrorKind::kFailed, "rows [{}, {}): {} codes and {} scales of {} columns do not fit", rows.begin, rows.end,
           codes.size(), scales.size(), setting_.cols);
    }
    std::copy(codes.begin(), codes.end(), values_.codes.begin() + rows.begin * setting_.cols);
    std::copy(scales.begin(), scales.end(), values_.scales.begin() + rows.begin * setting_.groups);
    std::copy(seconds.begin(), seconds.end(),
              values_.seconds.begin() + rows.begin / storage.second_rows * setting_.groups);
    for (const KeptEntry& entry : kept) {
      if (entry.row < rows.begin || entry.row >= rows.end) {
        fail(ErrorKind::kFailed, "rows [{}, {}): a weight of row {} does not fit", rows.begin, rows.end, entry.row);
      }
      kept_[static_cast<size_t>(entry.row)].push_back({entry.row, entry.col, entry.added});
    }
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    auto bytes = pack_affine(setting_.storage, rows_, setting_.cols, values_);
    if (storage_.side.outliers.present()) {
      std::vector<Outlier> outliers;
      for (const auto& of_row : kept_) outliers.insert(outliers.end(), of_row.begin(), of_row.end());
      for (auto& part : pack_outliers(std::move(outliers), rows_)) bytes.push_back(std::move(part));
    }
    return stored_from_bytes(name, storage_, rows_, setting_.cols, std::move(bytes));
  }

 private:
  /// Whether every run of a group's width holds the columns of one group.
  bool groups_lie_together() const {
    const int64_t width = setting_.storage.width(setting_.cols);
    for (int64_t p = 0; p < setting_.cols; ++p) {
      if (setting_.group_of(p) != setting_.group_of(p / width * width)) return false;
    }
    return true;
  }

  const Storage storage_;
  int64_t rows_;
  Setting setting_;
  AffineValues values_;
  std::vector<std::vector<Outlier>> kept_;  // by row
};

}  // namespace

namespace {

/// The group without its weight i.
AffineGroup without(const AffineGroup& group, ptrdiff_t i) {
  AffineGroup others = group;
  others.w.erase(others.w.begin() + i);
  if (!others.h.empty()) others.h.erase(others.h.begin() + i);
  return others;
}

/// By weight, how much less the group errs when it is left out. Only the least and the greatest move the range; of any
/// other the gain is its own error. No more than `total` can be gained, so where that is too little these two are not
/// tried.
std::vector<double> gains(const AffineGroup& group, const AffineScale& scale, int bits, AffineSearch search,
                          double threshold) {
  std::vector<double> gains;
  double total = 0;
  for (size_t i = 0; i < group.w.size(); ++i) {
    const double difference =
        static_cast<double>(group.w[i]) - static_cast<double>(scale.value(affine_code(group.w[i], scale, bits)));
    gains.push_back((group.h.empty() ? 1.0 : static_cast<double>(group.h[i])) * difference * difference);
    total += gains.back();
  }
  if (!(total > threshold)) return gains;
  const auto [least, greatest] = std::minmax_element(group.w.begin(), group.w.end());
  for (const auto extreme : {least, greatest}) {
    const ptrdiff_t i = extreme - group.w.begin();
    const AffineGroup others = without(group, i);
    gains[static_cast<size_t>(i)] = total - affine_error(others, choose_affine(others, bits, search), bits);
  }
  return gains;
}

}  // namespace

OutlierFit fit_leaving_out_at_once(const AffineGroup& group, int bits, AffineSearch search, double threshold) {
  const AffineScale whole = choose_affine(group, bits, search);
  const std::vector<double> gain = gains(group, whole, bits, search, threshold);
  AffineGroup rest;
  for (size_t i = 0; i < gain.size(); ++i) {
    if (gain[i] > threshold) continue;
    rest.w.push_back(group.w[i]);
    if (!group.h.empty()) rest.h.push_back(group.h[i]);
  }
  if (rest.w.empty() || rest.w.size() == gain.size()) return {whole, group};
  const AffineScale scale = choose_affine(rest, bits, search);
  return {scale, std::move(rest)};
}

OutlierFit fit_without_outliers(const AffineGroup& group, int bits, AffineSearch search, double threshold) {
  AffineGroup rest = group;
  AffineScale scale = choose_affine(rest, bits, search);
  while (rest.w.size() > 1) {
    const std::vector<double> gain = gains(rest, scale, bits, search, threshold);
    const auto most = std::max_element(gain.begin(), gain.end());
    if (!(*most > threshold)) break;
    rest = without(rest, most - gain.begin());
    scale = choose_affine(rest, bits, search);
  }
  return {scale, std::move(rest)};
}

bool is_affine(const Storage& storage) {
  return storage.base.get_if<AffineStorage>() != nullptr && storage.side == SideTerms{};
}

double affine_work(const RoundingShape& shape) {
  return 60 * static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
}

std::unique_ptr<ColumnPolicies> make_affine_policies(const ColumnProblem& problem, ThreadPool& threads) {
  return make_affine_policies(problem, problem.target.storage, {}, threads);
}

std::unique_ptr<ColumnPolicies> make_affine_policies(const ColumnProblem& problem, const Storage& storage,
                                                     AffinePlan plan, ThreadPool& threads) {
  return std::make_unique<AffinePolicies>(problem, storage, std::move(plan), threads);
}

}  // namespace bitloom
