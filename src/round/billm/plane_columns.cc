#include "round/billm/plane_columns.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "base/simd/vector_clones.h"
#include "round/billm/block_search.h"
#include "round/billm/plane_fit.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

using Feedback = BillmRounding::Feedback;
using Groups = BillmRounding::Groups;
using Parity = BillmRounding::Parity;

constexpr int64_t kRowSlab = 64;       // rows that one thread fits at once
constexpr int64_t kSearchRows = 1024;  // that are searched of more; their sums differ little from all rows'

/// The nearest of four values of each row; values [4][rows].
BITLOOM_VECTOR_CLONES void nearest_of_four(const float* __restrict w, const float* __restrict values, int64_t rows,
                                           float* __restrict q, uint8_t* __restrict codes) {
  for (int64_t r = 0; r < rows; ++r) {
    float best = values[r], least = (w[r] - best) * (w[r] - best);
    int code = 0;
#pragma GCC unroll 3
    for (int k = 1; k < 4; ++k) {
      const float value = values[k * rows + r], error = (w[r] - value) * (w[r] - value);
      code = error < least ? k : code;
      best = error < least ? value : best;
      least = error < least ? error : least;
    }
    q[r] = best, codes[r] = static_cast<uint8_t>(code);
  }
}

/// The nearest of the two values of each row's group.
BITLOOM_VECTOR_CLONES void nearest_of_group(const float* w, const float* values, const uint8_t* outer, int64_t rows,
                                            float* q, uint8_t* codes) {
  for (int64_t r = 0; r < rows; ++r) {
    const float minus = outer[r] != 0 ? values[2 * rows + r] : values[r];
    const float plus = outer[r] != 0 ? values[3 * rows + r] : values[rows + r];
    const float a = (w[r] - minus) * (w[r] - minus), b = (w[r] - plus) * (w[r] - plus);
    q[r] = b < a ? plus : minus;
    codes[r] = static_cast<uint8_t>((outer[r] != 0 ? 2 : 0) + (b < a ? 1 : 0));
  }
}

/// What the policies of one matrix share.
struct Shared {
  PlanesStorage storage;
  PlaneProblem problem;
  ThreadPool& threads;
  std::vector<float> level_scales;  // by row
  int64_t rows() const { return problem.weights.rows(); }
  int64_t cols() const { return problem.weights.cols(); }
  int64_t blocks() const { return storage.blocks(cols()); }
};

/// The least index among equals.
size_t argmin(const std::vector<double>& errors, size_t first) {
  const auto from = errors.begin() + static_cast<int64_t>(std::min(first, errors.size() - 1));
  return static_cast<size_t>(std::min_element(from, errors.end()) - errors.begin());
}

class PlaneColumns final : public StoringPolicy {
 public:
  explicit PlaneColumns(const Shared& shared)
      : s_(shared),
        options_(shared.problem.options),
        rows_(shared.rows()),
        salient_(static_cast<size_t>(s_.cols()), s_.storage.residual ? 1 : 0),
        codes_(static_cast<size_t>(rows_ * s_.cols())),
        levels_(static_cast<size_t>(rows_ * s_.blocks())),
        values_(static_cast<size_t>(8 * rows_)) {}

  int64_t group() const override { return s_.storage.block; }
  bool feeds_inside_groups() const override { return options_.feedback != Feedback::kDiagonal; }

  void begin_group(int64_t begin, int64_t end, const float* columns) override {
    begin_ = begin;
    block_ = column_at(begin) / s_.storage.block;
    const std::vector<uint8_t> salient = find_salient(begin, end, columns);
    const std::vector<float> scales = row_scales(salient, columns);
    const float threshold = find_threshold(begin, salient, scales, columns);
    outer_.assign(static_cast<size_t>((end - begin) * rows_), 0);
    s_.threads.parallel_for((rows_ + kRowSlab - 1) / kRowSlab, [&](int64_t slab) {
      fit_rows(slab * kRowSlab, std::min(rows_, (slab + 1) * kRowSlab), salient, scales, threshold, columns);
    });
  }

