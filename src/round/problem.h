#pragma once
// One matrix to be rounded, as every method gets it, and what it gives back.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/memory/row_source.h"
#include "base/ranks.h"
#include "base/text/any_value.h"
#include "base/threads.h"
#include "format/activations/activation_format.h"
#include "format/stored_matrix.h"
#include "observe/input_statistics.h"
#include "observe/moment/guided_moments.h"
#include "round/report.h"
#include "round/target.h"

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

/// One matrix to be rounded. What is referred to must outlive the call.
struct RoundingProblem {
  std::string place;                        // starts every message: "FILE: tensor 'NAME'"
  const RowSource& weights;                 // W [rows, cols]
  RoundingTarget target;                    // what it is to be stored as, and how scales are searched
  const InputStatistics* inputs = nullptr;  // of x in y = W x, its channels moved already; null without data
  InputCache& shared;                       // one for all matrices that read `inputs`
  Ranks& ranks;                             // all round the same matrices in the same order; all get all rows
  ThreadPool& threads;
  const GuidedMoments* guided = nullptr;  // of this matrix alone; null unless the method needs them
  /// Told between the turns of a slow method what share of its work it has done since it was told last; may be empty.
  /// What it throws ends the rounding.
  std::function<void(double share)> on_progress = {};
  const ActivationFormat* activations = nullptr;  // what `inputs` will be rounded to, of no moves; null: they stay
};

struct Rounded {
  std::shared_ptr<const StoredMatrix> matrix;
  RoundReport report;
};

}  // namespace bitloom
