#include "round/column_loop/codebook_columns.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/plain_bytes.h"
#include "format/families/codebook/codebook_matrix.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

class CodebookColumns final : public StoringPolicy {
 public:
  /// `widths`: bits by column.
  CodebookColumns(const std::vector<int64_t>& order, const std::vector<int>& widths, int64_t rows)
      : order_(order), widths_(widths), rows_(rows), columns_(order.size()) {}

  int64_t group() const override { return 1; }
  void begin_group(int64_t, int64_t, const float*) override {}

  void quantize_column(int64_t position, const float* w, float* q) override {
    const auto column = static_cast<size_t>(order_[static_cast<size_t>(position)]);
    // What feedback adds may go beyond fp16, in which levels are stored.
    std::vector<float> sorted(w, w + rows_);
    for (float& value : sorted) value = std::clamp(value, -kMostF16, kMostF16);
    std::sort(sorted.begin(), sorted.end());
    CodebookColumn& chosen = columns_[column];
    chosen.bits = widths_[column];
    chosen.table = kmeans_levels(sorted, int64_t{1} << chosen.bits, KMeansRounding{}.iterations);
    chosen.codes.resize(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r) {
      const uint8_t code = nearest_level(chosen.table, w[r]);
      chosen.codes[static_cast<size_t>(r)] = code;
      q[r] = chosen.table[code];
    }
  }

  void decode_column(int64_t position, float* weights) const override {
    const CodebookColumn& chosen = columns_[static_cast<size_t>(order_[static_cast<size_t>(position)])];
    for (int64_t r = 0; r < rows_; ++r) weights[r] = chosen.table[chosen.codes[static_cast<size_t>(r)]];
  }

  Bytes chosen() const override {
    Bytes bytes;
    for (const CodebookColumn& column : columns_) {
      append(bytes, column.table);
      append(bytes, column.codes);
    }
    return bytes;
  }

 private:
  const std::vector<int64_t>& order_;
  const std::vector<int>& widths_;
  int64_t rows_;
  std::vector<CodebookColumn> columns_;  // by column
};

class CodebookPolicies final : public ColumnPolicies {
 public:
  CodebookPolicies(const ColumnProblem& problem, ThreadPool& threads)
      : storage_(problem.target.storage),
        order_(problem.order),
        rows_(problem.weights.rows()),
        widths_(codebook_widths(problem.place, problem.weights, storage_, KMeansRounding{}, threads)) {}

  bool rows_are_separable() const override { return false; }

  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<CodebookColumns>(order_, widths_, rows.count());
  }

  void store(RowRange rows, const Bytes& chosen) override {
    if (rows.begin != 0 || rows.end != rows_) {
      fail(ErrorKind::kFailed, "rows [{}, {}) of {} share their columns' tables with the others", rows.begin, rows.end,
           rows_);
    }
    BytesReader reader(chosen);
    columns_.clear();
    for (const int bits : widths_) {
      CodebookColumn column{bits, {}, reader.take<float>()};
      column.codes = reader.take<uint8_t>();
      if (column.table.size() != size_t{1} << bits || static_cast<int64_t>(column.codes.size()) != rows_) {
        fail(ErrorKind::kFailed, "column {}: {} levels and {} codes do not fit {} bits and {} rows", columns_.size(),
             column.table.size(), column.codes.size(), bits, rows_);
      }
      columns_.push_back(std::move(column));
    }
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    return stored_from_bytes(name, storage_, rows_, static_cast<int64_t>(widths_.size()), pack_columns(columns_));
  }

 private:
  Storage storage_;
  const std::vector<int64_t>& order_;
  int64_t rows_;
  std::vector<int> widths_;  // by column
  std::vector<CodebookColumn> columns_;
};

}  // namespace

bool is_column_codebook(const Storage& storage) {
  const auto* codebook = storage.base.get_if<CodebookStorage>();
  return codebook != nullptr && codebook->share == CodebookStorage::Share::kColumn && storage.side == SideTerms{};
}

std::unique_ptr<ColumnPolicies> make_codebook_policies(const ColumnProblem& problem, ThreadPool& threads) {
  return std::make_unique<CodebookPolicies>(problem, threads);
}

}  // namespace bitloom
