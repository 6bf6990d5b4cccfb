#include "round/gptq/gptq.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory/large_buffer.h"
#include "base/memory/plain_bytes.h"
#include "round/column_loop/column_loop.h"

namespace bitloom {
namespace {

/// What one tile of rows adds to the report.
struct TileReport {
  int64_t begin = 0, end = 0;  // rows
  double loss = 0;             // sum of e_j^2
  double error = 0, norm = 0;  // sum (w - q)^2, sum w^2
  float max_error = 0, largest_weight = 0, largest_compensated = 0;
  int64_t saturated = 0;
};

/// A solved tile: plain data, to be stored here or sent.
struct Tile {
  TileReport report;
  Bytes chosen;
  RowRange rows() const { return {report.begin, report.end}; }
};

class GptqRun {
 public:
  GptqRun(const std::string& name, const RowSource& w, ColumnPolicies& policies, const GptqFactor& factor,
          ThreadPool& threads)
      : name_(name),
        w_(w),
        factor_(factor),
        threads_(threads),
        policies_(policies),
        feedback_{factor.channels, factor.u.data(), factor.correction.empty() ? nullptr : factor.correction.data()} {
    const int64_t step = policies_.rows_are_separable() ? kGptqTileRows : std::max<int64_t>(w.rows(), 1);
    for (int64_t begin = 0; begin < w.rows(); begin += step) {
      tiles_.push_back({begin, std::min(w.rows(), begin + step)});
    }
    reports_.resize(tiles_.size());
  }

  std::shared_ptr<const StoredMatrix> run(Ranks& ranks) {
    if (ranks.size() == 1 || !policies_.rows_are_separable()) {
      for_each(0, tiles(), [&](int64_t t) { store(t, solve(tiles_[static_cast<size_t>(t)])); });
    } else {
      share_out(ranks);
    }
    return policies_.finish(name_);
  }

  GptqReport report() const {
    GptqReport all;
    double error = 0, norm = 0;
    float max_error = 0, largest_weight = 0, largest_compensated = 0;
    for (const TileReport& tile : reports_) {
      all.loss += tile.loss;
      error += tile.error, norm += tile.norm;
      all.rounding.saturated += tile.saturated;
      max_error = std::max(max_error, tile.max_error);
      largest_weight = std::max(largest_weight, tile.largest_weight);
      largest_compensated = std::max(largest_compensated, tile.largest_compensated);
    }
    all.rounding.weight_error = norm > 0 ? error / norm : 0;
    all.rounding.max_abs_error = static_cast<double>(max_error);
    all.rounding.zero_groups = policies_.zero_groups();
    all.rounding.compensation_ratio =
        largest_weight > 0 ? static_cast<double>(largest_compensated / largest_weight) : 0.0;
    return all;
  }

 private:
  int64_t tiles() const { return static_cast<int64_t>(tiles_.size()); }

  /// Tiles [begin, end) on all threads; a single one may use them all itself.
  template <typename Body>
  void for_each(int64_t begin, int64_t end, const Body& body) {
    if (end - begin == 1) return body(begin);
    threads_.parallel_for(end - begin, [&](int64_t t) { body(begin + t); });
  }

  Tile solve(RowRange rows) const {
    const auto room = [&] { return make_large_buffer(static_cast<size_t>(rows.count() * w_.cols())); };
    const LargeBuffer original = room(), columns = room(), errors = room();
    load_columns(rows, original.get(), columns.get(), errors.get());
    const std::unique_ptr<StoringPolicy> policy = policies_.policy(rows);
    Tile tile;
    tile.report = {rows.begin, rows.end};
    tile.report.loss = column_loop(feedback_, columns.get(), errors.get(), rows.count(), *policy,
                                   policies_.rows_are_separable() ? nullptr : &threads_);
    policy->refine({original.get(), errors.get()});
    measure(original.get(), columns.get(), *policy, tile.report);
    tile.chosen = policy->chosen();
    return tile;
  }

  void store(int64_t t, const Tile& tile) {
    policies_.store(tile.rows(), tile.chosen);
    reports_[static_cast<size_t>(t)] = tile.report;
  }

  /// Every rank solves some tiles, and all get all.
  void share_out(Ranks& ranks) {
    const RankShare mine = share_of(ranks, tiles());
    std::vector<Tile> solved(static_cast<size_t>(mine.end - mine.begin));
    for_each(mine.begin, mine.end,
             [&](int64_t t) { solved[static_cast<size_t>(t - mine.begin)] = solve(tiles_[static_cast<size_t>(t)]); });
    Bytes message;
    for (const Tile& tile : solved) {
      append(message, std::vector<TileReport>{tile.report});
      append(message, tile.chosen);
    }
    int64_t t = 0;
    for (const Bytes& bytes : ranks.gather(message)) {
      for (BytesReader reader(bytes); !reader.at_end(); ++t) {
        Tile tile;
        tile.report = reader.take<TileReport>().at(0);
        tile.chosen = reader.take<std::byte>();
        if (t >= tiles() || tile.report.begin != tiles_[static_cast<size_t>(t)].begin) {
          fail(ErrorKind::kFailed, "{}: the ranks' rows do not fit together at row {}", name_, tile.report.begin);
        }
        store(t, tile);
      }
    }
    if (t != tiles()) fail(ErrorKind::kFailed, "{}: the ranks solved {} tiles of {}", name_, t, tiles());
  }

