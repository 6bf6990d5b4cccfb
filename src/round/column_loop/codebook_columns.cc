#include "round/column_loop/codebook_columns.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/plain_bytes.h"
#include "round/kmeans/exact_kmeans.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

class CodebookColumns final : public StoringPolicy {
 public:
  CodebookColumns(const std::vector<int64_t>& order, const CodebookPlan& plan, int64_t rows)
      : order_(order), plan_(plan), rows_(static_cast<size_t>(rows)), x_(rows_), masses_(rows_), sorted_masses_() {
    chosen_.columns.resize(order.size());
    chosen_.kept.resize(order.size());
    for (size_t r = 0; r < plan.row_scales.size(); ++r) masses_[r] = plan.row_scales[r] * plan.row_scales[r];
  }

  int64_t group() const override { return 1; }
  void begin_group(int64_t, int64_t, const float*) override {}

  void quantize_column(int64_t position, const float* w, float* q) override {
    const auto column = static_cast<size_t>(order_[static_cast<size_t>(position)]);
    // What feedback adds may go beyond fp16, in which levels are stored.
    for (size_t r = 0; r < rows_; ++r) x_[r] = std::clamp(w[r] / scale(r), -kMostF16, kMostF16);
    sort_places(x_, places_, scratch_);
    const std::vector<uint32_t> kept = plan_.kept.empty() ? std::vector<uint32_t>{} : keep(plan_.kept[column], w);
    CodebookColumn& chosen = chosen_.columns[column];
    chosen.bits = plan_.widths[column];
    chosen.table = fit_table(int64_t{1} << chosen.bits, plan_.tables_fit_kept ? std::vector<uint32_t>{} : kept);
    chosen.codes.resize(rows_);
    encode_levels(chosen.table, x_.data(), static_cast<int64_t>(rows_), chosen.codes.data());
    for (const uint32_t r : kept) {
      chosen_.kept[column].push_back({r, finite_f16(x_[r] - chosen.table[chosen.codes[r]])});
    }
    decode(column, q);
  }

  void decode_column(int64_t position, float* weights) const override {
    decode(static_cast<size_t>(order_[static_cast<size_t>(position)]), weights);
  }

  Bytes chosen() const override {
    Bytes bytes;
    for (size_t c = 0; c < chosen_.columns.size(); ++c) {
      append(bytes, chosen_.columns[c].table);
      append(bytes, chosen_.columns[c].codes);
      append(bytes, chosen_.kept[c]);
    }
    return bytes;
  }

 private:
  float scale(size_t r) const { return plan_.row_scales.empty() ? 1.0f : plan_.row_scales[r]; }

  /// As the stored matrix decodes.
  void decode(size_t column, float* weights) const {
    const CodebookColumn& chosen = chosen_.columns[column];
    for (size_t r = 0; r < rows_; ++r) weights[r] = chosen.table[chosen.codes[r]];
    for (const KeptWeight& kept : chosen_.kept[column]) weights[kept.row] += kept.added;
    for (size_t r = 0; r < plan_.row_scales.size(); ++r) weights[r] *= plan_.row_scales[r];
  }

  /// Rows of the weights that are kept, ascending; ties go to the lower row.
  std::vector<uint32_t> keep(const KeptCounts& counts, const float* w) const {
    std::vector<uint32_t> kept;
    if (counts.greatest > 0) {
      kept.resize(rows_);
      std::iota(kept.begin(), kept.end(), 0u);
      const auto before = [w](uint32_t a, uint32_t b) {
        const float x = std::abs(w[a]), y = std::abs(w[b]);
        return x != y ? x > y : a < b;
      };
      const auto count = static_cast<ptrdiff_t>(std::min<int64_t>(counts.greatest, static_cast<int64_t>(rows_)));
      std::nth_element(kept.begin(), kept.begin() + (count - 1), kept.end(), before);
      kept.resize(static_cast<size_t>(count));
    } else {
      const auto bottom = std::min<size_t>(static_cast<size_t>(counts.bottom), rows_);
      const auto top = std::min<size_t>(static_cast<size_t>(counts.top), rows_ - bottom);
      kept.assign(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(bottom));
      kept.insert(kept.end(), places_.end() - static_cast<ptrdiff_t>(top), places_.end());
    }
    std::sort(kept.begin(), kept.end());
    return kept;
  }

