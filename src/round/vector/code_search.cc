#include "round/vector/code_search.h"

#include <algorithm>
#include <numeric>

#include "base/rng.h"
#include "linalg/gemm.h"
#include "round/vector/candidates.h"

namespace bitloom {
namespace {

constexpr int64_t kBlockColumns = 128, kTileRows = 64;

template <typename T>
void shuffle(T* values, int64_t count, Rng& rng) {
  for (int64_t i = count; i > 1; --i) {
    std::swap(values[i - 1], values[rng.next_u32() % static_cast<uint64_t>(i)]);
  }
}

/// Some groups that are searched together, and what all rows use of them.
class Block {
 public:
  Block(const AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order, int64_t first, int64_t count,
        ThreadPool& threads)
      : code_(code),
        moment_(moment),
        groups_(order.groups.data() + first),
        codebooks_(order.codebooks.data() + first * code.storage.codebooks),
        count_(count),
        padded_(padded_candidates(code.storage.entries())),
        products_(static_cast<size_t>(count * code.storage.codebooks * code.book_size())),
        norms_(static_cast<size_t>(count * code.storage.codebooks * padded_), kNever) {
    threads.parallel_for(count * code.storage.codebooks, [&](int64_t i) { weigh(i); });
    if (moment.is_identity()) return;
    h_.resize(static_cast<size_t>(columns() * code.width()));
    inner_.resize(static_cast<size_t>(columns() * columns()));
    threads.parallel_for(columns(), [&](int64_t i) {
      const float* h = moment_.h.data() + column(i) * code_.width();
      std::copy_n(h, code_.width(), h_.data() + i * code_.width());
      for (int64_t k = 0; k < columns(); ++k) inner_[static_cast<size_t>(i * columns() + k)] = h[column(k)];
    });
  }

  int64_t count() const { return count_; }
  int64_t columns() const { return count_ * code_.storage.group; }
  int64_t group(int64_t p) const { return groups_[p]; }
  /// Of the matrix, where the block's i-th lies.
  int64_t column(int64_t i) const {
    return groups_[i / code_.storage.group] * code_.storage.group + i % code_.storage.group;
  }
  int64_t codebook(int64_t p, int64_t i) const { return codebooks_[p * code_.storage.codebooks + i]; }
  /// C_m[c] H_jj [G], j the block's group p.
  const float* product(int64_t p, int64_t m, int64_t c) const {
    return products_.data() + (p * code_.storage.codebooks + m) * code_.book_size() + c * code_.storage.group;
  }
  /// c H_jj c^T [padded].
  const float* norms(int64_t p, int64_t m) const { return norms_.data() + (p * code_.storage.codebooks + m) * padded_; }
  /// H between the block's columns [columns, columns]; null for the identity, which couples no groups.
  const float* inner() const { return inner_.empty() ? nullptr : inner_.data(); }
  /// residual [rows, width] += change [rows, columns] H.
  void spread(int64_t rows, const float* change, float* residual) const {
    const int64_t width = code_.width();
    if (!moment_.is_identity()) {
      sgemm(Transpose::kNo, Transpose::kNo, rows, width, columns(), 1.0f, change, columns(), h_.data(), width, 1.0f,
            residual, width);
      return;
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < columns(); ++i) residual[r * width + column(i)] += change[r * columns() + i];
    }
  }

 private:
  void weigh(int64_t i) {
    const int64_t g = code_.storage.group, first = groups_[i / code_.storage.codebooks] * g;
    const int64_t m = i % code_.storage.codebooks;
    std::vector<float> hjj(static_cast<size_t>(g * g));
    for (int64_t a = 0; a < g; ++a) {
      for (int64_t b = 0; b < g; ++b) hjj[static_cast<size_t>(a * g + b)] = moment_.at(first + a, first + b);
    }
    float* product = products_.data() + i * code_.book_size();
    for (int64_t c = 0; c < code_.storage.entries(); ++c, product += g) {
      const float* entry = code_.entry(m, c);
      float norm = 0;
      for (int64_t a = 0; a < g; ++a) {
        float sum = 0;
        for (int64_t b = 0; b < g; ++b) sum += entry[b] * hjj[static_cast<size_t>(b * g + a)];
        product[a] = sum;
        norm += sum * entry[a];
      }
      norms_[static_cast<size_t>(i * padded_ + c)] = norm;
    }
  }

