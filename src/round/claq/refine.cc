#include "round/claq/refine.h"

#include <algorithm>

#include "base/memory/dtype.h"
#include "base/simd/vector_clones.h"
#include "linalg/gemm.h"
#include "round/claq/error_product.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

constexpr int64_t kSpan = ErrorProduct::kMostColumns;  // columns whose G is made at once
constexpr int64_t kBlock = 128;                        // columns between products inside a span
constexpr int64_t kLeaf = 16;                          // columns that change each other's G one by one
constexpr int64_t kSlab = 256;                         // rows that one thread takes

BITLOOM_VECTOR_CLONES void add_scaled(float* y, const float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

/// y = x - y.
BITLOOM_VECTOR_CLONES void subtract_from(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] - y[i];
}

/// One run over a matrix; E and G are [cols, rows].
class Refiner {
 public:
  Refiner(const RefineProblem& problem, ColumnCodebooks& chosen, ThreadPool& threads)
      : p_(problem),
        chosen_(chosen),
        threads_(threads),
        product_(p_.rows, p_.cols, p_.row_scales, p_.words, threads),
        h_(static_cast<size_t>(std::min(kSpan, p_.cols) * p_.cols)),
        gradient_(static_cast<size_t>(std::min(kSpan, p_.cols) * p_.rows)),
        moved_(static_cast<size_t>(std::min(kBlock, p_.cols) * p_.rows)),
        q_(static_cast<size_t>(p_.rows)),
        target_(q_.size()) {
    for (const float scale : p_.row_scales) masses_.push_back(scale * scale);
    threads_.parallel_for(p_.cols, [&](int64_t position) {
      const int64_t c = p_.order[static_cast<size_t>(position)];
      decode(static_cast<size_t>(c), column(c));
      subtract_from(p_.original + position * p_.rows, column(c), p_.rows);
    });
    product_.load(p_.errors, 0, p_.cols);
  }

  void turn() {
    for (begin_ = 0; begin_ < p_.cols; begin_ = end_) {
      end_ = std::min(p_.cols, begin_ + kSpan);
      p_.moment_rows(begin_, end_, h_.data());
      product_.multiply(h_.data(), p_.errors, begin_, end_, gradient_.data());
      for (int64_t block = begin_; block < end_; block += kBlock) {
        const int64_t block_end = std::min(end_, block + kBlock);
        for (int64_t leaf = block; leaf < block_end; leaf += kLeaf) {
          const int64_t leaf_end = std::min(block_end, leaf + kLeaf);
          for (int64_t c = leaf; c < leaf_end; ++c) run_column(c, leaf_end, moved_.data() + (c - block) * p_.rows);
          pay(leaf, leaf_end, block_end, moved_.data() + (leaf - block) * p_.rows);
        }
        pay(block, block_end, end_, moved_.data());
      }
      product_.load(p_.errors, begin_, end_);
    }
  }

 private:
  float* column(int64_t c) { return p_.errors + c * p_.rows; }
  float scale(size_t r) const { return p_.row_scales.empty() ? 1.0f : p_.row_scales[r]; }

  /// Row c of H, in the span.
  const float* moment(int64_t c) const { return h_.data() + (c - begin_) * p_.cols; }
  float* gradient(int64_t c) { return gradient_.data() + (c - begin_) * p_.rows; }

  /// G of the columns [from_end, to_end) for what [from, from_end) moved by, `moved` [from_end - from, rows].
  void pay(int64_t from, int64_t from_end, int64_t to_end, const float* moved) {
    if (from_end == to_end) return;
    threads_.parallel_for((p_.rows + kSlab - 1) / kSlab, [&](int64_t slab) {
      const int64_t row = slab * kSlab, count = std::min(p_.rows - row, kSlab);
      sgemm(Transpose::kNo, Transpose::kNo, to_end - from_end, count, from_end - from, 1.0f, moment(from_end) + from,
            p_.cols, moved + row, p_.rows, 1.0f, gradient(from_end) + row, p_.rows);
    });
  }

  /// moved [rows]: what the column's values become less.
  void run_column(int64_t c, int64_t leaf_end, float* moved) {
    const float* h = moment(c);
    const float own = h[c];
    const float* g = gradient(c);
    const auto place = static_cast<size_t>(c);
    decode(place, q_.data());
    for (size_t r = 0; r < q_.size(); ++r) {
      target_[r] = std::clamp((q_[r] + g[r] / own) / scale(r), -kMostF16, kMostF16);
    }
    choose(place);
    decode(place, moved);
    subtract_from(q_.data(), moved, p_.rows);
    add_scaled(column(c), moved, 1.0f, p_.rows);
    for (int64_t k = c + 1; k < leaf_end; ++k) add_scaled(gradient(k), moved, h[k], p_.rows);
  }

  /// Codes, levels and kept weights of a column for its target.
  void choose(size_t c) {
    CodebookColumn& column = chosen_.columns[c];
    std::sort(column.table.begin(), column.table.end());
    left_out_.assign(chosen_.kept[c].empty() ? 0 : q_.size(), 0);
    for (const KeptWeight& kept : chosen_.kept[c]) left_out_[kept.row] = 1;
    encode_and_move(target_.data(), masses_, left_out_, column.table, column.codes);
    for (KeptWeight& kept : chosen_.kept[c])
      kept.added = finite_f16(target_[kept.row] - column.table[column.codes[kept.row]]);
  }

  void decode(size_t c, float* out) const {
    const CodebookColumn& column = chosen_.columns[c];
    decode_levels(column.table, column.codes.data(), p_.rows, out);
    for (const KeptWeight& kept : chosen_.kept[c]) out[kept.row] += kept.added;
    for (size_t r = 0; r < p_.row_scales.size(); ++r) out[r] *= p_.row_scales[r];
  }

  const RefineProblem& p_;
  ColumnCodebooks& chosen_;
  ThreadPool& threads_;
  ErrorProduct product_;
  int64_t begin_ = 0, end_ = 0;  // of the span
  std::vector<float> h_;         // H of the span, [columns, cols]
  std::vector<float> gradient_;  // G of the span, [columns, rows]
  std::vector<float> moved_;     // how far a block's columns moved
  std::vector<float> q_, target_, masses_;
  std::vector<uint8_t> left_out_;
};

}  // namespace

int64_t refine_memory(int64_t rows, int64_t cols) {
  return 4 * ((kSpan + kBlock) * rows + kSpan * cols) + ErrorProduct::memory(rows, cols);
}

void refine_codebooks(const RefineProblem& problem, int64_t turns, ColumnCodebooks& chosen, ThreadPool& threads) {
  if (turns <= 0 || problem.rows == 0) return;
  Refiner refiner(problem, chosen, threads);
  for (int64_t turn = 0; turn < turns; ++turn) refiner.turn();
}

}  // namespace bitloom