  bool is_dead(int64_t column) const { return factor_.diagonal[static_cast<size_t>(column)] == 0; }

  /// original, columns [position, rows] = W^T in the order of the loop, in columns dead ones 0; blocks of 16 rows for
  /// the cache's sake. errors [position, rows]: 0.
  void load_columns(const RowRange& range, float* original, float* columns, float* errors) const {
    const int64_t n = w_.cols(), rows = range.count();
    threads_.parallel_for(n, [&](int64_t p) { std::fill_n(errors + p * rows, rows, 0.0f); });
    constexpr int64_t kRows = 16;
    threads_.parallel_for((rows + kRows - 1) / kRows, [&](int64_t block) {
      const int64_t first = block * kRows, count = std::min(rows - first, kRows);
      std::vector<float> tile(static_cast<size_t>(count * n));
      w_.decode_rows(range.begin + first, range.begin + first + count, tile.data());
      for (int64_t p = 0; p < n; ++p) {
        const int64_t column = factor_.order[static_cast<size_t>(p)];
        const bool dead = is_dead(column);
        for (int64_t r = 0; r < count; ++r) {
          const float value = tile[static_cast<size_t>(r * n + column)];
          original[p * rows + first + r] = value;
          columns[p * rows + first + r] = dead ? 0 : value;
        }
      }
    });
  }

  /// Errors of the values that will be decoded, against the original weights; `compensated` as the loop left it.
  void measure(const float* original, const float* compensated, const StoringPolicy& policy, TileReport& tile) const {
    const int64_t n = w_.cols(), rows = tile.end - tile.begin;
    std::vector<TileReport> columns(static_cast<size_t>(n));
    threads_.parallel_for(n, [&](int64_t p) {
      std::vector<float> q(static_cast<size_t>(rows));
      policy.decode_column(p, q.data());
      measure_column(original + p * rows, compensated + p * rows, q, columns[static_cast<size_t>(p)]);
    });
    for (const TileReport& column : columns) {
      tile.error += column.error, tile.norm += column.norm;
      tile.max_error = std::max(tile.max_error, column.max_error);
      tile.largest_weight = std::max(tile.largest_weight, column.largest_weight);
      tile.largest_compensated = std::max(tile.largest_compensated, column.largest_compensated);
    }
    tile.saturated = policy.saturated();
  }

  static void measure_column(const float* original, const float* compensated, const std::vector<float>& q,
                             TileReport& report) {
    for (size_t r = 0; r < q.size(); ++r) {
      const float w = original[r];
      const double difference = static_cast<double>(w) - static_cast<double>(q[r]);
      report.error += difference * difference;
      report.norm += static_cast<double>(w) * static_cast<double>(w);
      report.max_error = std::max(report.max_error, static_cast<float>(std::abs(difference)));
      report.largest_weight = std::max(report.largest_weight, std::abs(w));
      report.largest_compensated = std::max(report.largest_compensated, std::abs(compensated[r]));
    }
  }

  const std::string& name_;
  const RowSource& w_;
  const GptqFactor& factor_;
  ThreadPool& threads_;
  ColumnPolicies& policies_;
  ColumnFeedback feedback_;
  std::vector<RowRange> tiles_;
  std::vector<TileReport> reports_;  // by tile
};

}  // namespace

std::shared_ptr<const StoredMatrix> quantize_columns(const std::string& name, const RowSource& w,
                                                     ColumnPolicies& policies, const GptqFactor& factor, Ranks& ranks,
                                                     ThreadPool& threads, GptqReport* report) {
  GptqRun run(name, w, policies, factor, threads);
  auto matrix = run.run(ranks);
  if (report != nullptr) *report = run.report();
  return matrix;
}

std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w,
                                                  const RoundingTarget& target, const GptqFactor& factor,
                                                  bool static_groups, Ranks& ranks, ThreadPool& threads,
                                                  GptqReport* report) {
  if (w.cols() != factor.channels) {
    fail(ErrorKind::kFailed, "{}: {} columns, but the statistics have {} channels", name, w.cols(), factor.channels);
  }
  const std::vector<float> costs = factor.error_costs();
  const auto policies = make_column_policies({name, w, target, factor.order, costs, static_groups}, threads);
  return quantize_columns(name, w, *policies, factor, ranks, threads, report);
}

std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w,
                                                  const RoundingTarget& target, const GptqFactor& factor,
                                                  bool static_groups, ThreadPool& threads, GptqReport* report) {
  Ranks alone;
  return quantize_gptq(name, w, target, factor, static_groups, alone, threads, report);
}

}  // namespace bitloom