  const AdditiveCode& code_;
  const LayerMoment& moment_;
  const int64_t *groups_, *codebooks_;
  int64_t count_, padded_;
  std::vector<float> products_, norms_;
  std::vector<float> h_;      // rows of H for the block's columns [columns, width]
  std::vector<float> inner_;  // [columns, columns]
};

struct Choice {
  float loss = 0;
  int64_t parent = 0, code = 0;
};

/// The best choices so far, ascending; of equal ones the first comes first.
class BestChoices {
 public:
  explicit BestChoices(int64_t most) : choices_(static_cast<size_t>(most)) {}
  void clear() { count_ = 0; }
  /// A choice is among the best if its loss is less.
  float bound() const { return count_ < choices_.size() ? kNever : choices_.back().loss; }
  void add(const Choice& choice) {
    size_t at = std::min(count_, choices_.size() - 1);
    for (; at > 0 && choice.loss < choices_[at - 1].loss; --at) choices_[at] = choices_[at - 1];
    choices_[at] = choice;
    count_ = std::min(count_ + 1, choices_.size());
  }
  std::span<const Choice> all() const { return std::span(choices_).first(count_); }

 private:
  std::vector<Choice> choices_;
  size_t count_ = 0;
};

/// Hypotheses of one row in one group of a block.
struct Beam {
  int64_t count = 0;
  std::vector<int64_t> roots;    // [beam]: the hypothesis at the group's start
  std::vector<float> losses;     // [beam]: since the block's start
  std::vector<float> residuals;  // [beam, G]: R_j
  std::vector<uint16_t> codes;   // [beam, M]
  Beam(int64_t beam, const VectorStorage& s)
      : roots(static_cast<size_t>(beam)),
        losses(roots.size()),
        residuals(roots.size() * static_cast<size_t>(s.group)),
        codes(roots.size() * static_cast<size_t>(s.codebooks)) {}
};

/// The search of one row in one block; holds the scratch of a thread.
class RowSearch {
 public:
  RowSearch(AdditiveCode& code, const std::vector<Candidates>& candidates, int64_t beam)
      : code_(code),
        candidates_(candidates),
        g_(code.storage.group),
        books_(code.storage.codebooks),
        scores_(candidates[0].padded()),
        best_(beam),
        now_(beam, code.storage),
        next_(beam, code.storage),
        direction_(static_cast<size_t>(g_)) {
    const auto columns = static_cast<size_t>(groups_of_block(code.storage) * g_), wide = static_cast<size_t>(beam);
    residuals_.resize(wide * columns), next_residuals_.resize(wide * columns);
    trail_roots_.resize(wide * columns), trail_codes_.resize(wide * columns * static_cast<size_t>(books_));
    losses_.resize(wide);
  }

  /// residual [width] of the row; change [block's columns]: what What changed by. What the loss changed by.
  float run(const Block& block, int64_t row, const float* residual, float* change) {
    columns_ = block.columns();
    for (int64_t i = 0; i < columns_; ++i) residuals_[static_cast<size_t>(i)] = residual[block.column(i)];
    count_ = 1, losses_[0] = 0;
    for (int64_t p = 0; p < block.count(); ++p) {
      begin_group(block, p, row);
      for (int64_t i = 0; i < books_; ++i) extend(block, p, block.codebook(p, i), row);
      end_group(block, p, row);
    }
    return keep_best(block, row, change);
  }

 private:
  float scale(int64_t row) const { return code_.scales[static_cast<size_t>(row)]; }

  void begin_group(const Block& block, int64_t p, int64_t row) {
    now_.count = count_;
    const uint16_t* old = code_.codes_of(row, block.group(p));
    for (int64_t h = 0; h < count_; ++h) {
      now_.roots[static_cast<size_t>(h)] = h;
      now_.losses[static_cast<size_t>(h)] = losses_[static_cast<size_t>(h)];
      std::copy_n(residuals_.data() + h * columns_ + p * g_, g_, now_.residuals.data() + h * g_);
      std::copy_n(old, books_, now_.codes.data() + h * books_);
    }
  }

