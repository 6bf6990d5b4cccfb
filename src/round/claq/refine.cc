#include "round/claq/refine.h"

#include <algorithm>
#include <utility>

#include "base/dtype.h"
#include "base/vector_clones.h"
#include "linalg/gemm.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

constexpr int64_t kBlock = 128;  // columns whose G is made at once
constexpr int64_t kLeaf = 16;    // columns that change each other's G one by one
constexpr int64_t kSlab = 256;   // rows that one thread takes

BITLOOM_VECTOR_CLONES void add_scaled(float* y, const float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

/// One run over a matrix; E and G are [cols, rows].
class Refiner {
 public:
  Refiner(RefineProblem problem, ColumnCodebooks& chosen, ThreadPool& threads)
      : p_(std::move(problem)),
        chosen_(chosen),
        threads_(threads),
        errors_(std::move(p_.columns)),
        gradient_(static_cast<size_t>(kBlock * p_.rows)),
        moved_(static_cast<size_t>(kLeaf * p_.rows)),
        q_(static_cast<size_t>(p_.rows)),
        target_(q_.size()) {
    for (const float scale : p_.row_scales) masses_.push_back(scale * scale);
    threads_.parallel_for(p_.cols, [&](int64_t c) {
      std::vector<float> q(q_.size());
      decode(static_cast<size_t>(c), q.data());
      add_scaled(column(c), q.data(), -1.0f, p_.rows);
    });
  }

  void turn() {
    for (int64_t begin = 0; begin < p_.cols; begin += kBlock) {
      const int64_t end = std::min(p_.cols, begin + kBlock);
      make_gradient(begin, end);
      for (int64_t leaf = begin; leaf < end; leaf += kLeaf) {
        const int64_t leaf_end = std::min(end, leaf + kLeaf);
        for (int64_t c = leaf; c < leaf_end; ++c) run_column(c, begin, leaf, leaf_end);
        pay(leaf, leaf_end, begin, end);
      }
    }
  }

 private:
  float* column(int64_t c) { return errors_.data() + c * p_.rows; }
  float scale(size_t r) const { return p_.row_scales.empty() ? 1.0f : p_.row_scales[r]; }

  /// G[begin:end] = H[begin:end, :] E.
  void make_gradient(int64_t begin, int64_t end) {
    threads_.parallel_for((p_.rows + kSlab - 1) / kSlab, [&](int64_t slab) {
      const int64_t row = slab * kSlab, count = std::min(p_.rows - row, kSlab);
      sgemm(Transpose::kNo, Transpose::kNo, end - begin, count, p_.cols, 1.0f, p_.h + begin * p_.cols, p_.cols,
            errors_.data() + row, p_.rows, 0.0f, gradient_.data() + row, p_.rows);
    });
  }

  /// G of the block's columns behind a leaf, for what the leaf moved.
  void pay(int64_t leaf, int64_t leaf_end, int64_t begin, int64_t end) {
    if (leaf_end == end) return;
    threads_.parallel_for((p_.rows + kSlab - 1) / kSlab, [&](int64_t slab) {
      const int64_t row = slab * kSlab, count = std::min(p_.rows - row, kSlab);
      sgemm(Transpose::kNo, Transpose::kNo, end - leaf_end, count, leaf_end - leaf, 1.0f,
            p_.h + leaf_end * p_.cols + leaf, p_.cols, moved_.data() + row, p_.rows, 1.0f,
            gradient_.data() + (leaf_end - begin) * p_.rows + row, p_.rows);
    });
  }

  void run_column(int64_t c, int64_t begin, int64_t leaf, int64_t leaf_end) {
    const float own = p_.h[c * p_.cols + c];
    const float* gradient = gradient_.data() + (c - begin) * p_.rows;
    float* moved = moved_.data() + (c - leaf) * p_.rows;
    const auto place = static_cast<size_t>(c);
    decode(place, q_.data());
    for (size_t r = 0; r < q_.size(); ++r) {
      target_[r] = std::clamp((q_[r] + gradient[r] / own) / scale(r), -kMostF16, kMostF16);
    }
    choose(place);
    decode(place, moved);
    for (size_t r = 0; r < q_.size(); ++r) moved[r] = q_[r] - moved[r];
    add_scaled(column(c), moved, 1.0f, p_.rows);
    for (int64_t k = c + 1; k < leaf_end; ++k) {
      add_scaled(gradient_.data() + (k - begin) * p_.rows, moved, p_.h[c * p_.cols + k], p_.rows);
    }
  }

  /// Codes, levels and kept weights of a column for its target.
  void choose(size_t c) {
    CodebookColumn& column = chosen_.columns[c];
    std::sort(column.table.begin(), column.table.end());
    encode_levels(column.table, target_.data(), p_.rows, column.codes.data());
    left_out_.assign(chosen_.kept[c].empty() ? 0 : q_.size(), 0);
    for (const KeptWeight& kept : chosen_.kept[c]) left_out_[kept.row] = 1;
    move_levels(target_.data(), column.codes, masses_, left_out_, column.table);
    for (KeptWeight& kept : chosen_.kept[c])
      kept.added = finite_f16(target_[kept.row] - column.table[column.codes[kept.row]]);
  }

  void decode(size_t c, float* out) const {
    const CodebookColumn& column = chosen_.columns[c];
    for (size_t r = 0; r < column.codes.size(); ++r) out[r] = column.table[column.codes[r]];
    for (const KeptWeight& kept : chosen_.kept[c]) out[kept.row] += kept.added;
    for (size_t r = 0; r < p_.row_scales.size(); ++r) out[r] *= p_.row_scales[r];
  }

  RefineProblem p_;
  ColumnCodebooks& chosen_;
  ThreadPool& threads_;
  std::vector<float> errors_, gradient_;  // E, and G of a block, [columns, rows]
  std::vector<float> moved_;              // how far a leaf's columns moved
  std::vector<float> q_, target_, masses_;
  std::vector<uint8_t> left_out_;
};

}  // namespace

void refine_codebooks(RefineProblem problem, int64_t turns, ColumnCodebooks& chosen, ThreadPool& threads) {
  if (turns <= 0 || problem.rows == 0) return;
  Refiner refiner(std::move(problem), chosen, threads);
  for (int64_t turn = 0; turn < turns; ++turn) refiner.turn();
}

}  // namespace bitloom
