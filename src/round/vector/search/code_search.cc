#include "round/vector/search/code_search.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "base/rng.h"
#include "linalg/gemm.h"
#include "round/vector/search/candidates.h"
#include "round/vector/search/code_cells.h"

namespace bitloom {
namespace {

constexpr int64_t kBlockColumns = 128, kTileRows = 64;

template <typename T>
void shuffle(T* values, int64_t count, Rng& rng) {
  for (int64_t i = count; i > 1; --i) {
    std::swap(values[i - 1], values[rng.next_u32() % static_cast<uint64_t>(i)]);
  }
}

/// H_jj [G, G].
void copy_metric(const LayerMoment& moment, int64_t group, int64_t g, float* out) {
  for (int64_t a = 0; a < g; ++a) {
    for (int64_t b = 0; b < g; ++b) out[a * g + b] = moment.at(group * g + a, group * g + b);
  }
}

/// C H [entries, G] and c H c^T [entries].
void multiply_by_metric(const float* codebook, int64_t entries, int64_t g, const float* metric, float* products,
                        float* norms) {
  for (int64_t c = 0; c < entries; ++c) {
    const float* entry = codebook + c * g;
    float norm = 0;
    for (int64_t a = 0; a < g; ++a) {
      float sum = 0;
      for (int64_t b = 0; b < g; ++b) sum += entry[b] * metric[b * g + a];
      products[c * g + a] = sum;
      norm += sum * entry[a];
    }
    norms[c] = norm;
  }
}

/// What a sweep uses of the codebooks in all groups: all vectors, or where cells of them begin.
struct Books {
  std::vector<Candidates> all;            // [M]
  std::vector<std::vector<float>> first;  // [M]: means of cells, by the mean of H_jj; else nothing
  bool in_cells() const { return !first.empty(); }

