#pragma once
// How the column loop's columns get their values, by what the matrix is to be stored as.
//
// A policy says whether rows can be solved apart, how many columns it looks ahead, whether it weighs errors by the
// second moment's diagonal, and what it stores. To add one: a file pair beside grid_columns, a row in column_policy.cc.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "base/ranks.h"
#include "base/threads.h"
#include "format/stored_matrix.h"
#include "round/rounding.h"
#include "round/target.h"

namespace bitloom {

/// Rows [begin, end).
struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

/// How the columns of some rows are chosen. One object serves one run of the loop (round/column_loop/column_loop.h).
class ColumnPolicy {
 public:
  virtual ~ColumnPolicy() = default;
  /// Columns per group of shared parameters that are fitted on compensated weights; 1 when there are none.
  virtual int64_t group() const = 0;
  /// A group starts at position `begin`; columns [end - begin, rows] hold its weights, compensated for all before it.
  virtual void begin_group(int64_t begin, int64_t end, const float* columns) = 0;
  /// Whether a column's error is fed to the rest of its group; otherwise only to the columns behind it.
  virtual bool feeds_inside_groups() const { return true; }
  /// Consecutive columns whose values are chosen at once; divides 16 and group().
  virtual int64_t vector() const { return 1; }
  /// Before the first of such columns: columns [end - begin, rows] hold their weights, compensated for all before them.
  virtual void begin_vector(int64_t begin, int64_t end, const float* columns) { (void)begin, (void)end, (void)columns; }
  /// The values that column `position` gets: w [rows] -> q [rows].
  virtual void quantize_column(int64_t position, const float* w, float* q) = 0;
  /// All columns have their values: what was chosen may be bettered as a whole.
  virtual void end_loop() {}
};

/// What is at hand when the loop has ended.
struct LoopResult {
  const float* original = nullptr;  // the weights [columns, rows], by position
  float* scratch = nullptr;         // as large
};

/// A policy that keeps what it chose.
class StoringPolicy : public ColumnPolicy {
 public:
  /// After the loop, before the values are read: may change what was chosen.
  virtual void refine(const LoopResult& result) { (void)result; }
  /// After the loop: the weights [rows] that column `position` will decode to.
  virtual void decode_column(int64_t position, float* weights) const = 0;
  /// Weights beyond the outermost level by more than half a step.
  virtual int64_t saturated() const { return 0; }
  /// What was chosen, for ColumnPolicies::store(): plain data, which may have come from another process.
  virtual Bytes chosen() const = 0;
};

/// The policies of one matrix, and the matrix that comes of what they chose.
class ColumnPolicies {
 public:
  virtual ~ColumnPolicies() = default;
  /// Whether tiles of rows may be solved apart, in any grouping: in parallel and by other ranks. Otherwise the loop
  /// gets all rows at once.
  virtual bool rows_are_separable() const = 0;
  /// Groups of weights that are zero before the loop.
  virtual int64_t zero_groups() const { return 0; }
  virtual std::unique_ptr<StoringPolicy> policy(RowRange rows) const = 0;
  /// Takes over a policy's chosen() for its rows. Different rows may be stored concurrently. Error(kFailed) for bytes
  /// of another shape.
  virtual void store(RowRange rows, const Bytes& chosen) = 0;
  /// When all rows are stored. Error(kFailed) starts with `name`.
  virtual std::shared_ptr<const StoredMatrix> finish(const std::string& name) = 0;
};

/// A matrix whose columns are to be chosen, in the order of the loop. What is referred to must outlive the policies.
struct ColumnProblem {
  const std::string& place;  // starts every message
  const RowSource& weights;  // W [rows, columns]
  const RoundingTarget& target;
  const std::vector<int64_t>& order;      // position -> column
  const std::vector<float>& error_costs;  // by column; weigh errors where scales are searched
  bool static_groups = false;             // group scales from the original weights, not from compensated ones
};

/// Whether there are policies for the storage.
bool has_column_policies(const Storage& storage);
/// Whether its rows are separable, and what choosing every column once takes, in weights rounded to nearest.
struct ColumnPolicyCost {
  bool separable = true;
  double nearest = 0;
};
/// Error(kUsage) for a storage without policies.
ColumnPolicyCost column_policy_cost(const RoundingShape& shape);
/// Checks the weights (Error(kRefused) naming `place` for NaN and Inf). Error(kUsage) for a storage without policies.
std::unique_ptr<ColumnPolicies> make_column_policies(const ColumnProblem& problem, ThreadPool& threads);

}  // namespace bitloom
