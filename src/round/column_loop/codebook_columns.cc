#include "round/column_loop/codebook_columns.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "round/kmeans/exact_kmeans.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

/// Rows of the weights that are kept, and tables for the others; buffers that serve column after column.
class TableFit {
 public:
  TableFit(const CodebookPlan& plan, size_t rows) : plan_(plan), x_(rows) {
    for (const float scale : plan.row_scales) masses_.push_back(scale * scale);
  }

  /// Takes a column's weights. What feedback adds may go beyond fp16, in which levels are stored.
  void load(const float* w) {
    for (size_t r = 0; r < x_.size(); ++r) {
      x_[r] = std::clamp(plan_.row_scales.empty() ? w[r] : w[r] / plan_.row_scales[r], -kMostF16, kMostF16);
    }
  }
  const std::vector<float>& x() const { return x_; }
  const std::vector<float>& masses() const { return masses_; }
  /// The loaded column, for fit() and for what keep() takes from the top and the bottom.
  void sort() { sort_places(x_, places_, scratch_); }

  /// Of the loaded column, w; ascending, ties go to the lower row.
  std::vector<uint32_t> keep(const KeptCounts& counts, const float* w) const {
    const size_t rows = x_.size();
    std::vector<uint32_t> kept;
    if (counts.greatest > 0) {
      kept.resize(rows);
      std::iota(kept.begin(), kept.end(), 0u);
      const auto before = [w](uint32_t a, uint32_t b) {
        const float x = std::abs(w[a]), y = std::abs(w[b]);
        return x != y ? x > y : a < b;
      };
      const auto count = static_cast<ptrdiff_t>(std::min<int64_t>(counts.greatest, static_cast<int64_t>(rows)));
      std::nth_element(kept.begin(), kept.begin() + (count - 1), kept.end(), before);
      kept.resize(static_cast<size_t>(count));
    } else if (counts.top > 0 || counts.bottom > 0) {
      assert(places_.size() == rows);  // sorted
      const auto bottom = std::min<size_t>(static_cast<size_t>(counts.bottom), rows);
      const auto top = std::min<size_t>(static_cast<size_t>(counts.top), rows - bottom);
      kept.assign(places_.begin(), places_.begin() + static_cast<ptrdiff_t>(bottom));
      kept.insert(kept.end(), places_.end() - static_cast<ptrdiff_t>(top), places_.end());
    }
    std::sort(kept.begin(), kept.end());
    return kept;
  }

  /// Flags of rows; empty when there are none.
  std::vector<uint8_t> flags(const std::vector<uint32_t>& kept) const {
    std::vector<uint8_t> flags(kept.empty() ? 0 : x_.size(), 0);
    for (const uint32_t r : kept) flags[r] = 1;
    return flags;
  }

  /// Levels for the loaded column but for the rows left out, rounded to fp16, by gathered points.
  std::vector<float> fit_gathered(int64_t levels, const std::vector<uint8_t>& left_out) {
    gathered_.gather(x_, masses_, left_out, levels);
    return levels_for(SortedPoints(gathered_.values(), gathered_.masses()), levels);
  }

  /// The same of the sorted column, by its values.
  std::vector<float> fit(int64_t levels, const std::vector<uint8_t>& left_out) {
    sorted_.clear(), sorted_masses_.clear();
    for (const uint32_t r : places_) {
      if (!left_out.empty() && left_out[r] != 0) continue;
      sorted_.push_back(x_[r]);
      if (!masses_.empty()) sorted_masses_.push_back(masses_[r]);
    }
    return levels_for(SortedPoints(sorted_, sorted_masses_), levels);
  }

 private:
  static std::vector<float> levels_for(const SortedPoints& points, int64_t levels) {
    std::vector<float> table;
    for (const double mean : cluster_means(points, fast_kmeans(points, levels, KMeansRounding{}.iterations))) {
      table.push_back(finite_f16(static_cast<float>(mean)));
    }
    return table;
  }

  const CodebookPlan& plan_;
  std::vector<float> x_, masses_, sorted_, sorted_masses_;
  std::vector<uint32_t> places_;  // rows in ascending order of x
  std::vector<uint64_t> scratch_;
  GatheredPoints gathered_;
};

class CodebookColumns final : public StoringPolicy {
 public:
  CodebookColumns(const std::vector<int64_t>& order, const CodebookPlan& plan, int64_t rows, ThreadPool* threads)
      : order_(order),
        plan_(plan),
        threads_(threads),
        rows_(static_cast<size_t>(rows)),
        fits_(static_cast<size_t>(threads == nullptr ? 1 : threads->thread_count()), TableFit(plan, rows_)) {
    chosen_.columns.resize(order.size());
    chosen_.kept.resize(order.size());
  }

  int64_t group() const override { return fits_ahead() ? kColumnsAhead : 1; }

