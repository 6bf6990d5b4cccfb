#pragma once
// How codes are chosen, as a value: a method with its options. Recipes hold it, round_matrix (round/round_matrix.h)
// carries it out. Each method is one folder of round/ and one row of functions:
//
//   its options, a small struct with ==      a name, and a table of what may be set (base/text/option.h)
//   needs_of(options)                        what it wants to know of the inputs
//   rounds_onto(options, storage)            whether it can choose the codes of this storage
//   storage_by(options, wanted)              what it writes: its own side terms are added
//   cost_of(options, shape)                  its time and memory
//   round_by(options, problem)               the matrix and the report
//
// The functions are overloads for the options' type, declared beside it; rounding_row() makes the row of them,
// round/methods.cc lists it.

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "base/text/any_value.h"
#include "base/text/option.h"
#include "format/storage.h"
#include "observe/needs.h"
#include "round/target.h"

namespace bitloom {

struct RoundingProblem;  // round/problem.h
struct Rounded;

/// A matrix before it is rounded, as far as cost depends on it.
struct RoundingShape {
  int64_t rows = 0, cols = 0;
  RoundingTarget target;
  Needs gathered;       // of the inputs; a method may do less where a moment is missing
  int64_t threads = 1;  // that hold tiles of rows
  int64_t ranks = 1;    // that share the rows
};

/// Work in units for which a machine's rates are measured (pipeline/cost/cost_model.h), and bytes at the worst moment
/// beside the matrix and its result. "Shared": once for all matrices that read one input with the same options.
struct RoundingCost {
  double nearest = 0;        // weights rounded to the nearest level of a scaled grid, once
  double loop = 0;           // multiply-adds of the column loop
  double flops = 0;          // of dense products
  double shared_factor = 0;  // flops of a factorization
  double shared_flops = 0;   // of dense products
  int64_t bytes = 0, shared_bytes = 0;
};

/// A method's functions, its options being a value of any type.
struct RoundingRow {
  std::string_view name;   // in recipes: "gptq"
  std::string_view help;   // one line
  std::string_view words;  // for descriptions: "rounded with error feedback (GPTQ)"
  std::span<const Option> options;
  const std::type_info* type;  // of the options
  AnyValue (*defaults)();
  Needs (*needs)(const AnyValue& options);
  bool (*rounds_onto)(const AnyValue& options, const Storage& storage);
  Storage (*storage)(const AnyValue& options, Storage wanted);
  RoundingCost (*cost)(const AnyValue& options, const RoundingShape& shape);
  Rounded (*round)(const AnyValue& options, const RoundingProblem& problem);
};

/// The row of a method whose options are the type T and whose functions are overloads for T.
template <typename T>
constexpr RoundingRow rounding_row(std::string_view name, std::span<const Option> options, std::string_view help,
                                   std::string_view words) {
  return {
      .name = name,
      .help = help,
      .words = words,
      .options = options,
      .type = &typeid(T),
      .defaults = [] { return AnyValue(T{}); },
      .needs = [](const AnyValue& o) { return needs_of(o.get<T>()); },
      .rounds_onto = [](const AnyValue& o, const Storage& storage) { return rounds_onto(o.get<T>(), storage); },
      .storage = [](const AnyValue& o, Storage wanted) { return storage_by(o.get<T>(), std::move(wanted)); },
      .cost = [](const AnyValue& o, const RoundingShape& shape) { return cost_of(o.get<T>(), shape); },
      .round = [](const AnyValue& o, const RoundingProblem& problem) { return round_by(o.get<T>(), problem); },
  };
}

/// Every method, the default one first. round/methods.cc holds the list and nothing else, so a program that defines
/// this function itself has other methods than the library.
std::span<const RoundingRow* const> rounding_methods();

/// A method with its options; unless said otherwise the first of the list, nearest rounding.
class Rounding {
 public:
  Rounding();
  /// Of a type that is some method's options.
  template <typename Options>
  requires(!std::same_as<Options, AnyValue> && !std::same_as<Options, Rounding>)
      Rounding(Options options)  // NOLINT(google-explicit-constructor): options say what the method is
      : Rounding(AnyValue(std::move(options))) {}
  /// Error(kFailed) for a value that no method's options are.
  explicit Rounding(AnyValue options);

  const RoundingRow& row() const { return *row_; }
  const AnyValue& options() const { return options_; }
  /// Null for another method's.
  template <typename Options>
  Options* get_if() {
    return options_.get_if<Options>();
  }
  template <typename Options>
  const Options* get_if() const {
    return options_.get_if<Options>();
  }
  bool operator==(const Rounding& other) const { return options_ == other.options_; }

 private:
  AnyValue options_;
  const RoundingRow* row_ = nullptr;
};

/// What the method must be told about the layer's inputs.
inline Needs needs_of(const Rounding& rounding) { return rounding.row().needs(rounding.options()); }
/// What a rounding onto `wanted` writes: its own side terms are added. Methods know nothing of frames
/// (round/frame/framed.h), so any storage may lie in one, unless the method makes a frame itself.
Storage storage_by(const Rounding& rounding, Storage wanted);
/// Whether codes of this storage can be chosen so.
bool rounds_onto(const Rounding& rounding, const Storage& storage);
/// The first method that needs no data and can choose codes of this storage: what is left where data say too little.
/// Error(kUsage) naming the storage when there is none.
Rounding rounding_without_data(const Storage& storage);
/// The same; nothing when there is none.
std::optional<Rounding> find_rounding_without_data(const Storage& storage);
RoundingCost cost_of(const Rounding& rounding, const RoundingShape& shape);

}  // namespace bitloom