  /// Levels for x but for the rows left out, rounded to fp16.
  std::vector<float> fit_table(int64_t levels, const std::vector<uint32_t>& left_out) {
    out_.assign(left_out.empty() ? 0 : rows_, 0);
    for (const uint32_t r : left_out) out_[r] = 1;
    sorted_.clear(), sorted_masses_.clear();
    for (const uint32_t r : places_) {
      if (!left_out.empty() && out_[r] != 0) continue;
      sorted_.push_back(x_[r]);
      if (!plan_.row_scales.empty()) sorted_masses_.push_back(masses_[r]);
    }
    const SortedPoints points(sorted_, sorted_masses_);
    std::vector<float> table;
    for (const double mean : cluster_means(points, fast_kmeans(points, levels, KMeansRounding{}.iterations))) {
      table.push_back(finite_f16(static_cast<float>(mean)));
    }
    return table;
  }

  const std::vector<int64_t>& order_;
  const CodebookPlan& plan_;
  size_t rows_;
  ColumnCodebooks chosen_;
  std::vector<float> x_, masses_, sorted_, sorted_masses_;
  std::vector<uint8_t> out_;
  std::vector<uint32_t> places_;  // of x in ascending order
  std::vector<uint64_t> scratch_;
};

class CodebookPolicies final : public ColumnPolicies {
 public:
  CodebookPolicies(Storage storage, const std::vector<int64_t>& order, int64_t rows, CodebookPlan plan)
      : storage_(std::move(storage)), order_(order), rows_(rows), plan_(std::move(plan)) {}

  bool rows_are_separable() const override { return false; }

  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<CodebookColumns>(order_, plan_, rows.count());
  }

  void store(RowRange rows, const Bytes& chosen) override {
    if (rows.begin != 0 || rows.end != rows_) {
      fail(ErrorKind::kFailed, "rows [{}, {}) of {} share their columns' tables with the others", rows.begin, rows.end,
           rows_);
    }
    BytesReader reader(chosen);
    chosen_ = {};
    for (const int bits : plan_.widths) {
      CodebookColumn column{bits, {}, reader.take<float>()};
      column.codes = reader.take<uint8_t>();
      if (column.table.size() != size_t{1} << bits || static_cast<int64_t>(column.codes.size()) != rows_) {
        fail(ErrorKind::kFailed, "column {}: {} levels and {} codes do not fit {} bits and {} rows",
             chosen_.columns.size(), column.table.size(), column.codes.size(), bits, rows_);
      }
      chosen_.columns.push_back(std::move(column));
      chosen_.kept.push_back(reader.take<KeptWeight>());
    }
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    if (plan_.refine) plan_.refine(chosen_);
    const auto cols = static_cast<int64_t>(plan_.widths.size());
    std::vector<std::vector<std::byte>> bytes = pack_columns(chosen_.columns);
    if (storage_.side.outliers.present()) {
      std::vector<Outlier> outliers;
      for (int64_t c = 0; c < cols; ++c) {
        for (const KeptWeight& kept : chosen_.kept[static_cast<size_t>(c)])
          outliers.push_back({kept.row, c, kept.added});
      }
      for (auto& part : pack_outliers(std::move(outliers), rows_)) bytes.push_back(std::move(part));
    }
    if (!plan_.row_scales.empty()) {
      bytes.emplace_back(2 * plan_.row_scales.size());
      encode_from_f32(DType::kF16, plan_.row_scales.data(), rows_, bytes.back().data());
    }
    return stored_from_bytes(name, storage_, rows_, cols, std::move(bytes));
  }

 private:
  Storage storage_;
  const std::vector<int64_t>& order_;
  int64_t rows_;
  CodebookPlan plan_;
  ColumnCodebooks chosen_;
};

}  // namespace

bool is_column_codebook(const Storage& storage) {
  const auto* codebook = storage.base.get_if<CodebookStorage>();
  return codebook != nullptr && codebook->share == CodebookStorage::Share::kColumn && storage.side == SideTerms{};
}

std::unique_ptr<ColumnPolicies> make_codebook_policies(const ColumnProblem& problem, ThreadPool& threads) {
  const Storage& storage = problem.target.storage;
  CodebookPlan plan;
  plan.widths = codebook_widths(problem.place, problem.weights, storage, KMeansRounding{}, threads);
  return make_codebook_policies(storage, problem.order, problem.weights.rows(), std::move(plan));
}

std::unique_ptr<ColumnPolicies> make_codebook_policies(const Storage& storage, const std::vector<int64_t>& order,
                                                       int64_t rows, CodebookPlan plan) {
  return std::make_unique<CodebookPolicies>(storage, order, rows, std::move(plan));
}

}  // namespace bitloom