  void quantize_column(int64_t position, const float* w, float* q) override {
    const int64_t column = column_at(position);
    uint8_t* codes = codes_.data() + column * rows_;
    if (options_.feedback != Feedback::kSequential) return decode_column(position, q);
    const bool salient = salient_[static_cast<size_t>(column)] != 0;
    const float* values = values_.data() + (salient ? 4 * rows_ : 0);
    if (salient || options_.groups == Groups::kFree) return nearest_of_four(w, values, rows_, q, codes);
    nearest_of_group(w, values, outer_.data() + (position - begin_) * rows_, rows_, q, codes);
  }

  void decode_column(int64_t position, float* weights) const override {
    const int64_t column = column_at(position), block = column / s_.storage.block;
    const uint8_t* codes = codes_.data() + column * rows_;
    const bool salient = salient_[static_cast<size_t>(column)] != 0;
    for (int64_t r = 0; r < rows_; ++r) {
      weights[r] = levels_[static_cast<size_t>(r * s_.blocks() + block)].value(salient, codes[r]);
    }
  }

  Bytes chosen() const override {
    Bytes bytes;
    append(bytes, salient_);
    append(bytes, codes_);
    append(bytes, levels_);
    return bytes;
  }

 private:
  int64_t column_at(int64_t position) const { return s_.problem.order[static_cast<size_t>(position)]; }
  float cost_at(int64_t position) const { return s_.problem.costs[static_cast<size_t>(column_at(position))]; }
  bool reproduces() const { return options_.parity != Parity::kNone; }

  /// What a search binarizes: weights, or their saliencies.
  SearchBlock search_block(int64_t begin, int64_t cols, const float* columns, std::vector<float>& buffer) const {
    SearchBlock block{rows_, cols, columns, std::vector<float>(static_cast<size_t>(cols), 1), s_.storage.zero_mean};
    if (!reproduces()) block.tile_step = std::max<int64_t>(1, rows_ / kSearchRows);
    for (int64_t c = 0; c < cols && !reproduces(); ++c) block.h[static_cast<size_t>(c)] = cost_at(begin + c);
    if (options_.split == BillmRounding::Split::kWeight) return block;
    buffer.resize(static_cast<size_t>(cols * rows_));
    for (int64_t c = 0; c < cols; ++c) {
      for (int64_t i = c * rows_; i < (c + 1) * rows_; ++i) {
        buffer[static_cast<size_t>(i)] = columns[i] * columns[i] * cost_at(begin + c);
      }
    }
    block.w = buffer.data();
    return block;
  }