  Books(const AdditiveCode& code, const LayerMoment& moment, bool in_cells, ThreadPool& threads) {
    const VectorStorage& s = code.storage;
    if (!in_cells) {
      for (int64_t m = 0; m < s.codebooks; ++m) all.emplace_back(s, code.entry(m, 0));
      return;
    }
    const auto size = static_cast<size_t>(s.group * s.group);
    std::vector<float> metric(size);
    std::vector<double> sum(size);
    for (int64_t j = 0; j < code.groups; ++j) {
      copy_metric(moment, j, s.group, metric.data());
      for (size_t i = 0; i < size; ++i) sum[i] += static_cast<double>(metric[i]);
    }
    for (size_t i = 0; i < size; ++i) metric[i] = static_cast<float>(sum[i] / static_cast<double>(code.groups));
    first.resize(static_cast<size_t>(s.codebooks));
    threads.parallel_for(s.codebooks, [&](int64_t m) {
      first[static_cast<size_t>(m)] =
          first_cells(code.entry(m, 0), s.entries(), s.group, cells_of(s.entries()), metric.data());
    });
  }
};

/// Some groups that are searched together, and what all rows use of them.
class Block {
 public:
  Block(const AdditiveCode& code, const LayerMoment& moment, const Books& books, const SweepOrder& order, int64_t first,
        int64_t count, ThreadPool& threads)
      : code_(code),
        moment_(moment),
        groups_(order.groups.data() + first),
        codebooks_(order.codebooks.data() + first * code.storage.codebooks),
        count_(count),
        padded_(padded_candidates(code.storage.entries())),
        products_(static_cast<size_t>(count * code.storage.codebooks * code.book_size())),
        norms_(static_cast<size_t>(count * code.storage.codebooks * padded_), kNever),
        cells_(books.in_cells() ? static_cast<size_t>(count * code.storage.codebooks) : 0) {
    threads.parallel_for(count * code.storage.codebooks, [&](int64_t i) { weigh(i, books); });
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
  /// Null where all vectors are candidates.
  const CodeCells* cells(int64_t p, int64_t m) const {
    return cells_.empty() ? nullptr : &*cells_[static_cast<size_t>(p * code_.storage.codebooks + m)];
  }
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
  void weigh(int64_t i, const Books& books) {
    const int64_t g = code_.storage.group, m = i % code_.storage.codebooks, entries = code_.storage.entries();
    std::vector<float> hjj(static_cast<size_t>(g * g));
    copy_metric(moment_, groups_[i / code_.storage.codebooks], g, hjj.data());
    float *products = products_.data() + i * code_.book_size(), *norms = norms_.data() + i * padded_;
    multiply_by_metric(code_.entry(m, 0), entries, g, hjj.data(), products, norms);
    if (cells_.empty()) return;
    cells_[static_cast<size_t>(i)].emplace(code_.entry(m, 0), products, norms, entries, g, hjj.data(),
                                           books.first[static_cast<size_t>(m)]);
  }

  const AdditiveCode& code_;
  const LayerMoment& moment_;
  const int64_t *groups_, *codebooks_;
  int64_t count_, padded_;
  std::vector<float> products_, norms_;
  std::vector<std::optional<CodeCells>> cells_;
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

/// What a thread needs for the rows that it searches, one group after the other.
struct Scratch {
  Scores scores;
  CellSearch cells;
  BestChoices best;
  Scratch(const VectorStorage& s, const CodeSearch& search)
      : scores(s.entries() + cells_of(s.entries()) * Scores::kLanes, cells_of(s.entries())),
        cells(s.entries(), search.probes),
        best(search.beam) {}
};

/// The search of one row in one block, group by group.
class RowSearch {
 public:
  RowSearch(AdditiveCode& code, const std::vector<Candidates>& candidates, int64_t beam, Scratch& scratch)
      : code_(code),
        candidates_(candidates),
        g_(code.storage.group),
        books_(code.storage.codebooks),
        scores_(scratch.scores),
        cell_search_(scratch.cells),
        best_(scratch.best),
        now_(beam, code.storage),
        next_(beam, code.storage),
        direction_(static_cast<size_t>(g_)) {
    const auto groups = static_cast<size_t>(groups_of_block(code.storage)), wide = static_cast<size_t>(beam);
    residuals_.resize(wide * groups * static_cast<size_t>(g_)), next_residuals_.resize(residuals_.size());
    trail_roots_.resize(wide * groups), trail_codes_.resize(wide * groups * static_cast<size_t>(books_));
    losses_.resize(wide);
  }

  /// residual [width] of the row.
  void begin(const Block& block, const float* residual) {
    columns_ = block.columns();
    for (int64_t i = 0; i < columns_; ++i) residuals_[static_cast<size_t>(i)] = residual[block.column(i)];
    count_ = 1, losses_[0] = 0;
  }
  /// The block's group p, each in its turn.
  void search_group(const Block& block, int64_t p, int64_t row) {
    begin_group(block, p, row);
    for (int64_t i = 0; i < books_; ++i) extend(block, p, block.codebook(p, i), row);
    end_group(block, p, row);
  }
  /// Takes the best codes; change [block's columns]: what What changed by. What the loss changed by.
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
    const CodeCells* cells = block.cells(p, m);
    best_.clear();
    for (int64_t h = 0; h < now_.count; ++h) {
      const int64_t old = now_.codes[static_cast<size_t>(h * books_ + m)];
      const float* product = block.product(p, m, old);
      const float* r = now_.residuals.data() + h * g_;
      for (int64_t t = 0; t < g_; ++t) direction_[static_cast<size_t>(t)] = 2 * s * (s * product[t] - r[t]);
      const float loss = now_.losses[static_cast<size_t>(h)], kept = find_scores(block, p, m, s, old);
      // The old one's loss is just what it was.
      const float most = h == 0 ? scores_.bound_of(beam()) : kNever;
      const auto bound = [&] { return std::min(most, best_.bound() - loss + kept); };
      scores_.up_to(bound(), [&](int64_t c, float score) {
        const float now = loss + (score - kept);
        if (now < best_.bound()) best_.add({now, h, cells != nullptr ? cells->code_at(c) : c});
        return bound();
      });
    }
    take_best(block, p, m, s);
  }

  /// The score of vector `old`, which is among them.
  float find_scores(const Block& block, int64_t p, int64_t m, float s, int64_t old) {
    if (const CodeCells* cells = block.cells(p, m)) {
      return scores_[cell_search_.find(*cells, g_, direction_.data(), s * s, old, scores_)];
    }
    scores_.find(candidates_[static_cast<size_t>(m)], block.norms(p, m), g_, direction_.data(), s * s);
    return scores_[old];
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

  int64_t beam() const { return static_cast<int64_t>(losses_.size()); }

  AdditiveCode& code_;
  const std::vector<Candidates>& candidates_;
  int64_t g_, books_, columns_ = 0, count_ = 0;
  Scores& scores_;
  CellSearch& cell_search_;
  BestChoices& best_;
  Beam now_, next_;
  std::vector<float> direction_, losses_;
  std::vector<float> residuals_, next_residuals_;  // [beam, columns]
  std::vector<int64_t> trail_roots_;               // [groups, beam]
  std::vector<uint16_t> trail_codes_;              // [groups, beam, M]
};

/// Rows of which a thread has hypotheses at once.
int64_t rows_together(bool in_cells) { return in_cells ? kTileRows : 1; }

/// The searches of a thread. Rows go through a block one by one; where each group has cells of its own, which are more
/// than a cache holds of a block's, a tile goes through group by group.
class Searches {
 public:
  Searches(AdditiveCode& code, const Books& books, const CodeSearch& search)
      : code_(code), scratch_(std::make_unique<Scratch>(code.storage, search)) {
    const int64_t strip = rows_together(books.in_cells());
    for (int64_t i = 0; i < strip; ++i) rows_.emplace_back(code, books.all, search.beam, *scratch_);
  }

  /// residual [rows, width], change [rows, block's columns] and changes [rows] from row `begin` on.
  void run(const Block& block, int64_t begin, int64_t rows, const float* residual, float* change, double* changes) {
    const auto strip = static_cast<int64_t>(rows_.size());
    for (int64_t at = 0; at < rows; at += strip) {
      const int64_t end = std::min(rows, at + strip);
      const auto each = [&](const auto& act) {
        for (int64_t r = at; r < end; ++r) {
          const float scale = code_.scales[static_cast<size_t>(begin + r)];
          if (scale * scale > 0) act(rows_[static_cast<size_t>(r - at)], r);  // scores have that for a weight
        }
      };
      each([&](RowSearch& row, int64_t r) { row.begin(block, residual + r * code_.width()); });
      for (int64_t p = 0; p < block.count(); ++p) {
        each([&](RowSearch& row, int64_t r) { row.search_group(block, p, begin + r); });
      }
      each([&](RowSearch& row, int64_t r) {
        changes[r] += static_cast<double>(row.keep_best(block, begin + r, change + r * block.columns()));
      });
    }
  }

 private:
  const AdditiveCode& code_;
  std::unique_ptr<Scratch> scratch_;
  std::vector<RowSearch> rows_;
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

bool searches_cells(const VectorStorage& storage, int64_t probes) {
  return probes > 0 && cells_of(storage.entries()) > 1;
}

int64_t search_bytes(const VectorStorage& storage, const CodeSearch& search) {
  const int64_t groups = groups_of_block(storage);
  const int64_t residuals = 2 * 4 * groups * storage.group, trail = groups * (8 + 2 * storage.codebooks);
  return rows_together(searches_cells(storage, search.probes)) * search.beam * (residuals + trail);
}

std::vector<double> sweep_codes(AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order,
                                const CodeSearch& search, std::vector<float>& residual, ThreadPool& threads) {
  const bool in_cells = searches_cells(code.storage, search.probes);
  const Books books(code, moment, in_cells, threads);
  std::vector<Searches> searches;
  searches.reserve(static_cast<size_t>(threads.thread_count()));
  for (int t = 0; t < threads.thread_count(); ++t) searches.emplace_back(code, books, search);
  std::vector<double> changes(static_cast<size_t>(code.rows));
  const int64_t width = code.width();
  for (int64_t first = 0; first < code.groups; first += groups_of_block(code.storage)) {
    const Block block(code, moment, books, order, first, std::min(groups_of_block(code.storage), code.groups - first),
                      threads);
    threads.parallel_for_thread((code.rows + kTileRows - 1) / kTileRows, [&](int64_t tile, int thread) {
      const int64_t begin = tile * kTileRows, rows = std::min(kTileRows, code.rows - begin);
      std::vector<float> change(static_cast<size_t>(rows * block.columns()));
      float* of_tile = residual.data() + begin * width;
      searches[static_cast<size_t>(thread)].run(block, begin, rows, of_tile, change.data(), changes.data() + begin);
      block.spread(rows, change.data(), of_tile);
    });
  }
  return changes;
}

}  // namespace bitloom