  /// Tables of the group's columns as they are now.
  void begin_group(int64_t begin, int64_t end, const float* columns) override {
    if (!fits_ahead()) return;
    threads_->parallel_for_thread(end - begin, [&](int64_t i, int thread) {
      const auto column = static_cast<size_t>(order_[static_cast<size_t>(begin + i)]);
      const float* w = columns + i * static_cast<int64_t>(rows_);
      TableFit& fit = fits_[static_cast<size_t>(thread)];
      fit.load(w);
      chosen_.columns[column].table = fit.fit_gathered(levels_of(column), fit.flags(kept_of(column, fit, w)));
    });
  }

  void quantize_column(int64_t position, const float* w, float* q) override {
    const auto c = static_cast<size_t>(order_[static_cast<size_t>(position)]);
    CodebookColumn& column = chosen_.columns[c];
    TableFit& fit = fits_[0];
    fit.load(w);
    if (!fits_ahead()) fit.sort();
    const std::vector<uint32_t> kept = kept_of(c, fit, w);
    const std::vector<uint8_t> left_out = plan_.tables_fit_kept ? std::vector<uint8_t>{} : fit.flags(kept);
    column.bits = plan_.widths[c];
    column.codes.resize(rows_);
    if (!fits_ahead()) column.table = fit.fit(levels_of(c), left_out);
    move_table(fit, left_out, fits_ahead() ? kTurns : 0, column);
    for (const uint32_t r : kept) {
      chosen_.kept[c].push_back({r, finite_f16(fit.x()[r] - column.table[column.codes[r]])});
    }
    decode(c, q);
  }

  void refine(const LoopResult& result) override {
    if (plan_.refine) plan_.refine(result, chosen_);
  }

  void decode_column(int64_t position, float* weights) const override {
    decode(static_cast<size_t>(order_[static_cast<size_t>(position)]), weights);
  }

  Bytes chosen() const override {
    Bytes bytes;
    bytes.reserve(chosen_.columns.size() * (rows_ + kRoomAColumn));
    for (size_t c = 0; c < chosen_.columns.size(); ++c) {
      append(bytes, chosen_.columns[c].table);
      append(bytes, chosen_.columns[c].codes);
      append(bytes, chosen_.kept[c]);
    }
    return bytes;
  }

 private:
  static constexpr int64_t kColumnsAhead = 16;
  static constexpr size_t kRoomAColumn = 256;  // bytes of a table and of the lengths of what is chosen
  static constexpr int kTurns = 3;             // of Lloyd's algorithm, from the table fitted ahead

  bool fits_ahead() const { return threads_ != nullptr; }
  int64_t levels_of(size_t column) const { return int64_t{1} << plan_.widths[column]; }
  std::vector<uint32_t> kept_of(size_t column, const TableFit& fit, const float* w) const {
    return plan_.kept.empty() ? std::vector<uint32_t>{} : fit.keep(plan_.kept[column], w);
  }

  /// So many turns of Lloyd's algorithm for the loaded column, and the codes by what comes of them.
  void move_table(const TableFit& fit, const std::vector<uint8_t>& left_out, int turns, CodebookColumn& column) const {
    const float* x = fit.x().data();
    for (int turn = 0; turn < turns; ++turn) encode_and_move(x, fit.masses(), left_out, column.table, column.codes);
    encode_levels(column.table, x, static_cast<int64_t>(rows_), column.codes.data());
  }

  /// As the stored matrix decodes.
  void decode(size_t column, float* weights) const {
    const CodebookColumn& chosen = chosen_.columns[column];
    decode_levels(chosen.table, chosen.codes.data(), static_cast<int64_t>(rows_), weights);
    for (const KeptWeight& kept : chosen_.kept[column]) weights[kept.row] += kept.added;
    for (size_t r = 0; r < plan_.row_scales.size(); ++r) weights[r] *= plan_.row_scales[r];
  }

  const std::vector<int64_t>& order_;
  const CodebookPlan& plan_;
  ThreadPool* threads_;
  size_t rows_;
  std::vector<TableFit> fits_;  // by thread
  ColumnCodebooks chosen_;
};

class CodebookPolicies final : public ColumnPolicies {
 public:
  CodebookPolicies(Storage storage, const std::vector<int64_t>& order, int64_t rows, CodebookPlan plan)
      : storage_(std::move(storage)), order_(order), rows_(rows), plan_(std::move(plan)) {}

  bool rows_are_separable() const override { return false; }

  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<CodebookColumns>(order_, plan_, rows.count(), plan_.fit_ahead);
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
    const auto cols = static_cast<int64_t>(plan_.widths.size());
    std::vector<std::vector<std::byte>> bytes = pack_columns(chosen_.columns, plan_.fit_ahead);
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