  /// Flags of the block's columns, by position in it; those of salient_ too.
  std::vector<uint8_t> find_salient(int64_t begin, int64_t end, const float* columns) {
    const int64_t cols = end - begin;
    if (s_.storage.residual) return std::vector<uint8_t>(static_cast<size_t>(cols), 1);
    std::vector<double> scores(static_cast<size_t>(cols));
    for (int64_t c = 0; c < cols; ++c) {
      double squares = 0;
      for (int64_t i = c * rows_; i < (c + 1) * rows_; ++i) squares += static_cast<double>(columns[i]) * columns[i];
      scores[static_cast<size_t>(c)] = squares * static_cast<double>(cost_at(begin + c));
    }
    std::vector<int64_t> ranked(scores.size());
    std::iota(ranked.begin(), ranked.end(), int64_t{0});
    std::stable_sort(ranked.begin(), ranked.end(), [&](int64_t a, int64_t b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    // The paper counts from 3 to 30 columns with one plane for each part, its code from 1 to 49 with two.
    const bool paper = options_.parity == Parity::kPaper, code = options_.parity == Parity::kCode;
    const int64_t most = std::min<int64_t>(paper ? 30 : 49, cols - 1);
    const SearchPlanes planes = paper ? SearchPlanes{1, 1} : SearchPlanes{2, 2};
    std::vector<float> buffer;
    const auto errors = salient_errors(search_block(begin, cols, columns, buffer), ranked, most, planes, s_.threads);
    const size_t count = argmin(errors, paper ? 3 : code ? 1 : 0);
    std::vector<uint8_t> salient(scores.size(), 0);
    for (size_t i = 0; i < count; ++i) {
      salient[static_cast<size_t>(ranked[i])] = 1;
      salient_[static_cast<size_t>(column_at(begin + ranked[i]))] = 1;
    }
    return salient;
  }

  /// Root mean squares of the rows' weights that are not salient; empty where thresholds are absolute.
  std::vector<float> row_scales(const std::vector<uint8_t>& salient, const float* columns) const {
    if (reproduces() || s_.storage.residual) return {};
    std::vector<float> scales(static_cast<size_t>(rows_), 0);
    int64_t count = 0;
    for (size_t c = 0; c < salient.size(); ++c) {
      if (salient[c] != 0) continue;
      ++count;
      const float* w = columns + static_cast<int64_t>(c) * rows_;
      for (size_t r = 0; r < scales.size(); ++r) scales[r] += w[r] * w[r];
    }
    for (float& scale : scales) scale = count == 0 ? 0 : std::sqrt(scale / static_cast<float>(count));
    return scales;
  }

  float find_threshold(int64_t begin, const std::vector<uint8_t>& salient, const std::vector<float>& scales,
                       const float* columns) const {
    if (s_.storage.residual) return 0;
    std::vector<float> buffer;
    const SearchBlock block = search_block(begin, static_cast<int64_t>(salient.size()), columns, buffer);
    const bool code = options_.parity == Parity::kCode;
    const std::vector<float> thresholds = split_thresholds(block, salient, scales, code);
    if (thresholds.empty()) return 0;
    return thresholds[argmin(split_errors(block, salient, thresholds, scales, s_.threads), 0)];
  }

  /// Levels of rows [first, last), what their codes are to be and what they decode to.
  void fit_rows(int64_t first, int64_t last, const std::vector<uint8_t>& salient, const std::vector<float>& scales,
                float threshold, const float* columns) {
    const auto cols = static_cast<int64_t>(salient.size());
    std::vector<float> w(salient.size()), h(salient.size());
    std::vector<uint8_t> outer(salient.size()), codes(salient.size());
    const bool by_saliency = options_.split == BillmRounding::Split::kSaliency;
    for (int64_t c = 0; c < cols; ++c) h[static_cast<size_t>(c)] = reproduces() ? 1.0f : cost_at(begin_ + c);
    for (int64_t r = first; r < last; ++r) {
      const float scale = scales.empty() ? 1.0f : scales[static_cast<size_t>(r)];
      for (size_t c = 0; c < w.size(); ++c) {
        w[c] = columns[static_cast<int64_t>(c) * rows_ + r];
        const float key = by_saliency ? w[c] * w[c] * cost_at(begin_ + static_cast<int64_t>(c)) : std::abs(w[c]);
        outer[c] = key < threshold * scale ? 0 : 1;
      }
      const RowBlock row{cols, w.data(), h.data(), salient.data(), s_.storage.zero_mean};
      keep(r, fit(row, r, outer, codes));
      for (size_t c = 0; c < w.size(); ++c) {
        codes_[static_cast<size_t>(column_at(begin_ + static_cast<int64_t>(c)) * rows_ + r)] = codes[c];
        outer_[c * static_cast<size_t>(rows_) + static_cast<size_t>(r)] = outer[c];
      }
    }
  }

  PlaneLevels fit(const RowBlock& row, int64_t r, const std::vector<uint8_t>& outer,
                  std::vector<uint8_t>& codes) const {
    const auto rounded = [&](PlaneLevels levels) {
      round_levels(s_.storage, s_.level_scales[static_cast<size_t>(r)], levels);
      return levels;
    };
    const uint8_t* groups = options_.groups == Groups::kFixed ? outer.data() : nullptr;
    PlaneLevels levels = fit_planes(row, outer.data()), best = rounded(levels);
    choose_codes(row, best, groups, codes.data());
    double least = plane_error(row, best, codes.data());
    std::vector<uint8_t> tried = codes;
    for (int64_t turn = 0; turn < options_.refine; ++turn) {
      refit_levels(row, tried.data(), levels);
      const PlaneLevels next = rounded(levels);
      choose_codes(row, next, groups, tried.data());
      const double error = plane_error(row, next, tried.data());
      if (!(error < least)) break;
      least = error, best = next, codes = tried;
    }
    return best;
  }

  void keep(int64_t r, const PlaneLevels& levels) {
    levels_[static_cast<size_t>(r * s_.blocks() + block_)] = levels;
    float value[2][4];
    levels.values(value);
    for (int64_t k = 0; k < 8; ++k) values_[static_cast<size_t>(k * rows_ + r)] = value[k / 4][k % 4];
  }

  const Shared& s_;
  const BillmRounding& options_;
  int64_t rows_, begin_ = 0, block_ = 0;
  std::vector<uint8_t> salient_;     // by column
  std::vector<uint8_t> codes_;       // [cols, rows]
  std::vector<PlaneLevels> levels_;  // [rows, blocks]
  std::vector<float> values_;        // of the block: [class][code][rows]
  std::vector<uint8_t> outer_;       // of the block: [position, rows]
};

class PlanePolicies final : public ColumnPolicies {
 public:
  PlanePolicies(const PlaneProblem& problem, ThreadPool& threads)
      : shared_{problem.storage.base.get<PlanesStorage>(), problem, threads, {}} {
    shared_.level_scales.assign(static_cast<size_t>(shared_.rows()), 1);
    TileReader(problem.place, problem.weights, 1, threads)
        .for_each([&](int64_t, int64_t first, int64_t rows, const float* w) {
          for (int64_t r = 0; r < rows; ++r, w += shared_.cols()) {
            float greatest = 0;
            for (int64_t c = 0; c < shared_.cols(); ++c) greatest = std::max(greatest, std::abs(w[c]));
            // Compensated weights may grow.
            shared_.level_scales[static_cast<size_t>(first + r)] = level_scale(shared_.storage, 1.5f * greatest);
          }
        });
  }

  bool rows_are_separable() const override { return false; }

  std::unique_ptr<StoringPolicy> policy(RowRange) const override { return std::make_unique<PlaneColumns>(shared_); }

  void store(RowRange rows, const Bytes& chosen) override {
    BytesReader reader(chosen);
    salient_ = reader.take<uint8_t>();
    codes_ = reader.take<uint8_t>();
    levels_ = reader.take<PlaneLevels>();
    if (rows.count() != shared_.rows() || static_cast<int64_t>(codes_.size()) != shared_.rows() * shared_.cols()) {
      fail(ErrorKind::kFailed, "rows [{}, {}) of {} share their blocks' thresholds with the others", rows.begin,
           rows.end, shared_.rows());
    }
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    const int64_t rows = shared_.rows(), cols = shared_.cols();
    std::vector<uint8_t> by_row(codes_.size());
    shared_.threads.parallel_for((rows + kRowSlab - 1) / kRowSlab, [&](int64_t slab) {
      const int64_t first = slab * kRowSlab, last = std::min(rows, first + kRowSlab);
      for (int64_t c = 0; c < cols; ++c) {
        for (int64_t r = first; r < last; ++r) {
          by_row[static_cast<size_t>(r * cols + c)] = codes_[static_cast<size_t>(c * rows + r)];
        }
      }
    });
    return stored_from_bytes(
        name, shared_.problem.storage, rows, cols,
        pack_planes(shared_.storage, rows, cols, by_row, salient_, levels_, shared_.level_scales, &shared_.threads));
  }

 private:
  Shared shared_;
  std::vector<uint8_t> salient_, codes_;
  std::vector<PlaneLevels> levels_;
};

}  // namespace

std::unique_ptr<ColumnPolicies> make_plane_policies(const PlaneProblem& problem, ThreadPool& threads) {
  return std::make_unique<PlanePolicies>(problem, threads);
}

}  // namespace bitloom