  /// The best hypotheses with any vector of codebook m.
  void extend(const Block& block, int64_t p, int64_t m, int64_t row) {
    const float s = scale(row);
    best_.clear();
    for (int64_t h = 0; h < now_.count; ++h) {
      const int64_t old = now_.codes[static_cast<size_t>(h * books_ + m)];
      const float* product = block.product(p, m, old);
      const float* r = now_.residuals.data() + h * g_;
      for (int64_t t = 0; t < g_; ++t) direction_[static_cast<size_t>(t)] = 2 * s * (s * product[t] - r[t]);
      scores_.find(candidates_[static_cast<size_t>(m)], block.norms(p, m), g_, direction_.data(), s * s);
      const float loss = now_.losses[static_cast<size_t>(h)], kept = scores_[old];
      // The old one's loss is just what it was.
      const float most = h == 0 ? scores_.bound_of(beam()) : kNever;
      const auto bound = [&] { return std::min(most, best_.bound() - loss + kept); };
      scores_.up_to(bound(), [&](int64_t c, float score) {
        const float now = loss + (score - kept);
        if (now < best_.bound()) best_.add({now, h, c});
        return bound();
      });
    }
    take_best(block, p, m, s);
  }

  void take_best(const Block& block, int64_t p, int64_t m, float s) {
    next_.count = static_cast<int64_t>(best_.all().size());
    for (int64_t h = 0; h < next_.count; ++h) {
      const Choice& choice = best_.all()[static_cast<size_t>(h)];
      next_.roots[static_cast<size_t>(h)] = now_.roots[static_cast<size_t>(choice.parent)];
      next_.losses[static_cast<size_t>(h)] = choice.loss;
      const uint16_t* codes = now_.codes.data() + choice.parent * books_;
      std::copy_n(codes, books_, next_.codes.data() + h * books_);
      next_.codes[static_cast<size_t>(h * books_ + m)] = static_cast<uint16_t>(choice.code);
      const float *before = block.product(p, m, codes[m]), *after = block.product(p, m, choice.code);
      const float* r = now_.residuals.data() + choice.parent * g_;
      float* out = next_.residuals.data() + h * g_;
      for (int64_t t = 0; t < g_; ++t) out[t] = r[t] + s * (after[t] - before[t]);
    }
    std::swap(now_, next_);
  }

  /// What codes of a group change What by.
  void change_of(const uint16_t* codes, const uint16_t* old, float s, float* out) const {
    std::fill_n(out, g_, 0.0f);
    for (int64_t m = 0; m < books_; ++m) {
      if (codes[m] == old[m]) continue;
      const float *before = code_.entry(m, old[m]), *after = code_.entry(m, codes[m]);
      for (int64_t t = 0; t < g_; ++t) out[t] += s * (after[t] - before[t]);
    }
  }

  /// Residuals of the groups that come, and the way that each hypothesis came.
  void end_group(const Block& block, int64_t p, int64_t row) {
    const uint16_t* old = code_.codes_of(row, block.group(p));
    const int64_t done = (p + 1) * g_;
    for (int64_t h = 0; h < now_.count; ++h) {
      const int64_t root = now_.roots[static_cast<size_t>(h)];
      const uint16_t* codes = now_.codes.data() + h * books_;
      losses_[static_cast<size_t>(h)] = now_.losses[static_cast<size_t>(h)];
      trail_roots_[static_cast<size_t>(p * beam() + h)] = root;
      std::copy_n(codes, books_, trail_codes_.data() + (p * beam() + h) * books_);
      float* out = next_residuals_.data() + h * columns_;
      std::copy(residuals_.data() + root * columns_ + done, residuals_.data() + (root + 1) * columns_, out + done);
      if (block.inner() == nullptr) continue;
      change_of(codes, old, scale(row), direction_.data());
      for (int64_t t = 0; t < g_; ++t) {
        if (direction_[static_cast<size_t>(t)] == 0) continue;
        add_row(block, p * g_ + t, direction_[static_cast<size_t>(t)], done, out);
      }
    }
    count_ = now_.count;
    std::swap(residuals_, next_residuals_);
  }

