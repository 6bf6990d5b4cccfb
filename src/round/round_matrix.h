#pragma once
// The only way codes arise, with data or without: a matrix, what it is to be stored as, what is known of its inputs and
// a method give a stored matrix and a report.

#include <memory>
#include <string>
#include <utility>

#include "base/ranks.h"
#include "base/row_source.h"
#include "base/threads.h"
#include "format/stored_matrix.h"
#include "observe/input_statistics.h"
#include "round/report.h"
#include "round/rounding.h"

namespace bitloom {

/// What a method makes of one input's statistics and uses for every matrix that reads it, such as a factorization. It
/// holds the last thing made, since one may be as large as everything else.
class InputCache {
 public:
  /// The value that make() gave for an equal key (any type with ==), or a new one. Valid until the next call.
  template <typename Value, typename Key, typename Make>
  const Value& get(Key key, const Make& make) {
    AnyValue wanted(std::make_pair(std::move(key), static_cast<Value*>(nullptr)));  // the pointer stands for the type
    if (value_ == nullptr || !(wanted == key_)) {
      value_.reset();  // before another is made
      value_ = std::make_shared<const Value>(make());
      key_ = std::move(wanted);
    }
    return *static_cast<const Value*>(value_.get());
  }

 private:
  AnyValue key_;
  std::shared_ptr<const void> value_;
};

/// One matrix to be rounded. What is referred to must outlive the call. Statistics of the matrix's outputs, or of its
/// inputs weighted for it alone, will stand beside `inputs`.
struct RoundingProblem {
  std::string place;                        // starts every message: "FILE: tensor 'NAME'"
  const RowSource& weights;                 // W [rows, cols]
  RoundingTarget target;                    // what it is to be stored as, and how scales are searched
  const InputStatistics* inputs = nullptr;  // of x in y = W x; null without data
  InputCache& shared;                       // one for all matrices that read `inputs`
  Ranks& ranks;                             // all round the same matrices in the same order; all get all rows
  ThreadPool& threads;
};

struct Rounded {
  std::shared_ptr<const StoredMatrix> matrix;
  RoundReport report;
};

/// W by the method. Error(kUsage) for a storage whose codes it cannot choose; Error(kFailed) when statistics that it
/// needs are missing, or as its own header says; Error(kRefused) for weights that are not finite. All start with
/// `place`. The same bytes for any number of threads, and of ranks given the same statistics.
Rounded round_matrix(const Rounding& rounding, const RoundingProblem& problem);

}  // namespace bitloom