  /// out[i] += factor H[column(from), column(i)] for the block's columns from `first` on.
  void add_row(const Block& block, int64_t from, float factor, int64_t first, float* out) const {
    const float* h = block.inner() + from * columns_;
    for (int64_t i = first; i < columns_; ++i) out[i] += factor * h[i];
  }

  float keep_best(const Block& block, int64_t row, float* change) {
    int64_t h = 0;
    for (int64_t p = block.count() - 1; p >= 0; --p) {
      uint16_t* old = code_.codes_of(row, block.group(p));
      const uint16_t* codes = trail_codes_.data() + (p * beam() + h) * books_;
      change_of(codes, old, scale(row), change + p * g_);
      std::copy_n(codes, books_, old);
      h = trail_roots_[static_cast<size_t>(p * beam() + h)];
    }
    return losses_[0];
  }

  int64_t beam() const { return static_cast<int64_t>(losses_.size()); }

  AdditiveCode& code_;
  const std::vector<Candidates>& candidates_;
  int64_t g_, books_, columns_ = 0, count_ = 0;
  Scores scores_;
  BestChoices best_;
  Beam now_, next_;
  std::vector<float> direction_, losses_;
  std::vector<float> residuals_, next_residuals_;  // [beam, columns]
  std::vector<int64_t> trail_roots_;               // [groups, beam]
  std::vector<uint16_t> trail_codes_;              // [groups, beam, M]
};

}  // namespace

int64_t groups_of_block(const VectorStorage& storage) { return std::max<int64_t>(1, kBlockColumns / storage.group); }

SweepOrder random_order(const AdditiveCode& code, uint64_t seed, int64_t sweep) {
  Rng rng(seed, 8400 + static_cast<uint64_t>(sweep));
  const int64_t books = code.storage.codebooks;
  SweepOrder order;
  order.groups.resize(static_cast<size_t>(code.groups));
  std::iota(order.groups.begin(), order.groups.end(), 0);
  shuffle(order.groups.data(), code.groups, rng);
  for (int64_t p = 0; p < code.groups; ++p) {
    for (int64_t m = 0; m < books; ++m) order.codebooks.push_back(m);
    shuffle(order.codebooks.data() + p * books, books, rng);
  }
  return order;
}

std::vector<double> sweep_codes(AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order, int64_t beam,
                                std::vector<float>& residual, ThreadPool& threads) {
  std::vector<Candidates> candidates;
  for (int64_t m = 0; m < code.storage.codebooks; ++m) candidates.emplace_back(code.storage, code.entry(m, 0));
  std::vector<RowSearch> searches;
  for (int t = 0; t < threads.thread_count(); ++t) searches.emplace_back(code, candidates, beam);
  std::vector<double> changes(static_cast<size_t>(code.rows));
  const int64_t width = code.width();
  for (int64_t first = 0; first < code.groups; first += groups_of_block(code.storage)) {
    const Block block(code, moment, order, first, std::min(groups_of_block(code.storage), code.groups - first),
                      threads);
    threads.parallel_for_thread((code.rows + kTileRows - 1) / kTileRows, [&](int64_t tile, int thread) {
      const int64_t begin = tile * kTileRows, rows = std::min(kTileRows, code.rows - begin);
      std::vector<float> change(static_cast<size_t>(rows * block.columns()));
      for (int64_t r = 0; r < rows; ++r) {
        if (code.scales[static_cast<size_t>(begin + r)] == 0) continue;
        changes[static_cast<size_t>(begin + r)] += static_cast<double>(searches[static_cast<size_t>(thread)].run(
            block, begin + r, residual.data() + (begin + r) * width, change.data() + r * block.columns()));
      }
      block.spread(rows, change.data(), residual.data() + begin * width);
    });
  }
  return changes;
}

}  // namespace bitloom
